//! Training of byte-pair encoding on sequences: the merges that the trainer of the `tokenizers` library finds in the same
//! lines, in memory of about two bytes a base.
//!
//! Each step merges the adjacent pair that is most frequent, of equals the one of smaller ids. Overlapping pairs count, as
//! `A A` does twice in `AAA`, but are merged from the left. Merges do not reach across lines.
//!
//! Tokens lie one after the other in 16 bits each. A step looks at all of them once, many at a time, and changes the counts
//! of the pairs around each merge; no list of places is kept, which would take far more memory than the text.

use std::collections::HashMap;

mod counts;
mod file;
mod lines;

use counts::Counts;
use lines::Lines;

/// What to train.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tokens of the vocabulary, special tokens and letters included.
    pub vocabulary: usize,
    /// Pairs that are rarer are not merged. 0 and 1 mean the same.
    pub min_frequency: u64,
    /// Special tokens, which come first: the unknown token, the marks before and after a text, and any others.
    pub special: Vec<String>,
    /// Bases of a line: longer runs are cut.
    pub line: usize,
}

/// The special tokens of DNABERT-2.
const SPECIAL: [&str; 5] = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"];

impl Default for Options {
    fn default() -> Self {
        Self { vocabulary: 4096, min_frequency: 0, special: SPECIAL.map(String::from).to_vec(), line: 2000 }
    }
}

/// Why there is nothing to train, or not like this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The vocabulary has no room for what must be in it, or is larger than is read here.
    #[error("a vocabulary of {asked} tokens: expected {smallest} to {largest}")]
    Vocabulary {
        /// Tokens asked for.
        asked: usize,
        /// Special tokens and letters.
        smallest: usize,
        /// The largest vocabulary.
        largest: usize,
    },
    /// Lines have no bases.
    #[error("lines of 0 bases")]
    Line,
    /// A special token is empty, or there twice, or could be a base.
    #[error("{} cannot be a special token", token.escape_debug())]
    Special {
        /// The token.
        token: String,
    },
    /// No base was given.
    #[error("there is no base to train on")]
    Empty,
}

/// 16 bits a token, less two marks; and a table of counts of 1 GiB.
const LARGEST: usize = 16_384;

/// Takes sequences, then finds merges.
pub struct Trainer {
    options: Options,
    lines: Lines,
}

/// A step of the training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Tokens of the vocabulary so far.
    pub vocabulary: usize,
    /// How often the pair was there.
    pub count: u64,
    /// Tokens that the text has now.
    pub tokens: u64,
}

/// A trained vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trained {
    /// Special tokens, letters, products.
    tokens: Vec<String>,
    /// Ids of the halves, by rank.
    merges: Vec<(u32, u32)>,
    special: usize,
}

impl Trainer {
    /// Checks what is asked for.
    pub fn new(options: Options) -> Result<Self, Error> {
        let smallest = options.special.len() + LETTERS.len();
        if !(smallest..=LARGEST).contains(&options.vocabulary) {
            return Err(Error::Vocabulary { asked: options.vocabulary, smallest, largest: LARGEST });
        }
        if options.line == 0 {
            return Err(Error::Line);
        }
        for (at, token) in options.special.iter().enumerate() {
            let is_base = token.bytes().all(|byte| LETTERS.contains(&byte));
            if is_base || options.special[..at].contains(token) {
                return Err(Error::Special { token: token.clone() });
            }
        }
        let lines = Lines::new(options.special.len() as u16);
        Ok(Self { options, lines })
    }

    /// Takes the runs of upper-case `A C G T` in a sequence, in lines of [`Options::line`]; what is between them parts runs.
    pub fn add(&mut self, sequence: &[u8]) {
        for run in sequence.split(|byte| !LETTERS.contains(byte)).filter(|run| !run.is_empty()) {
            for line in run.chunks(self.options.line) {
                self.lines.push(line);
            }
        }
    }

    /// Bases taken so far.
    pub fn bases(&self) -> u64 {
        self.lines.bases()
    }

    /// Bytes of memory that training takes beside what a process takes anyway.
    pub fn memory(&self) -> u64 {
        self.lines.bytes() + Counts::bytes(self.options.vocabulary)
    }

    /// Finds the merges. `on_step` hears of each; threads of the pool share the work.
    pub fn train(mut self, mut on_step: impl FnMut(Step)) -> Result<Trained, Error> {
        if self.bases() == 0 {
            return Err(Error::Empty);
        }
        let mut tokens = self.options.special.clone();
        let special = tokens.len();
        tokens.extend(LETTERS.iter().map(|&letter| char::from(letter).to_string()));
        let mut ids: HashMap<String, u16> = HashMap::new();
        ids.extend(tokens.iter().enumerate().map(|(id, token)| (token.clone(), id as u16)));
        let mut counts = Counts::new(self.options.vocabulary);
        self.lines.count_pairs(&mut counts);
        let mut merges = Vec::new();
        let mut left = self.bases();
        while tokens.len() < self.options.vocabulary {
            let Some(((a, b), count)) = counts.most_frequent() else { break };
            if count < self.options.min_frequency {
                break;
            }
            let token = format!("{}{}", tokens[usize::from(a)], tokens[usize::from(b)]);
            let product = *ids.entry(token).or_insert_with_key(|token| {
                tokens.push(token.clone());
                tokens.len() as u16 - 1
            });
            merges.push((u32::from(a), u32::from(b)));
            let around = self.lines.merge(a, b, product, tokens.len());
            left -= around.merges;
            counts.merged(a, b, product, &around);
            on_step(Step { vocabulary: tokens.len(), count, tokens: left });
        }
        Ok(Trained { tokens, merges, special })
    }
}

/// The letters, in the order of their ids.
const LETTERS: [u8; 4] = *b"ACGT";

impl Trained {
    /// Tokens of the vocabulary by id.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// Ids of the halves of each merge, by rank.
    pub fn merges(&self) -> &[(u32, u32)] {
        &self.merges
    }
}

#[cfg(test)]
mod tests;
