//! What can be wrong with constraints.

use super::gc::MAX_WINDOW;

/// Text that is no constraint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{value}`: expected {expected}")]
pub struct ParseError {
    what: &'static str,
    value: String,
    expected: &'static str,
}

impl ParseError {
    pub(in crate::decode) fn new(what: &'static str, value: &str, expected: &'static str) -> Self {
        Self { what, value: value.to_owned(), expected }
    }
}

/// Constraints that cannot be kept, or not with reasonable effort.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No sequence satisfies all of them: each of those named is needed for the contradiction.
    #[error("no sequence of {length} satisfies {}", constraints.join(" and "))]
    Contradiction {
        /// The names of constraints that contradict each other, or of one that contradicts itself.
        constraints: Vec<String>,
        /// With its unit, and the prompt's part if there is one.
        length: String,
    },
    /// The search for legal ends gave up.
    #[error(
        "the constraints together have too many states: {states} were visited without an answer, the limit is {limit}"
    )]
    TooManyStates {
        /// States visited.
        states: usize,
        /// Most that are visited for one answer.
        limit: usize,
    },
    /// The automaton of the motifs is too large.
    #[error("{motifs} forbidden motifs need more than {limit} states: leave out those with long runs of N")]
    TooManyMotifStates {
        /// Motifs, strands counted apart.
        motifs: usize,
        /// Most states.
        limit: usize,
    },
    /// A window of GC content that is too long.
    #[error("GC window of {window} bases: expected 1 to {MAX_WINDOW}")]
    Window {
        /// As given.
        window: usize,
    },
    /// Tokens of `k` bases do not make up the length.
    #[error("{length} bases are no multiple of the {k} bases of a token")]
    NotMultiple {
        /// Bases asked for.
        length: usize,
        /// Bases of a token.
        k: usize,
    },
    /// The vocabulary has no DNA.
    #[error("no token of the vocabulary is made of A, C, G and T")]
    NoDna,
}
