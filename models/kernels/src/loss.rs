//! Losses over a vocabulary and their gradients, a row of logits at a time.

mod factorised;

pub use factorised::{Code, factorised};

use crate::exp::exp;
use crate::vectorize::vectorize;

/// The cross-entropy in nats of a row of logits against a target. With a `scale` the row becomes the gradient of `scale` times
/// the loss.
///
/// # Panics
/// If the target is not in the row.
pub fn cross_entropy(logits: &mut [f32], target: usize, scale: Option<f64>) -> f64 {
    let (sum, own) = exponentials(logits, target);
    if let Some(scale) = scale {
        let each = (scale / sum) as f32;
        vectorize(
            #[inline(always)]
            || {
                for x in logits.iter_mut() {
                    *x *= each;
                }
            },
        );
        logits[target] -= scale as f32;
    }
    sum.ln() - own
}

/// The row becomes `exp(x - max)`; returns the sum of it, and the target's `x - max`.
fn exponentials(logits: &mut [f32], target: usize) -> (f64, f64) {
    let mut own = 0.0;
    let sum = vectorize(
        #[inline(always)]
        || {
            let (chunks, rest) = logits.as_chunks::<16>();
            let mut lanes = [f32::NEG_INFINITY; 16];
            for chunk in chunks {
                for (lane, &x) in lanes.iter_mut().zip(chunk) {
                    *lane = if x > *lane { x } else { *lane };
                }
            }
            let max = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
            own = f64::from(logits[target] - max);
            let (chunks, rest) = logits.as_chunks_mut::<16>();
            let mut sums = [0.0_f32; 16];
            let mut total = 0.0_f64;
            // Lanes are short sums in f32, added up in f64.
            for block in chunks.chunks_mut(64) {
                sums.fill(0.0);
                for chunk in block {
                    for (sum, x) in sums.iter_mut().zip(chunk) {
                        *x = exp(*x - max);
                        *sum += *x;
                    }
                }
                total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
            }
            for x in rest {
                *x = exp(*x - max);
                total += f64::from(*x);
            }
            // Something that is no number was in none of the comparisons, but is in the sum.
            total
        },
    );
    (sum, own)
}

#[cfg(test)]
mod tests;
