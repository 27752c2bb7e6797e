//! The tiled kernel: online softmax over tiles of keys.

use super::{Heads, Packing, Scoring, check};
use crate::exp::exp_nonpositive;
use crate::gemm::{Matrix, multiply_add, multiply_transposed};
use rayon::prelude::*;

/// Queries in a tile: enough rows for the matrix kernels, few enough that a tile of scores stays in cache.
const QUERY_TILE: usize = 64;
/// Keys in a tile.
const KEY_TILE: usize = 128;

/// Exact attention over packed sequences in f32. Writes `out` `[q.rows, q.heads, v.dim]` and `lse`
/// `[q.rows, q.heads]` (natural logarithm); a row that sees no key gives 0 and minus infinity.
///
/// Work is `sum of q_len * k_len`, memory beyond the outputs a few tiles a thread. Query head `h` reads
/// key/value head `h / (q.heads / k.heads)`.
///
/// # Panics
/// If shapes, strides or packings do not fit together.
#[allow(clippy::too_many_arguments)]
pub fn forward(
    q: Heads<'_>,
    k: Heads<'_>,
    v: Heads<'_>,
    qs: Packing<'_>,
    ks: Packing<'_>,
    scoring: Scoring<'_>,
    out: &mut [f32],
    lse: &mut [f32],
) {
    check(q, k, v, qs, ks, scoring);
    assert_eq!(out.len(), q.rows * q.heads * v.dim, "out has another shape");
    assert_eq!(lse.len(), q.rows * q.heads, "lse has another shape");
    let mut jobs = Vec::new();
    let (mut out_rest, mut lse_rest) = (out, lse);
    for s in 0..qs.offsets.len() - 1 {
        for first in (qs.offsets[s]..qs.offsets[s + 1]).step_by(QUERY_TILE) {
            let rows = QUERY_TILE.min(qs.offsets[s + 1] - first);
            let (out, rest) = out_rest.split_at_mut(rows * q.heads * v.dim);
            out_rest = rest;
            let (lse, rest) = lse_rest.split_at_mut(rows * q.heads);
            lse_rest = rest;
            jobs.push((s, first, rows, out, lse));
        }
    }
    jobs.into_par_iter().for_each_init(Scratch::default, |scratch, (s, first, rows, out, lse)| {
        let keys = ks.offsets[s]..ks.offsets[s + 1];
        for head in 0..q.heads {
            let tile = QueryTile { q, k, v, qs, ks, scoring, first, rows, head };
            tile.attend(keys.clone(), scratch);
            for i in 0..rows {
                let sum = scratch.sum[i];
                let inverse = if sum > 0.0 { sum.recip() } else { 0.0 };
                let target = &mut out[(i * q.heads + head) * v.dim..][..v.dim];
                for (to, from) in target.iter_mut().zip(&scratch.out[i * v.dim..]) {
                    *to = from * inverse;
                }
                lse[i * q.heads + head] = scratch.max[i] + sum.ln();
            }
        }
    });
}

/// Buffers one thread uses again for every tile.
#[derive(Default)]
struct Scratch {
    scores: Vec<f32>,
    out: Vec<f32>,
    max: Vec<f32>,
    sum: Vec<f32>,
}

/// One head of one tile of queries.
struct QueryTile<'a> {
    q: Heads<'a>,
    k: Heads<'a>,
    v: Heads<'a>,
    qs: Packing<'a>,
    ks: Packing<'a>,
    scoring: Scoring<'a>,
    first: usize,
    rows: usize,
    head: usize,
}

