//! When a sequence is done.

use serde::{Deserialize, Serialize};

use super::base::Motif;

/// Rules that end a sequence, whichever comes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The hard budget: tokens that are generated at most, the stop token included.
    pub max_tokens: usize,
    /// Tokens that end the sequence and do not belong to its text, such as `</s>`.
    pub tokens: Vec<u32>,
    /// Ends the sequence behind the first place where it occurs, as written, in what was generated.
    pub motif: Option<Motif>,
}

/// Why a sequence is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The budget is spent.
    Budget,
    /// A stop token came.
    Token,
    /// The motif is complete.
    Motif {
        /// Generated bases up to the end of the motif; a token may have brought more.
        end: usize,
    },
}

impl Stop {
    /// A budget and nothing else.
    pub const fn after_tokens(max_tokens: usize) -> Self {
        Self { max_tokens, tokens: Vec::new(), motif: None }
    }

    /// Whether the sequence is done: `generated` tokens so far, the last of which is `token`, and brought the last `added`
    /// letters of the generated `text`. To be asked after every token: only what the token can have completed is searched.
    pub fn check(&self, generated: usize, token: u32, text: &[u8], added: usize) -> Option<Reason> {
        if self.tokens.contains(&token) {
            return Some(Reason::Token);
        }
        if let Some(motif) = &self.motif {
            let from = text.len().saturating_sub(added.saturating_add(motif.len() - 1));
            if let Some(at) = motif.find(&text[from..]) {
                return Some(Reason::Motif { end: from + at + motif.len() });
            }
        }
        (generated >= self.max_tokens).then_some(Reason::Budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_holds_ends_the_sequence() {
        let stop = Stop { max_tokens: 3, tokens: vec![2], motif: Some("TAR".parse().expect("a motif")) };
        assert_eq!(stop.check(1, 9, b"ACG", 3), None);
        assert_eq!(stop.check(3, 9, b"ACGACGACG", 3), Some(Reason::Budget));
        assert_eq!(stop.check(3, 2, b"ACGACG", 0), Some(Reason::Token));
        // The motif reaches over two tokens, ends before the second does, and is told before the budget.
        assert_eq!(stop.check(3, 9, b"ACGACTAGA", 3), Some(Reason::Motif { end: 8 }));
        assert_eq!(Stop::after_tokens(0).check(0, 1, b"", 0), Some(Reason::Budget));
    }
}
