//! Batches over inputs larger than memory, in an order that the seed decides, from any position on.

use serde::{Deserialize, Serialize};

use super::{PackedBatch, decompose_pow2, first_fit_decreasing, pack_by_budget, shuffle};

/// Sequences of tokens, one after the other.
pub trait Source {
    /// Why there is no next sequence.
    type Error;

    /// The next sequence; none at the end.
    fn next(&mut self) -> Result<Option<Vec<u32>>, Self::Error>;

    /// Passes over `count` sequences, for less than their tokens cost where that is possible; tells how many there were.
    fn skip(&mut self, count: u64) -> Result<u64, Self::Error> {
        for passed in 0..count {
            if self.next()?.is_none() {
                return Ok(passed);
            }
        }
        Ok(count)
    }
}

/// How sequences become batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Sequences of like length together, at most so many tokens ([`pack_by_budget`]).
    Budget {
        /// Tokens of a batch; a longer sequence is one of its own.
        tokens: usize,
    },
    /// Bins as full as they get ([`first_fit_decreasing`]).
    Bins {
        /// Tokens of a batch; a longer sequence is one of its own.
        tokens: usize,
    },
    /// Pieces of one length, a power of two ([`decompose_pow2`]).
    Pow2 {
        /// Exponent of the shortest piece; shorter ends of sequences are left out, and counted.
        smallest: u32,
        /// Exponent of the longest piece.
        largest: u32,
        /// Tokens of a batch, at least those of the longest piece.
        tokens: usize,
    },
}

/// What decides the batches, beside the sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How sequences become batches.
    pub method: Method,
    /// Tokens that are held at a time; sequences are mixed with those that are held with them.
    pub held: usize,
    /// Of the order.
    pub seed: u64,
}

/// Why batches cannot be made as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// A batch has no tokens, or none may be held.
    #[error("batches of {tokens} tokens out of {held} that are held")]
    Empty {
        /// Tokens of a batch.
        tokens: usize,
        /// Tokens that are held.
        held: usize,
    },
    /// Powers of two go the wrong way, or the largest is no length or does not fit a batch.
    #[error("pieces of 2^{smallest} to 2^{largest} tokens in batches of {tokens}")]
    Powers {
        /// Exponent of the shortest piece.
        smallest: u32,
        /// Exponent of the longest piece.
        largest: u32,
        /// Tokens of a batch.
        tokens: usize,
    },
}

/// A place between two batches, from which a run can go on. Only for the same sequences and options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Sequences before those that are held.
    pub sequences: u64,
    /// Batches given out of those that are held.
    pub batches: u64,
    /// Tokens before those that are held that no batch has.
    pub left_out: u64,
}

/// An iterator over batches.
pub struct Batches<S: Source> {
    source: S,
    options: Options,
    position: Position,
    /// Sequences that are held.
    held: u64,
    /// Their batches that were not given out, last first.
    ready: Vec<Vec<Vec<u32>>>,
    /// Tokens of those held that no batch has.
    left_out: u64,
    has_ended: bool,
}

impl Options {
    fn check(&self) -> Result<(), OptionsError> {
        let tokens = match self.method {
            Method::Budget { tokens } | Method::Bins { tokens } => tokens,
            Method::Pow2 { smallest, largest, tokens } => {
                if smallest > largest || 1_usize.checked_shl(largest).is_none_or(|length| length > tokens) {
                    return Err(OptionsError::Powers { smallest, largest, tokens });
                }
                tokens
            }
        };
        if tokens == 0 || self.held == 0 {
            return Err(OptionsError::Empty { tokens, held: self.held });
        }
        Ok(())
    }
}

impl<S: Source> Batches<S> {
    /// From the first batch on.
    pub fn new(source: S, options: Options) -> Result<Self, OptionsError> {
        options.check()?;
        let position = Position::default();
        Ok(Self { source, options, position, held: 0, ready: Vec::new(), left_out: 0, has_ended: false })
    }

