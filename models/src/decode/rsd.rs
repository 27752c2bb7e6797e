//! Recursive speculative decoding (Jeon et al. 2024): several drafts of one token, checked one after the other.
//!
//! Drafts are drawn without replacement from a cheap law. Whatever it is, the token that comes out has the target's law.

use super::draw_order;
use rand::{Rng, RngExt};

/// Drafts for one token: different ones, in the order in which they are to be checked. Fewer than `count` if fewer can occur.
pub fn drafts(draft: &[f64], count: usize, rng: &mut impl Rng) -> Vec<usize> {
    let mut order = draw_order(draft, rng);
    order.truncate(count);
    order
}

/// What came of the drafts of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The token.
    pub token: usize,
    /// Which draft it is; `None` if all were rejected.
    pub draft: Option<usize>,
}

/// Checks drafts that were drawn from `draft` without replacement against `target`; both laws sum to 1.
///
/// # Panics
/// If a draft is no token.
pub fn verify(target: &[f64], draft: &[f64], drafts: &[usize], rng: &mut impl Rng) -> Outcome {
    let mut check = Check::new(target, draft);
    for (i, &token) in drafts.iter().enumerate() {
        if rng.random::<f64>() < check.acceptance(token) {
            return Outcome { token, draft: Some(i) };
        }
        check.reject(token);
    }
    let left = check.target();
    let mut place = rng.random::<f64>() * left.iter().sum::<f64>();
    let token = left.iter().position(|p| {
        place -= p;
        place < 0.0
    });
    // Rounding can leave a little at the end.
    let last = || left.iter().rposition(|p| *p > 0.0).unwrap_or(0);
    Outcome { token: token.unwrap_or_else(last), draft: None }
}

/// The two laws while drafts are rejected.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    target: Vec<f64>,
    draft: Vec<f64>,
}

impl Check {
    /// Before the first draft.
    ///
    /// # Panics
    /// If the laws are over different tokens.
    pub fn new(target: &[f64], draft: &[f64]) -> Self {
        assert_eq!(target.len(), draft.len(), "laws over the same tokens");
        Self { target: target.to_vec(), draft: draft.to_vec() }
    }

    /// The probability with which the next draft is accepted: `min(1, target / draft)`.
    pub fn acceptance(&self, token: usize) -> f64 {
        if self.target[token] > 0.0 { (self.target[token] / self.draft[token]).min(1.0) } else { 0.0 }
    }

    /// After a draft was rejected, the target is what it had more than the draft law, and the draft law goes on without the
    /// token; both are normalised.
    pub fn reject(&mut self, token: usize) {
        let mut left: Vec<f64> = self.target.iter().zip(&self.draft).map(|(q, p)| (q - p).max(0.0)).collect();
        // Equal laws reject nothing; what rounding rejects goes on with the law that it had.
        if normalise(&mut left) {
            self.target = left;
        }
        self.draft[token] = 0.0;
        normalise(&mut self.draft);
    }

    /// The law of the token if there are no more drafts.
    pub fn target(&self) -> &[f64] {
        &self.target
    }

    /// The law of the next draft.
    pub fn draft(&self) -> &[f64] {
        &self.draft
    }
}

fn normalise(law: &mut [f64]) -> bool {
    let sum: f64 = law.iter().sum();
    if sum > 0.0 {
        for p in law {
            *p /= sum;
        }
    }
    sum > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    #[test]
    fn tokens_have_the_law_of_the_target() {
        let (target, draft) = ([0.1, 0.4, 0.0, 0.5], [0.6, 0.1, 0.2, 0.1]);
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        for count in 0..=4 {
            let mut counts = [0; 4];
            for _ in 0..50_000 {
                let tried = drafts(&draft, count, &mut rng);
                let Outcome { token, draft } = verify(&target, &draft, &tried, &mut rng);
                assert!(draft.is_none_or(|i| tried[i] == token));
                counts[token] += 1;
            }
            for (found, expected) in counts.into_iter().zip(target) {
                assert!((f64::from(found) / 50_000.0 - expected).abs() < 0.012, "{count}: {counts:?}");
            }
        }
    }

    #[test]
    fn equal_laws_accept_the_first_draft() {
        let law = [0.25, 0.5, 0.25];
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..1000 {
            let tried = drafts(&law, 3, &mut rng);
            assert_eq!(verify(&law, &law, &tried, &mut rng).draft, Some(0));
        }
    }
}
