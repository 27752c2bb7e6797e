//! Sequential Monte Carlo over sequences that carry weights (Doucet, de Freitas & Gordon 2001; for language models Lew et al.
//! 2023).
//!
//! Sequences that were drawn under constraints have the wrong law, and their weights say by how much. When few of them carry
//! most of the weight, light ones are dropped and heavy ones go on twice: the result is again a set of sequences whose weighted
//! mean is without bias. Sequences are then no longer independent, and depend on how many are drawn together.

use rand::{Rng, RngExt};

use super::sample::log_sum_exp;

/// How many sequences of equal weight are worth these: `(sum w)^2 / sum w^2`, between 1 and their number; 0 if no weight is
/// positive. Weights are given as logarithms and need not be normalised.
pub fn effective_sample_size(log_weights: &[f64]) -> f64 {
    let sum = log_sum_exp(log_weights.iter().copied());
    if sum == f64::NEG_INFINITY {
        return 0.0;
    }
    let squares = log_sum_exp(log_weights.iter().map(|w| 2.0 * w));
    (2.0 * sum - squares).exp()
}

/// The logarithm of the mean weight: its expectation, before the logarithm, is the probability that a sequence of the
/// model is legal.
pub fn log_mean_weight(log_weights: &[f64]) -> f64 {
    log_sum_exp(log_weights.iter().copied()) - (log_weights.len() as f64).ln()
}

/// Systematic resampling (Kitagawa 1996): which old sequence each new one continues, in order. A sequence with share `s` of the
/// weight goes on `floor(n s)` or `ceil(n s)` times. `None` if no weight is positive.
pub fn systematic(log_weights: &[f64], rng: &mut impl Rng) -> Option<Vec<usize>> {
    let sum = log_sum_exp(log_weights.iter().copied());
    if sum == f64::NEG_INFINITY {
        return None;
    }
    let count = log_weights.len();
    let first: f64 = rng.random();
    let mut ancestors = Vec::with_capacity(count);
    let mut reached = 0.0;
    for (i, weight) in log_weights.iter().enumerate() {
        reached += (weight - sum).exp() * count as f64;
        while ancestors.len() < count && ancestors.len() as f64 + first < reached {
            ancestors.push(i);
        }
    }
    // Rounding can leave the last ones without an ancestor.
    let last = log_weights.iter().rposition(|w| *w > f64::NEG_INFINITY)?;
    ancestors.resize(count, last);
    Some(ancestors)
}

/// Resamples when it is worth it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampler {
    /// The share of the sequences below which their effective number must fall.
    pub threshold: f64,
}

impl Default for Resampler {
    fn default() -> Self {
        Self { threshold: 0.5 }
    }
}

impl Resampler {
    /// The sequences that go on, or `None` if all go on as they are: the weights are even enough, or none is positive. After
    /// resampling all weights are the mean weight, so that [`log_mean_weight`] keeps its meaning.
    pub fn resample(&self, log_weights: &mut [f64], rng: &mut impl Rng) -> Option<Vec<usize>> {
        if effective_sample_size(log_weights) >= self.threshold * log_weights.len() as f64 {
            return None;
        }
        let ancestors = systematic(log_weights, rng)?;
        let mean = log_mean_weight(log_weights);
        log_weights.fill(mean);
        Some(ancestors)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    use super::*;

    const DEAD: f64 = f64::NEG_INFINITY;

    #[test]
    fn equal_weights_are_worth_their_number_and_one_weight_is_worth_one() {
        assert!((effective_sample_size(&[-800.0; 7]) - 7.0).abs() < 1e-9);
        assert!((effective_sample_size(&[DEAD, 3.0, DEAD]) - 1.0).abs() < 1e-12);
        assert!((effective_sample_size(&[0.0, 3.0_f64.ln()]) - 16.0 / 10.0).abs() < 1e-12);
        assert!(effective_sample_size(&[DEAD, DEAD]) == 0.0 && effective_sample_size(&[]) == 0.0);
    }

    #[test]
    fn shares_are_kept_up_to_one_sequence() {
        let weights = [0.5_f64, 0.0, 0.35, 0.15].map(f64::ln);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut counts = [0.0_f64; 4];
        for _ in 0..20_000 {
            let ancestors = systematic(&weights, &mut rng).expect("positive weights");
            assert!(ancestors.is_sorted() && ancestors.len() == 4 && !ancestors.contains(&1));
            assert_eq!(ancestors.iter().filter(|&&a| a == 0).count(), 2);
            for a in ancestors {
                counts[a] += 1.0 / 20_000.0;
            }
        }
        // Each count is one of two neighbours: its standard deviation is at most 0.5 a draw.
        for (count, expected) in counts.into_iter().zip([2.0, 0.0, 1.4, 0.6]) {
            assert!((count - expected).abs() < 5.0 * 0.5 / 20_000_f64.sqrt(), "{counts:?}");
        }
    }

    #[test]
    fn only_uneven_weights_are_resampled_and_the_mean_stays() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut even = [0.0, -0.1, 0.1, 0.05];
        assert_eq!(Resampler::default().resample(&mut even, &mut rng), None);
        let mut uneven = [0.0, -9.0, -9.0, DEAD];
        let before = log_mean_weight(&uneven);
        let ancestors = Resampler::default().resample(&mut uneven, &mut rng).expect("uneven");
        assert_eq!(ancestors.len(), 4);
        assert!((log_mean_weight(&uneven) - before).abs() < 1e-12);
        assert_eq!(Resampler::default().resample(&mut [DEAD; 3], &mut rng), None);
    }
}