impl QueryTile<'_> {
    fn attend(&self, keys: std::ops::Range<usize>, scratch: &mut Scratch) {
        let kv_head = self.head / (self.q.heads / self.k.heads);
        scratch.out.clear();
        scratch.out.resize(self.rows * self.v.dim, 0.0);
        scratch.max.clear();
        scratch.max.resize(self.rows, f32::NEG_INFINITY);
        scratch.sum.clear();
        scratch.sum.resize(self.rows, 0.0);
        scratch.scores.resize(QUERY_TILE * KEY_TILE, 0.0);
        let q = Matrix {
            data: self.q.tail(self.first, self.head),
            rows: self.rows,
            columns: self.q.dim,
            row_stride: self.q.row_stride,
        };
        let positions = &self.qs.positions[self.first..self.first + self.rows];
        let latest = positions.iter().max().copied().unwrap_or(0);
        for start in keys.clone().step_by(KEY_TILE) {
            let count = KEY_TILE.min(keys.end - start);
            let key_positions = &self.ks.positions[start..start + count];
            // A tile that lies wholly after every query of this tile holds nothing a causal query may see.
            if self.scoring.causal && key_positions.iter().all(|&p| p > latest) {
                continue;
            }
            let k = Matrix {
                data: self.k.tail(start, kv_head),
                rows: count,
                columns: self.k.dim,
                row_stride: self.k.row_stride,
            };
            let scores = &mut scratch.scores[..self.rows * count];
            multiply_transposed(scores, q, k, self.scoring.scale);
            let slope = self.scoring.alibi.map(|slopes| slopes[self.head]);
            for (i, row) in scores.chunks_exact_mut(count).enumerate() {
                bias(row, positions[i], key_positions, slope, self.scoring.causal);
                let out = &mut scratch.out[i * self.v.dim..][..self.v.dim];
                online_softmax(row, out, &mut scratch.max[i], &mut scratch.sum[i]);
            }
            let weights = Matrix { data: scores, rows: self.rows, columns: count, row_stride: count };
            let v = Matrix {
                data: self.v.tail(start, kv_head),
                rows: count,
                columns: self.v.dim,
                row_stride: self.v.row_stride,
            };
            multiply_add(&mut scratch.out, weights, v);
        }
    }
}

/// Adds the position bias to one row of scores and sets what the mask hides to minus infinity.
fn bias(row: &mut [f32], position: u32, keys: &[u32], slope: Option<f32>, causal: bool) {
    if let Some(slope) = slope {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                for (score, &key) in row.iter_mut().zip(keys) {
                    // Distances below 2^24 are exact in f32.
                    *score -= slope * position.abs_diff(key) as f32;
                }
            },
        );
    }
    if causal {
        for (score, &key) in row.iter_mut().zip(keys) {
            if key > position {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}

/// Replaces a row of scores by `exp(score - running maximum)` and rescales what was summed so far.
fn online_softmax(row: &mut [f32], out: &mut [f32], max: &mut f32, sum: &mut f32) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let new = lanes(row, f32::NEG_INFINITY, f32::max).max(*max);
            if new == f32::NEG_INFINITY {
                // Nothing visible so far: exp(-inf - -inf) would be NaN.
                row.fill(0.0);
                return;
            }
            for score in row.iter_mut() {
                *score = exp_nonpositive(*score - new);
            }
            let correction = exp_nonpositive(*max - new);
            *sum = sum.mul_add(correction, lanes(row, 0.0, |a, b| a + b));
            for value in out {
                *value *= correction;
            }
            *max = new;
        },
    );
}

/// Folds a row in 16 independent lanes: an order the vector units can follow and that never changes.
#[inline(always)]
fn lanes(row: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = f(*lane, x);
        }
    }
    let total = lanes.into_iter().fold(start, &f);
    rest.iter().copied().fold(total, f)
}

#[cfg(test)]
mod tests {
    use super::super::dense;
    use super::*;
    use proptest::prelude::*;