    /// From a position on, as another iterator over the same sequences gave it. `source` is at its start.
    pub fn resume(
        mut source: S,
        options: Options,
        position: Position,
    ) -> Result<Result<Self, S::Error>, OptionsError> {
        options.check()?;
        if let Err(error) = source.skip(position.sequences) {
            return Ok(Err(error));
        }
        let mut batches = Self::new(source, options)?;
        batches.position = Position { batches: 0, ..position };
        if position.batches > 0 {
            if let Err(error) = batches.hold() {
                return Ok(Err(error));
            }
            let left = batches.ready.len().saturating_sub(position.batches as usize);
            batches.ready.truncate(left);
            batches.position.batches = position.batches;
        }
        Ok(Ok(batches))
    }

    /// The place before the next batch.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Tokens that no batch has, of the sequences read so far: ends shorter than the shortest piece.
    pub fn left_out(&self) -> u64 {
        self.position.left_out + self.left_out
    }

    /// Reads sequences up to the tokens that may be held, and makes batches of them.
    fn hold(&mut self) -> Result<(), S::Error> {
        self.position.sequences += self.held;
        self.position.batches = 0;
        self.position.left_out += self.left_out;
        (self.held, self.left_out) = (0, 0);
        let (mut sequences, mut tokens) = (Vec::new(), 0_usize);
        while tokens < self.options.held {
            let Some(sequence) = self.source.next()? else {
                self.has_ended = true;
                break;
            };
            tokens += sequence.len();
            self.held += 1;
            sequences.push(sequence);
        }
        // Each portion has an order of its own.
        let seed = shuffle::mix(self.options.seed ^ shuffle::mix(self.position.sequences));
        self.ready = self.batches_of(sequences, seed);
        shuffle::shuffle(&mut self.ready, shuffle::mix(seed));
        self.ready.reverse();
        Ok(())
    }

    fn batches_of(&mut self, mut sequences: Vec<Vec<u32>>, seed: u64) -> Vec<Vec<Vec<u32>>> {
        shuffle::shuffle(&mut sequences, seed);
        let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
        match self.options.method {
            Method::Budget { tokens } => {
                let mut take = |&at: &usize| std::mem::take(&mut sequences[at]);
                let groups = pack_by_budget(&lengths, tokens);
                groups.iter().map(|group| group.iter().map(&mut take).collect()).collect()
            }
            Method::Bins { tokens } => {
                let bins = first_fit_decreasing(&lengths, tokens);
                let count = bins.iter().max().map_or(0, |last| last + 1);
                let mut batches = vec![Vec::new(); count];
                for (sequence, bin) in sequences.into_iter().zip(bins) {
                    batches[bin].push(sequence);
                }
                batches
            }
            Method::Pow2 { smallest, largest, tokens } => {
                let mut by_exponent = vec![Vec::new(); (largest - smallest) as usize + 1];
                for sequence in &sequences {
                    let cut = decompose_pow2(sequence.len(), smallest..=largest);
                    self.left_out += cut.tail.len() as u64;
                    for chunk in cut.chunks {
                        let exponent = chunk.len().trailing_zeros() - smallest;
                        by_exponent[exponent as usize].push(sequence[chunk].to_vec());
                    }
                }
                let mut batches = Vec::new();
                for (exponent, mut pieces) in by_exponent.into_iter().enumerate() {
                    shuffle::shuffle(&mut pieces, seed ^ exponent as u64);
                    let together = tokens >> (smallest as usize + exponent);
                    let mut pieces = pieces.into_iter().peekable();
                    while pieces.peek().is_some() {
                        batches.push(pieces.by_ref().take(together).collect());
                    }
                }
                batches
            }
        }
    }
}

