//! The definition of attention in f64, one score at a time: what the tiled kernel is tested against.

mod backward;
mod normalise;
mod scores;

pub use backward::{Gradients, backward};

use super::{AttnSpec, Heads, Selection, Sequence, check};
use normalise::normalise;
use scores::Head;

/// Attention by its definition. Returns `out` `[q.rows, q.heads, value_dim]` and `lse` `[q.rows, q.heads]`, the
/// natural logarithm of the normaliser's denominator. A row that sees no key gives 0 and minus infinity.
///
/// # Panics
/// As [`forward`](super::forward).
pub fn forward(
    q: Heads<'_>,
    positions: &[u32],
    sequences: &[Sequence<'_>],
    spec: &AttnSpec,
    selection: Option<&Selection>,
) -> (Vec<f64>, Vec<f64>) {
    check(q, positions, sequences, spec, selection);
    let dim = sequences.first().map_or(0, |s| s.kv.value_dim());
    let mut out = vec![0.0; q.rows * q.heads * dim];
    let mut lse = vec![f64::NEG_INFINITY; q.rows * q.heads];
    for sequence in sequences {
        for head in 0..q.heads {
            let head = Head::new(q, positions, sequence, spec, selection, head);
            for row in 0..sequence.rows.len() {
                let (weights, denominator) = head.weights(row);
                let at = (sequence.rows.start + row) * q.heads + head.head;
                lse[at] = denominator;
                for (slot, weight) in weights.iter().enumerate() {
                    for (x, value) in out[at * dim..][..dim].iter_mut().zip(head.value(slot)) {
                        *x += weight * value;
                    }
                }
            }
        }
    }
    (out, lse)
}

/// The weights themselves, `[sequences][query heads]`, each `[rows, slots]` of that head; 0 where a key is not seen.
///
/// # Panics
/// As [`forward`](super::forward).
pub fn weights(
    q: Heads<'_>,
    positions: &[u32],
    sequences: &[Sequence<'_>],
    spec: &AttnSpec,
    selection: Option<&Selection>,
) -> Vec<Vec<Vec<f64>>> {
    check(q, positions, sequences, spec, selection);
    let of = |sequence: &Sequence<'_>, head| {
        let head = Head::new(q, positions, sequence, spec, selection, head);
        (0..sequence.rows.len()).flat_map(|row| head.weights(row).0).collect()
    };
    sequences.iter().map(|sequence| (0..q.heads).map(|head| of(sequence, head)).collect()).collect()
}

impl Head<'_> {
    /// Weights of one query row over all slots, and the logarithm of their denominator.
    fn weights(&self, row: usize) -> (Vec<f64>, f64) {
        let seen: Vec<usize> = (0..self.slots()).filter(|&slot| self.visible(row, slot)).collect();
        let scores: Vec<f64> = seen.iter().map(|&slot| self.score(row, slot, seen.len())).collect();
        let (normalised, denominator) = normalise(self.spec.norm, &scores);
        let mut weights = vec![0.0; self.slots()];
        for (&slot, weight) in seen.iter().zip(normalised) {
            weights[slot] = weight;
        }
        (weights, denominator)
    }
}
