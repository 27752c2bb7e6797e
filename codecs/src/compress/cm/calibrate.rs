//! How sure a class is: bits are divided by a temperature before they become probabilities.
//!
//! Letters of a sequence are predicted one after another from counts of related sequences, and their errors are far from
//! independent; the plain sum of bits is many times too sure. One number, fitted on sequences that the counts have not seen,
//! puts that right (temperature scaling, Guo et al. 2017).

use rayon::prelude::*;

use super::{Example, Model, Score};

/// The temperature in [1, 10^5] under which held-out sequences are most probable; 1 without any.
pub(super) fn temperature(model: &Model, held_out: &[Example]) -> f64 {
    let scores: Vec<(Score, usize)> =
        held_out.par_iter().map(|example| (model.score(example.sequence), example.class)).collect();
    fit(&scores).0
}

/// The temperature for scores of sequences of known classes, and the bits of surprise at these classes under it.
pub(super) fn fit(scores: &[(Score, usize)]) -> (f64, f64) {
    if scores.is_empty() {
        return (1.0, 0.0);
    }
    let loss = |logarithm: f64| -> f64 {
        let temperature = logarithm.exp();
        scores.iter().map(|(score, class)| surprise(&score.bits, *class, temperature)).sum()
    };
    // The loss is convex in 1/T, so it has one valley in log T: golden sections find it.
    let (mut low, mut high) = (0.0, 1e5_f64.ln());
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    for _ in 0..60 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if loss(a) <= loss(b) { high = b } else { low = a }
    }
    let logarithm = f64::midpoint(low, high);
    (logarithm.exp(), loss(logarithm))
}

/// Bits of surprise at the true class.
fn surprise(bits: &[f64], class: usize, temperature: f64) -> f64 {
    let best = bits.iter().copied().fold(f64::INFINITY, f64::min);
    let total: f64 = bits.iter().map(|bits| ((best - bits) / temperature).exp2()).sum();
    (bits[class] - best) / temperature + total.log2()
}
