//! What can be wrong with parameters, words and messages.

/// An error of the codes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such run limit.
    #[error("run limit {0} is not 1, 2 or 3")]
    RunLimit(usize),
    /// A length that the tables do not reach.
    #[error("word length {length} is not between {min} and {max}")]
    Length {
        /// As asked for.
        length: usize,
        /// Smallest possible.
        min: usize,
        /// Largest possible.
        max: usize,
    },
    /// A length without a proven divisor.
    #[error("no divisor is listed for run limit {run_limit} and length {length}; listed lengths: {listed}")]
    NoDivisor {
        /// Longest run.
        run_limit: usize,
        /// Word length.
        length: usize,
        /// What the table has.
        listed: String,
    },
    /// A divisor under which some single substitution could not be corrected, or that is even.
    #[error(
        "divisor {divisor} does not correct every substitution for run limit {run_limit} and length {length}"
    )]
    Divisor {
        /// As asked for.
        divisor: u32,
        /// Longest run.
        run_limit: usize,
        /// Word length.
        length: usize,
    },
    /// The code of so short words is empty.
    #[error("no word of length {length} with run limit {run_limit} has a syndrome of zero")]
    NoWords {
        /// Longest run.
        run_limit: usize,
        /// Word length.
        length: usize,
    },
    /// A letter that is no nucleotide.
    #[error("position {position}: {letter:?} is not A, C, G or T")]
    Letter {
        /// From 0.
        position: usize,
        /// As found.
        letter: char,
    },
    /// A number that is none, or is too large.
    #[error("{text:?} is not a number below 2^{bits}")]
    Number {
        /// As found.
        text: String,
        /// Bits that fit.
        bits: usize,
    },
    /// A strand without words.
    #[error("{0} words in a strand, not between 1 and 64")]
    Words(usize),
}
