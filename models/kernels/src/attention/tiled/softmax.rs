//! Softmax over tiles of keys: a running maximum, a running sum, and the values weighed so far.

use super::cover::{Cover, KeyTile};
use super::keys::Keys;
use super::queries::Queries;
use super::scores::Scratch;
use super::{Call, QueryTile};
use crate::attention::KvView;
use crate::attention::product::{self, Rows};
use crate::exp::exp_nonpositive;
use rayon::prelude::*;

/// A sequence of fewer tiles of queries, over all heads, than this splits its keys as well.
const FEW_JOBS: usize = 64;
/// Tiles of keys in a part of a split, at least.
const PART: usize = 16;
/// Parts of a split, at most.
const PARTS: usize = 64;

/// Attention of one tile of queries in one key/value head: `out` `[group, rows, value_dim]`, `lse` `[group, rows]`.
pub(super) fn attend(call: &Call<'_>, tile: &QueryTile, kv_head: usize) -> (Vec<f32>, Vec<f32>) {
    let queries = Queries::new(call, tile, kv_head);
    let kv = call.sequences[tile.sequence].kv;
    let cover = call.sights[tile.sequence][kv_head].cover(tile.rows.clone());
    let part = part_size(call, tile, &cover);
    let over = |scratch: &mut Scratch, start: usize| {
        let mut state = Running::new(queries.count, call.value_dim);
        for keys in cover.tiles(start..cover.len().min(start + part)) {
            state.visit(call, &queries, kv, keys, scratch);
        }
        state
    };
    if part >= cover.len() {
        return over(&mut Scratch::default(), 0).finish();
    }
    let starts: Vec<usize> = (0..cover.len()).step_by(part).collect();
    let parts: Vec<Running> = starts.into_par_iter().map_init(Scratch::default, over).collect();
    let mut parts = parts.into_iter();
    let first = parts.next().expect("a part");
    parts.fold(first, Running::merged).finish()
}

/// Tiles of keys that one job visits. It follows from the sequence alone, so that the order of sums does too.
fn part_size(call: &Call<'_>, tile: &QueryTile, cover: &Cover) -> usize {
    let rows = call.sequences[tile.sequence].rows.len();
    let jobs = (rows * call.group).div_ceil(super::QUERY_TILE) * call.kv_heads;
    if jobs >= FEW_JOBS { cover.len().max(1) } else { cover.len().div_ceil(PARTS).max(PART) }
}

/// The state of the online softmax for each stacked query.
struct Running {
    dim: usize,
    /// Values weighed by `exp(score - max)`, `[queries, dim]`.
    out: Vec<f32>,
    max: Vec<f32>,
    sum: Vec<f32>,
}

impl Running {
    fn new(rows: usize, dim: usize) -> Self {
        Self { dim, out: vec![0.0; rows * dim], max: vec![f32::NEG_INFINITY; rows], sum: vec![0.0; rows] }
    }

    fn visit(
        &mut self,
        call: &Call<'_>,
        queries: &Queries<'_>,
        kv: &dyn KvView,
        tile: KeyTile<'_>,
        scratch: &mut Scratch,
    ) {
        scratch.score(call, queries, kv, tile, None);
        scratch.keys.load_values(kv, queries.first_head / call.group, tile.pieces);
        let Scratch { keys: Keys { count, values, .. }, scores, .. } = scratch;
        for (i, row) in scores.chunks_exact_mut(*count).enumerate() {
            let out = &mut self.out[i * self.dim..][..self.dim];
            online(row, out, &mut self.max[i], &mut self.sum[i]);
        }
        let weights = Rows::packed(scores, queries.count, *count);
        product::add(&mut self.out, weights, Rows::packed(values, *count, self.dim));
    }

    /// Both, over disjoint keys.
    fn merged(mut self, other: Self) -> Self {
        for i in 0..self.max.len() {
            let max = self.max[i].max(other.max[i]);
            if max == f32::NEG_INFINITY {
                continue;
            }
            let (a, b) = ((self.max[i] - max).exp(), (other.max[i] - max).exp());
            self.max[i] = max;
            self.sum[i] = a * self.sum[i] + b * other.sum[i];
            let rows = i * self.dim..(i + 1) * self.dim;
            for (x, y) in self.out[rows.clone()].iter_mut().zip(&other.out[rows]) {
                *x = a * *x + b * y;
            }
        }
        self
    }

    /// `out` and `lse`.
    fn finish(mut self) -> (Vec<f32>, Vec<f32>) {
        for (out, &sum) in self.out.chunks_exact_mut(self.dim.max(1)).zip(&self.sum) {
            let inverse = if sum > 0.0 { sum.recip() } else { 0.0 };
            out.iter_mut().for_each(|x| *x *= inverse);
        }
        let lse = self.max.iter().zip(&self.sum).map(|(max, sum)| max + sum.ln()).collect();
        (self.out, lse)
    }
}

/// Replaces a row of scores by `exp(score - running maximum)` and rescales what was summed so far.
fn online(row: &mut [f32], out: &mut [f32], max: &mut f32, sum: &mut f32) {
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
pub(super) fn lanes(row: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
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