    fn noise(n: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..n)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / (1 << 22) as f32 - 2.0
            })
            .collect()
    }

    /// One case for both kernels; `shuffle` permutes the keys in memory together with their positions.
    #[allow(clippy::too_many_arguments)]
    fn worst_error(
        lengths: &[usize],
        heads: usize,
        group: usize,
        dim: usize,
        v_dim: usize,
        causal: bool,
        alibi: bool,
        reverse_keys: bool,
    ) -> f64 {
        let rows: usize = lengths.iter().sum();
        let offsets: Vec<usize> = std::iter::once(0)
            .chain(lengths.iter().scan(0, |at, n| {
                *at += n;
                Some(*at)
            }))
            .collect();
        let positions: Vec<u32> = lengths.iter().flat_map(|&n| 0..n as u32).collect();
        let key_positions: Vec<u32> = if reverse_keys {
            lengths.iter().flat_map(|&n| (0..n as u32).rev()).collect()
        } else {
            positions.clone()
        };
        let q = noise(rows * heads * group * dim, 1);
        let k = noise(rows * heads * dim, 2);
        let v = noise(rows * heads * v_dim, 3);
        let slopes: Vec<f32> = (0..heads * group).map(|h| 0.5_f32.powi(h as i32 + 1)).collect();
        let (q, k, v) = (
            Heads::contiguous(&q, rows, heads * group, dim),
            Heads::contiguous(&k, rows, heads, dim),
            Heads::contiguous(&v, rows, heads, v_dim),
        );
        let qs = Packing { offsets: &offsets, positions: &positions };
        let ks = Packing { offsets: &offsets, positions: &key_positions };
        let scoring =
            Scoring { scale: 1.0 / (dim as f32).sqrt(), causal, alibi: alibi.then_some(&slopes[..]) };
        let mut out = vec![f32::NAN; rows * heads * group * v_dim];
        let mut lse = vec![f32::NAN; rows * heads * group];
        forward(q, k, v, qs, ks, scoring, &mut out, &mut lse);
        let (expected, expected_lse) = dense::forward(q, k, v, qs, ks, scoring);
        let difference = |a: f32, b: f64| (f64::from(a) - b).abs();
        let worst = out.iter().zip(&expected).map(|(a, b)| difference(*a, *b)).fold(0.0, f64::max);
        lse.iter().zip(&expected_lse).map(|(a, b)| difference(*a, *b)).fold(worst, f64::max)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn tiled_equals_dense(
            lengths in prop::collection::vec(0usize..300, 1..4),
            heads in 1usize..4, group in 1usize..3, dim in 1usize..20, v_dim in 1usize..20,
            causal: bool, alibi: bool, reverse_keys: bool,
        ) {
            let worst = worst_error(&lengths, heads, group, dim, v_dim, causal, alibi, reverse_keys);
            prop_assert!(worst < 1e-5, "error {worst:e}");
        }
    }

    #[test]
    fn a_query_that_sees_no_key_gives_zero_and_minus_infinity() {
        let (q, k, v) = ([1.0], [1.0], [5.0]);
        let mut out = [f32::NAN];
        let mut lse = [f32::NAN];
        let one = |x| Heads::contiguous(x, 1, 1, 1);
        forward(
            one(&q),
            one(&k),
            one(&v),
            Packing { offsets: &[0, 1], positions: &[3] },
            Packing { offsets: &[0, 1], positions: &[4] },
            Scoring { scale: 1.0, causal: true, alibi: None },
            &mut out,
            &mut lse,
        );
        assert_eq!((out[0].to_bits(), lse[0]), (0, f32::NEG_INFINITY));
    }

    #[test]
    fn the_same_bits_for_any_number_of_threads() {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let x = noise(1000 * 3 * 8, 9);
            let heads = Heads::contiguous(&x, 1000, 3, 8);
            let positions: Vec<u32> = (0..1000).collect();
            let packing = Packing { offsets: &[0, 1000], positions: &positions };
            let mut out = vec![0.0; x.len()];
            let mut lse = vec![0.0; 3000];
            let scoring = Scoring { scale: 0.3, causal: false, alibi: Some(&[0.5, 0.25, 0.125]) };
            pool.install(|| forward(heads, heads, heads, packing, packing, scoring, &mut out, &mut lse));
            (out, lse)
        };
        assert!(run(1) == run(4));
    }
}
