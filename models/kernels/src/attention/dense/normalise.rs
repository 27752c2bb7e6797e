//! Scores to weights.

use crate::attention::{Normalizer, UNIFORM};

/// Weights of the visible scores of one row, and the logarithm of their denominator.
pub(super) fn normalise(norm: Normalizer, scores: &[f64]) -> (Vec<f64>, f64) {
    if scores.is_empty() {
        return (Vec::new(), f64::NEG_INFINITY);
    }
    match norm {
        Normalizer::Softmax => {
            let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let (weights, sum) = divided(scores.iter().map(|score| (score - max).exp()).collect());
            (weights, max + sum.ln())
        }
        Normalizer::SoftplusL1 => {
            let (weights, sum) = divided(scores.iter().map(|&score| softplus(score)).collect());
            (weights, sum.ln())
        }
        Normalizer::SoftplusPow { p } => reweighted(scores, f64::from(p)),
    }
}

/// LSSAR: `relu(A N - O)^p`, divided by its sum; `O` is 0 for the first three rows. A row whose weights are all equal
/// keeps them.
fn reweighted(scores: &[f64], p: f64) -> (Vec<f64>, f64) {
    let (first, sum) = divided(scores.iter().map(|&score| softplus(score)).collect());
    let count = scores.len() as f64;
    let offset = if scores.len() <= 3 { 0.0 } else { 1.0 };
    let raised: Vec<f64> = first.iter().map(|a| a * count - offset).collect();
    let max = raised.iter().copied().fold(0.0, f64::max);
    if max <= f64::from(UNIFORM) {
        return (first, sum.ln());
    }
    let (weights, sum) = divided(raised.iter().map(|a| (a.max(0.0) / max).powf(p)).collect());
    (weights, p * max.ln() + sum.ln())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn divided(mut weights: Vec<f64>) -> (Vec<f64>, f64) {
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    (weights, sum)
}