impl<S: Source> Iterator for Batches<S> {
    type Item = Result<PackedBatch, S::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            if self.has_ended {
                return None;
            }
            if let Err(error) = self.hold() {
                self.has_ended = true;
                return Some(Err(error));
            }
        }
        let sequences = self.ready.pop()?;
        self.position.batches += 1;
        let mut batch = PackedBatch::default();
        for sequence in &sequences {
            batch.append(sequence, None);
        }
        Some(Ok(batch))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    struct List(std::vec::IntoIter<Vec<u32>>);

    impl Source for List {
        type Error = Infallible;

        fn next(&mut self) -> Result<Option<Vec<u32>>, Infallible> {
            Ok(self.0.next())
        }
    }

    fn source(lengths: &[usize]) -> List {
        let sequence = |(at, &length): (usize, &usize)| (0..length).map(|i| (1000 * at + i) as u32).collect();
        List(lengths.iter().enumerate().map(sequence).collect::<Vec<Vec<u32>>>().into_iter())
    }

    #[test]
    fn options_without_sense_are_refused() {
        let new = |method, held| Batches::new(source(&[]), Options { method, held, seed: 0 }).map(|_| ());
        assert!(new(Method::Budget { tokens: 0 }, 1).is_err());
        assert!(new(Method::Bins { tokens: 9 }, 0).is_err());
        assert!(new(Method::Pow2 { smallest: 3, largest: 2, tokens: 99 }, 9).is_err());
        assert!(new(Method::Pow2 { smallest: 3, largest: 200, tokens: 99 }, 9).is_err());
        assert!(new(Method::Pow2 { smallest: 3, largest: 5, tokens: 31 }, 9).is_err());
        assert!(new(Method::Pow2 { smallest: 3, largest: 5, tokens: 32 }, 9).is_ok());
    }

    fn method() -> impl Strategy<Value = Method> {
        prop_oneof![
            (1..80_usize).prop_map(|tokens| Method::Budget { tokens }),
            (1..80_usize).prop_map(|tokens| Method::Bins { tokens }),
            (0..3_u32, 0..3_u32, 0..60_usize).prop_map(|(smallest, more, tokens)| Method::Pow2 {
                smallest,
                largest: smallest + more,
                tokens: tokens + 32
            }),
        ]
    }

    proptest! {
        #[test]
        fn every_token_is_in_one_batch_or_counted(
            lengths in prop::collection::vec(0..50_usize, 0..40), method in method(), held in 1..200_usize, seed in any::<u64>(),
        ) {
            let options = Options { method, held, seed };
            let mut batches = Batches::new(source(&lengths), options).unwrap();
            let found: Vec<PackedBatch> = batches.by_ref().map(Result::unwrap).collect();
            let mut tokens: Vec<u32> = found.iter().flat_map(PackedBatch::ids).copied().collect();
            tokens.sort_unstable();
            tokens.dedup();
            prop_assert_eq!(tokens.len() as u64 + batches.left_out(), lengths.iter().sum::<usize>() as u64);
            prop_assert_eq!(tokens.len(), found.iter().map(PackedBatch::tokens).sum::<usize>());
            for batch in &found {
                match method {
                    Method::Budget { tokens } | Method::Bins { tokens } => {
                        prop_assert!(batch.tokens() <= tokens || batch.len() == 1);
                    }
                    Method::Pow2 { tokens, .. } => {
                        prop_assert!(batch.tokens() <= tokens && batch.longest().is_power_of_two());
                        prop_assert!(batch.spans().all(|span| span.len() == batch.longest()));
                    }
                }
            }
        }

        #[test]
        fn a_run_goes_on_where_another_one_stopped(
            lengths in prop::collection::vec(0..50_usize, 0..40), method in method(), held in 1..200_usize, seed in any::<u64>(),
            stop in 0..30_usize,
        ) {
            let options = Options { method, held, seed };
            let mut all = Batches::new(source(&lengths), options).unwrap();
            let whole: Vec<PackedBatch> = all.by_ref().map(Result::unwrap).collect();
            let mut first = Batches::new(source(&lengths), options).unwrap();
            let begun: Vec<PackedBatch> = first.by_ref().take(stop).map(Result::unwrap).collect();
            let text = serde_json::to_string(&first.position()).unwrap();
            let position = serde_json::from_str(&text).unwrap();
            let mut rest = Batches::resume(source(&lengths), options, position).unwrap().unwrap();
            let later: Vec<PackedBatch> = rest.by_ref().map(Result::unwrap).collect();
            prop_assert_eq!([begun, later].concat(), whole);
            prop_assert_eq!(rest.left_out(), all.left_out());
        }
    }
}
