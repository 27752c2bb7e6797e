//! A compressor of bases: many models predict each base, a mixer learns how much each is worth, and an arithmetic coder
//! writes the base in as many bits as it was surprising.
//!
//! The models are counts after contexts of 1 to 24 bases, which also count the reverse complement, since DNA repeats itself
//! inverted; and followers of earlier occurrences, forward and inverted, that go on through substitutions. All predictions go
//! as logarithms into one softmax whose weights are learned on line (as in GeCo3 and cmix, but over the four bases at
//! once). Everything is computed in one order without fused operations, so that what one machine wrote any other reads.

mod coder;
mod counts;
mod estimate;
mod follow;
mod logistic;
mod predictor;

pub use coder::{Decoder, Encoder};
pub use predictor::Predictor;

/// Bits that the bases (numbers from 0 to 3) take by a fresh predictor.
pub fn bits(bases: &[u8]) -> f64 {
    let mut predictor = Predictor::new(bases.len());
    bases
        .iter()
        .map(|&base| {
            let bits = predictor.bits(base);
            predictor.update(base);
            bits
        })
        .sum()
}

#[cfg(test)]
mod tests;
