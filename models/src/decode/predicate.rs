//! Constraints of any kind: what only a program can say.

/// Says of a sequence so far whether it may go on like this.
///
/// For what no [automaton](super::constraint) can track, such as folding or hits in a database. It is asked about few tokens at
/// each place ([`super::awrs`]) and only looks back: where it refuses every token, that is a dead end.
pub trait Predicate {
    /// Whether a sequence may begin with this text, its last token included.
    fn accepts(&mut self, text: &[u8]) -> bool;
}

impl<F: FnMut(&[u8]) -> bool> Predicate for F {
    fn accepts(&mut self, text: &[u8]) -> bool {
        self(text)
    }
}
