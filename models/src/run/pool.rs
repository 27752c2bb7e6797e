//! From the states of a sequence's tokens to the rows that describe it.

use std::fmt;
use std::str::FromStr;

/// How the states of a sequence's tokens become rows of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Mean over all tokens, special tokens included: what the DNABERT-2 authors use.
    Mean,
    /// Mean over the tokens that stand for bases.
    MeanNoSpecial,
    /// Largest value of each feature over all tokens, special tokens included.
    Max,
    /// State of the first token (`[CLS]`).
    Cls,
    /// State of the last token: `[SEP]` in encoders; in decoders the one that has seen the whole sequence.
    Last,
    /// One row a token, special tokens included.
    None,
}

impl Pooling {
    /// Every way, in the order shown to users.
    pub const ALL: [Self; 6] =
        [Self::Mean, Self::MeanNoSpecial, Self::Max, Self::Cls, Self::Last, Self::None];

    /// The name on the command line and in metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::MeanNoSpecial => "mean-no-special",
            Self::Max => "max",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::None => "none",
        }
    }

    /// Pools `states` `[tokens, width]`; `special[t]` marks tokens that the tokenizer added. As [`Pool`] in one piece.
    ///
    /// # Panics
    /// If `states` is not one row of `width` values a token.
    pub fn pool(self, states: &[f32], width: usize, special: &[bool]) -> Option<Vec<f32>> {
        let mut pool = Pool::new(self, width);
        pool.add(states, special);
        pool.finish()
    }
}

/// Pools the tokens of one sequence as they come.
///
/// Sums run in f64 in token order, so a sequence gives the same row in any batch and any chunks that give the same states.
#[derive(Clone, Debug)]
pub struct Pool {
    pooling: Pooling,
    width: usize,
    /// Tokens that count so far.
    tokens: u64,
    sums: Vec<f64>,
    rows: Vec<f32>,
}

impl Pool {
    /// For rows of `width` numbers.
    pub fn new(pooling: Pooling, width: usize) -> Self {
        let sums = match pooling {
            Pooling::Mean | Pooling::MeanNoSpecial => vec![0.0; width],
            _ => Vec::new(),
        };
        Self { pooling, width, tokens: 0, sums, rows: Vec::new() }
    }

    /// Adds the next tokens: their states `[tokens, width]`, and which of them the tokenizer added.
    ///
    /// # Panics
    /// If `states` is not one row of `width` values a token.
    pub fn add(&mut self, states: &[f32], special: &[bool]) {
        let Self { pooling, width, .. } = *self;
        assert_eq!(states.len(), width * special.len(), "one row a token");
        for (row, &special) in states.chunks_exact(width).zip(special) {
            match pooling {
                Pooling::MeanNoSpecial if special => continue,
                Pooling::Mean | Pooling::MeanNoSpecial => {
                    for (sum, &x) in self.sums.iter_mut().zip(row) {
                        *sum += f64::from(x);
                    }
                }
                Pooling::Max if self.tokens > 0 => {
                    for (largest, &x) in self.rows.iter_mut().zip(row) {
                        *largest = largest.max(x);
                    }
                }
                Pooling::Cls if self.tokens > 0 => {}
                Pooling::Max | Pooling::Cls | Pooling::Last => {
                    self.rows.clear();
                    self.rows.extend(row);
                }
                Pooling::None => self.rows.extend(row),
            }
            self.tokens += 1;
        }
    }

    /// The pooled row, or one row a token with [`Pooling::None`]. `None` where there is nothing to pool: no token, or no token
    /// that stands for bases.
    pub fn finish(self) -> Option<Vec<f32>> {
        if self.tokens == 0 {
            return None;
        }
        match self.pooling {
            Pooling::Mean | Pooling::MeanNoSpecial => {
                Some(self.sums.into_iter().map(|sum| (sum / self.tokens as f64) as f32).collect())
            }
            _ => Some(self.rows),
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no way of pooling.
#[derive(Debug, thiserror::Error)]
#[error("unknown pooling {0:?}; there are mean, mean-no-special, max, cls, last and none")]
pub struct ParsePoolingError(String);

impl FromStr for Pooling {
    type Err = ParsePoolingError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|p| p.name() == name).ok_or_else(|| ParsePoolingError(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [f32; 6] = [1.0, -2.0, 3.0, 4.0, 5.0, 0.0];
    const SPECIAL: [bool; 3] = [true, false, true];

    #[test]
    fn each_way_on_three_tokens() {
        let pool = |p: Pooling| p.pool(&STATES, 2, &SPECIAL).expect("rows");
        assert_eq!(pool(Pooling::Mean), [3.0, 2.0 / 3.0]);
        assert_eq!(pool(Pooling::MeanNoSpecial), [3.0, 4.0]);
        assert_eq!(pool(Pooling::Max), [5.0, 4.0]);
        assert_eq!(pool(Pooling::Cls), [1.0, -2.0]);
        assert_eq!(pool(Pooling::Last), [5.0, 0.0]);
        assert_eq!(pool(Pooling::None), STATES);
    }

    #[test]
    fn pieces_give_the_bits_of_the_whole() {
        for pooling in Pooling::ALL {
            let mut pool = Pool::new(pooling, 2);
            pool.add(&STATES[..2], &SPECIAL[..1]);
            pool.add(&[], &[]);
            pool.add(&STATES[2..], &SPECIAL[1..]);
            assert_eq!(pool.finish(), pooling.pool(&STATES, 2, &SPECIAL), "{pooling}");
        }
    }

    #[test]
    fn nothing_to_pool_is_not_a_row_of_nan() {
        assert_eq!(Pooling::MeanNoSpecial.pool(&STATES[..4], 2, &[true, true]), None);
        assert_eq!(Pooling::Mean.pool(&[], 2, &[]), None);
    }

    #[test]
    fn names_round_trip() {
        for pooling in Pooling::ALL {
            assert_eq!(pooling.name().parse::<Pooling>().expect("a name"), pooling);
        }
        assert!("average".parse::<Pooling>().is_err());
    }
}
