//! A token from the logits of one place.
//!
//! The law of a token is made of the logits in the order of Hugging Face's `generate`: suppressed tokens are taken out, then
//! temperature, top-k, top-p, softmax. Constraints come as a [`Mask`] of legal tokens or as a [`Predicate`], and what a draw
//! under constraints is worth comes with it.
//!
//! # Weights
//!
//! Drawing legal tokens only, each from the law restricted to them, gives legal sequences of the wrong law: a beginning with few
//! legal continuations is drawn as often as if it had many. With `p` the law of sequences without constraints, a sequence
//! drawn under constraints has the law `p(x) / prod Z_t`, where `Z_t` is the probability that the token at `t` is legal. Each
//! [`Choice`] carries `ln Z_t` as `log_weight`; under the sums of these as weights, means over samples are those of `p` restricted to
//! legal sequences and normalised. [`super::particles`] resamples while sequences grow.

use std::sync::Arc;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};

use super::awrs;
use super::mask::Mask;
use super::predicate::Predicate;
use super::vocabulary::Vocabulary;

mod law;
mod marginal;
mod settings;

pub use marginal::base_marginals;
pub use settings::{Rule, Sampling, SettingError, Truncation};

/// The random numbers of one sample. They depend on the seed and on the number of the sample, so that a sample stays the same
/// however many others are drawn.
pub fn generator(seed: u64, sample: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(sample);
    rng
}

/// One token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Its id.
    pub token: u32,
    /// Its log-probability under the model: the softmax of all logits as they came.
    pub log_probability: f64,
    /// Its log-probability under the law that it was drawn from, before constraints; 0 if it was chosen and not drawn.
    pub log_law: f64,
    /// The logarithm of what it counts; 0 without constraints, and for a token that was chosen and not drawn.
    pub log_weight: f64,
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// No token that the law can give is legal.
    #[error("dead end: no token that the sampling settings leave is legal here")]
    DeadEnd,
    /// The row of logits is not of the vocabulary.
    #[error("{found} logits for a vocabulary of {expected} tokens")]
    Size {
        /// Length of the row.
        found: usize,
        /// Size of the vocabulary.
        expected: usize,
    },
    /// A logit that no softmax can take.
    #[error("the logit of token {token} is {value}")]
    Logit {
        /// Whose logit.
        token: u32,
        /// Not a number, or plus infinity.
        value: f32,
    },
}

/// Draws tokens by one set of settings.
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
    vocabulary: Arc<Vocabulary>,
    suppress: Vec<u32>,
}

impl Sampler {
    /// Checks the settings. Tokens in `suppress` cannot occur; ids that the vocabulary does not have are ignored.
    pub fn new(
        sampling: Sampling,
        vocabulary: Arc<Vocabulary>,
        suppress: &[u32],
    ) -> Result<Self, SettingError> {
        sampling.check()?;
        if sampling.rule == Rule::BaseMarginal && vocabulary.kmer_length().is_none() {
            return Err(SettingError::NotKmers);
        }
        Ok(Self { sampling, vocabulary, suppress: suppress.to_vec() })
    }

    /// The settings.
    pub const fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// A token for a row of logits over the vocabulary, among the legal ones if there is a mask.
    ///
    /// At temperature 0 it is the legal token of the highest probability, of equal ones the one with the lower id.
    pub fn choose(
        &self,
        logits: &[f32],
        legal: Option<&Mask>,
        rng: &mut impl Rng,
    ) -> Result<Choice, SampleError> {
        let (scores, log_weight) = self.law(logits, legal)?;
        let token = if self.sampling.is_greedy() { best(&scores) } else { draw(&scores, rng) };
        Ok(self.choice(logits, &scores, token.ok_or(SampleError::DeadEnd)?, log_weight))
    }

    /// The same under a predicate on the text so far with the token's bases behind it, by adaptive weighted rejection
    /// sampling ([`awrs`]): the predicate is asked about few tokens. A token that is not DNA adds nothing to the text.
    ///
    /// The weight is without bias, not the probability that a token is legal, which would need all tokens to be asked about. A
    /// law so narrow that its other tokens round to probability 0 dead-ends where the predicate refuses the one left;
    /// temperature 0 goes on down the order of the tokens.
    pub fn choose_where(
        &self,
        logits: &[f32],
        legal: Option<&Mask>,
        text: &[u8],
        predicate: &mut (impl Predicate + ?Sized),
        rng: &mut impl Rng,
    ) -> Result<Choice, SampleError> {
        let (scores, log_weight) = self.law(logits, legal)?;
        let mut longer = text.to_vec();
        let mut accepts = |token: usize| {
            longer.truncate(text.len());
            let bases = self.vocabulary.bases(token as u32).unwrap_or_default();
            longer.extend(bases.iter().map(|base| base.letter()));
            predicate.accepts(&longer)
        };
        if self.sampling.is_greedy() {
            let mut order: Vec<usize> =
                (0..scores.len()).filter(|&token| scores[token] > f64::NEG_INFINITY).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            let token = order.into_iter().find(|&token| accepts(token)).ok_or(SampleError::DeadEnd)?;
            return Ok(self.choice(logits, &scores, token, 0.0));
        }
        let sum = log_sum_exp(scores.iter().copied());
        if sum == f64::NEG_INFINITY {
            return Err(SampleError::DeadEnd);
        }
        let probabilities: Vec<f64> = scores.iter().map(|score| (score - sum).exp()).collect();
        let drawn = awrs::sample(&probabilities, rng, accepts);
        let token = drawn.token.ok_or(SampleError::DeadEnd)?;
        Ok(self.choice(logits, &scores, token, log_weight + drawn.weight.ln()))
    }

    fn choice(&self, logits: &[f32], scores: &[f64], token: usize, log_weight: f64) -> Choice {
        let all = log_sum_exp(logits.iter().copied().map(f64::from));
        let log_law = if self.sampling.is_greedy() { 0.0 } else { scores[token] };
        Choice { token: token as u32, log_probability: f64::from(logits[token]) - all, log_law, log_weight }
    }
}

/// The highest score, of equal ones the first.
fn best(scores: &[f64]) -> Option<usize> {
    let mut best = None;
    for (token, &score) in scores.iter().enumerate() {
        if score > best.map_or(f64::NEG_INFINITY, |best: usize| scores[best]) {
            best = Some(token);
        }
    }
    best
}

/// Draws with probabilities in proportion to `exp(score)`. Relative to the best, so that what is left of a narrow law by a mask
/// keeps its proportions.
fn draw(scores: &[f64], rng: &mut impl Rng) -> Option<usize> {
    let top = scores[best(scores)?];
    let shares: Vec<f64> = scores.iter().map(|score| (score - top).exp()).collect();
    let mut place = rng.random::<f64>() * shares.iter().sum::<f64>();
    let token = shares.iter().position(|share| {
        place -= share;
        place < 0.0
    });
    // Rounding can leave a little at the end.
    token.or_else(|| shares.iter().rposition(|share| *share > 0.0))
}

/// `ln sum exp`, without overflow; minus infinity of nothing.
pub(super) fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    top + values.map(|value| (value - top).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests;
