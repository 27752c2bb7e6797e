//! What a user says about sampling.

use serde::{Deserialize, Serialize};

/// How tokens are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Divides the logits: above 1 more even, below 1 narrower, 0 the best token always.
    pub temperature: f64,
    /// Only the `k` tokens of the highest logits can occur, and those equal to the last of them.
    pub top_k: Option<usize>,
    /// Only the most probable tokens can occur, as few as have at least this probability together.
    pub top_p: Option<f64>,
    /// Whether top-k and top-p see constraints.
    pub truncation: Truncation,
    /// What is drawn.
    pub rule: Rule,
    /// Of the random numbers, with the number of the sample: [`super::generator`].
    pub seed: u64,
}

/// What is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Whole tokens.
    #[default]
    Token,
    /// Each base of a k-mer on its own: its law is the sum over all k-mers with that base at that place, and temperature,
    /// top-k and top-p apply to it. The k-mer is put together from the bases; under constraints, its law is the product of
    /// the laws of the bases, restricted to legal k-mers.
    BaseMarginal,
}

/// The order of truncation and constraints. Without top-k and top-p it makes no difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truncation {
    /// Top-k and top-p cut the model's law, and constraints apply to what is left: weights are exact for the cut law, and it
    /// can happen that no token left is legal.
    #[default]
    BeforeMask,
    /// Top-k and top-p count legal tokens only, so one is always left. Weights are exact for the model's law at the
    /// temperature, restricted to the tokens left. Applies to whole tokens under a mask: the bases of base-marginal
    /// decoding are not masked, and what a predicate refuses is not known before it is asked.
    AfterMask,
}

/// A setting that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// The temperature.
    #[error("temperature {value}: expected a number from 0 on")]
    Temperature {
        /// As given.
        value: f64,
    },
    /// Top-k.
    #[error("top-k 0: at least one token has to be left")]
    TopK,
    /// Top-p.
    #[error("top-p {value}: expected a number above 0, at most 1")]
    TopP {
        /// As given.
        value: f64,
    },
    /// Base-marginal decoding of other tokens than k-mers.
    #[error("base-marginal decoding needs a vocabulary with all k-mers of one length and no other DNA")]
    NotKmers,
}

impl Default for Sampling {
    /// The model's own law.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: None,
            top_p: None,
            truncation: Truncation::default(),
            rule: Rule::default(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// Whether the settings make sense.
    pub fn check(&self) -> Result<(), SettingError> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(SettingError::Temperature { value: self.temperature });
        }
        if self.top_k == Some(0) {
            return Err(SettingError::TopK);
        }
        match self.top_p {
            Some(value) if !(value > 0.0 && value <= 1.0) => Err(SettingError::TopP { value }),
            _ => Ok(()),
        }
    }

    /// Whether tokens are chosen and not drawn.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0
    }
}
