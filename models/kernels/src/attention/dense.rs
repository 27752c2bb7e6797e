//! The definition of attention in f64, one score at a time: what the tiled kernel is tested against.

use super::{Heads, Packing, Scoring, check};

/// Attention by its definition. Returns `out` `[q.rows, q.heads, v.dim]` and `lse` `[q.rows, q.heads]`, the
/// natural logarithm of the sum of exponentiated scores. A row that sees no key gives 0 and minus infinity.
///
/// # Panics
/// If shapes, strides or packings do not fit together.
pub fn forward(
    q: Heads<'_>,
    k: Heads<'_>,
    v: Heads<'_>,
    qs: Packing<'_>,
    ks: Packing<'_>,
    scoring: Scoring<'_>,
) -> (Vec<f64>, Vec<f64>) {
    check(q, k, v, qs, ks, scoring);
    let mut out = vec![0.0; q.rows * q.heads * v.dim];
    let mut lse = vec![f64::NEG_INFINITY; q.rows * q.heads];
    for s in 0..qs.offsets.len() - 1 {
        for i in qs.offsets[s]..qs.offsets[s + 1] {
            for head in 0..q.heads {
                let kv_head = head / (q.heads / k.heads);
                let keys: Vec<usize> = (ks.offsets[s]..ks.offsets[s + 1])
                    .filter(|&j| !scoring.causal || ks.positions[j] <= qs.positions[i])
                    .collect();
                let scores: Vec<f64> = keys
                    .iter()
                    .map(|&j| {
                        let dot: f64 = (0..q.dim)
                            .map(|d| f64::from(q.tail(i, head)[d]) * f64::from(k.tail(j, kv_head)[d]))
                            .sum();
                        let distance = f64::from(qs.positions[i].abs_diff(ks.positions[j]));
                        let slope = scoring.alibi.map_or(0.0, |slopes| f64::from(slopes[head]));
                        f64::from(scoring.scale) * dot - slope * distance
                    })
                    .collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|x| (x - max).exp()).sum();
                if keys.is_empty() {
                    continue;
                }
                lse[i * q.heads + head] = max + sum.ln();
                for (&j, score) in keys.iter().zip(&scores) {
                    let weight = (score - max).exp() / sum;
                    for d in 0..v.dim {
                        out[(i * q.heads + head) * v.dim + d] += weight * f64::from(v.tail(j, kv_head)[d]);
                    }
                }
            }
        }
    }
    (out, lse)
}
