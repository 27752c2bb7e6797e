//! The tensors a model needs, and how a checkpoint differs from them.

use std::fmt;

/// A tensor a model knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its name in the checkpoint.
    pub name: String,
    /// Its shape, in PyTorch's order.
    pub shape: Vec<usize>,
    /// Whether it must be there.
    pub presence: Presence,
}

/// Whether a tensor must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It must.
    Required,
    /// It may be absent; the model does without, or makes its own.
    Optional,
    /// It repeats the tensor of that name: absent, or the same bit for bit.
    TiedTo(String),
}

impl Expected {
    /// A tensor that must be there.
    pub fn required(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self { name: name.into(), shape: shape.into(), presence: Presence::Required }
    }

    /// A tensor that may be absent.
    pub fn optional(name: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        Self { presence: Presence::Optional, ..Self::required(name, shape) }
    }

    /// A tensor that, if present, must repeat `other`.
    pub fn tied_to(name: impl Into<String>, shape: impl Into<Vec<usize>>, other: impl Into<String>) -> Self {
        Self { presence: Presence::TiedTo(other.into()), ..Self::required(name, shape) }
    }
}

/// A tensor whose shape is not the model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongShape {
    /// The tensor.
    pub name: String,
    /// Its shape in the checkpoint.
    pub found: Vec<usize>,
    /// The shape the model needs.
    pub expected: Vec<usize>,
}

/// Every way in which a checkpoint's tensors differ from those a model needs. The lists are sorted by name and complete;
/// the message shows the first of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Tensors the model needs and the checkpoint lacks.
    pub missing: Vec<String>,
    /// Tensors of the checkpoint the model does not know.
    pub unexpected: Vec<String>,
    /// Tensors of another shape.
    pub wrong_shape: Vec<WrongShape>,
}

impl Mismatch {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.wrong_shape.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrong_shape = |t: &WrongShape| format!("{} is {:?}, not {:?}", t.name, t.found, t.expected);
        let parts = [
            part(&self.missing, "missing", String::clone),
            part(&self.unexpected, "unexpected", String::clone),
            part(&self.wrong_shape, "of another shape", wrong_shape),
        ];
        write!(f, "tensors: {}", parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

/// `12 missing (a, b, c, ...)`, or nothing for no items.
fn part<T>(items: &[T], what: &str, show: impl Fn(&T) -> String) -> Option<String> {
    const SHOWN: usize = 3;
    if items.is_empty() {
        return None;
    }
    let mut shown: Vec<_> = items.iter().take(SHOWN).map(show).collect();
    if items.len() > SHOWN {
        shown.push("...".to_owned());
    }
    Some(format!("{} {what} ({})", items.len(), shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_counts_all_and_shows_the_first() {
        let mismatch = Mismatch {
            missing: ["a", "b", "c", "d"].map(String::from).into(),
            unexpected: vec![],
            wrong_shape: vec![WrongShape { name: "w".into(), found: vec![2], expected: vec![3, 1] }],
        };
        assert_eq!(
            mismatch.to_string(),
            "tensors: 4 missing (a, b, c, ...); 1 of another shape (w is [2], not [3, 1])"
        );
    }
}
