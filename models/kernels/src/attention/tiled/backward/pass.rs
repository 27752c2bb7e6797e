//! Gradients with products of f32.

use super::{Sums, Upstream};
use crate::aligned::Aligned;
use crate::attention::tiled::Call;
use crate::attention::tiled::cover::KeyTile;
use crate::attention::tiled::keys::Loaded;
use crate::attention::tiled::queries::{Queries, Reach};
use crate::attention::tiled::scores::{Scratch, cap, reaches};
use crate::attention::tiled::softmax::{Strip, visits};
use crate::exp::exp2;
use crate::matmul::Rows;
use crate::matmul::product::{self, Panels};
use crate::vectorize::vectorize;
use std::f32::consts::LOG2_E;

/// Adds what the tiles of some strips add up to.
pub(super) fn add_gradients(
    call: &Call<'_>,
    strips: &[Strip<'_>],
    upstream: Vec<Upstream>,
    kv_head: usize,
    sums: &mut Sums,
) {
    let mut passes: Vec<Pass<'_>> =
        strips.iter().zip(upstream).map(|(strip, upstream)| Pass::new(call, strip, upstream)).collect();
    let (mut scratch, mut tile) = (Scratch::default(), Tile::default());
    let mut own: [Aligned<f32>; 3] = Default::default();
    for visit in visits(strips) {
        let pieces = scratch.keys.load_both(call, kv_head, strips, &visit);
        scratch.keys.pack(call);
        tile.values.load(scratch.keys.values());
        let mut add = |scratch: &mut _, mut d_keys: KeySums<'_>, d_table: &mut [f64]| {
            for &(strip, n) in &visit {
                let keys = strips[strip].cover.tile(n);
                passes[strip].visit(keys, scratch, &mut tile, &mut d_keys, d_table);
            }
        };
        let Sums { dk, dv, d_table, .. } = &mut *sums;
        // Gradients of neighbouring keys, if these are as stored, are added up where they go.
        if let ([slots], true) = (pieces, scratch.keys.as_stored()) {
            let [near, values] = [(dk, call.q.dim), (dv, call.value_dim)]
                .map(|(sums, dim)| &mut sums[slots.start * dim..slots.end * dim]);
            add(&mut scratch, KeySums { near, raw: &mut [], values }, d_table);
            continue;
        }
        let (keys, values) = (scratch.keys.count * call.q.dim, scratch.keys.count * call.value_dim);
        let raw = if cap(call) == u32::MAX { 0 } else { keys };
        for (sums, size) in own.iter_mut().zip([keys, raw, values]) {
            sums.clear();
            sums.resize(size);
        }
        let [near, raw, values] = &mut own;
        add(&mut scratch, KeySums { near, raw, values }, d_table);
        scratch.keys.turn_back(near);
        near.iter_mut().zip(raw.iter()).for_each(|(near, raw)| *near += raw);
        sums.add_tile(pieces, near, values);
    }
    for Pass { queries, mut d_rotated, .. } in passes {
        sums.put_queries(call, queries, &mut d_rotated);
    }
}

/// One tile of keys: what all tiles of queries share.
#[derive(Default)]
struct Tile {
    values: Panels,
    /// `[stacked queries, slots]`
    d_scores: Aligned<f32>,
}

/// What the tiles of queries add up to for one tile of keys.
struct KeySums<'a> {
    /// Of the keys as rotated, `[slots, key_dim]`.
    near: &'a mut [f32],
    /// Of the keys as stored, if some may be met so.
    raw: &'a mut [f32],
    /// `[slots, value_dim]`
    values: &'a mut [f32],
}

/// One tile of queries on its way over the keys.
struct Pass<'a> {
    call: &'a Call<'a>,
    queries: &'a Queries<'a>,
    upstream: Upstream,
    /// `[value_dim, group * rows]`
    d_out_columns: Aligned<f32>,
    /// For each rotation of the queries, `[group * rows, key_dim]`.
    d_rotated: Vec<Aligned<f32>>,
}

impl<'a> Pass<'a> {
    fn new(call: &'a Call<'a>, strip: &'a Strip<'a>, upstream: Upstream) -> Self {
        let queries = &strip.queries;
        let d_rotated = queries.rotated.iter().map(|r| Aligned::zeroed(r.vectors.len())).collect();
        let d_out_columns = Aligned::transposed(&upstream.d_out, queries.count, call.value_dim);
        Self { call, queries, upstream, d_out_columns, d_rotated }
    }

    /// Adds a tile of keys that was loaded, or the beginning of one.
    fn visit(
        &mut self,
        keys: KeyTile<'_>,
        scratch: &mut Scratch<'a>,
        tile: &mut Tile,
        d_keys: &mut KeySums<'_>,
        d_table: &mut [f64],
    ) {
        scratch.score_loaded(self.call, self.queries, keys, None);
        let (rows, columns, dim) = (self.queries.count, keys.slots(), self.call.value_dim);
        let Upstream { d_out, lse, shift } = &self.upstream;
        let weights = &mut scratch.scores;
        // All of them are overwritten.
        let Tile { values, d_scores } = tile;
        d_scores.resize(rows * columns);
        product::scores(d_scores, Rows::packed(&self.d_out_columns, dim, rows), values, columns);
        through_softmax(weights, d_scores, lse, shift, columns);
        let weighed = Rows::packed(weights, rows, columns);
        let d_values = &mut d_keys.values[..columns * dim];
        product::add_transposed(d_values, weighed, Rows::packed(d_out, rows, dim));
        self.table_gradient(d_scores, &scratch.keys.positions[..columns], d_table);
        if let Some(cap) = self.call.spec.softcap {
            for (d, capped) in d_scores.iter_mut().zip(scratch.capped.iter()) {
                *d *= 1.0 - (capped / cap).powi(2);
            }
        }
        self.through_products(d_scores, columns, &scratch.keys, d_keys);
    }

    fn table_gradient(&self, d_scores: &[f32], keys: &[u32], d_table: &mut [f64]) {
        let buckets = self.call.bias.buckets();
        for (stacked, row) in d_scores.chunks_exact(keys.len()).enumerate().filter(|_| buckets > 0) {
            let (head, at) = self.queries.place(stacked);
            let table = &mut d_table[(head - self.queries.first_head) * buckets..][..buckets];
            self.call.bias.add_gradient(self.queries.positions[at], keys, row, table);
        }
    }

    /// Gradients of queries and keys from those of their products.
    fn through_products(
        &mut self,
        d_scores: &[f32],
        columns: usize,
        keys: &Loaded<'_>,
        d_keys: &mut KeySums<'_>,
    ) {
        let (rows, dim) = (self.queries.count, self.call.q.dim);
        let present: Vec<bool> =
            self.queries.rotated.iter().map(|r| reaches(self.call, self.queries, keys, r.reach)).collect();
        let single = present.iter().filter(|&&p| p).count() == 1;
        for (i, _) in present.iter().enumerate().filter(|&(_, &p)| p) {
            let rotated = &self.queries.rotated[i];
            let only = (!single).then(|| self.only(rotated.reach, d_scores, &keys.positions[..columns]));
            let d = Rows::packed(only.as_deref().unwrap_or(d_scores), rows, columns);
            product::add(&mut self.d_rotated[i], d, keys.of(rotated.reach).slice(0..columns));
            let KeySums { near, raw, .. } = &mut *d_keys;
            let d_keys = if rotated.reach == Reach::Near { near } else { raw };
            let rotated = Rows::packed(&rotated.vectors, rows, dim);
            product::add_transposed(&mut d_keys[..columns * dim], d, rotated);
        }
    }

    /// The gradients of pairs of one reach, 0 for others.
    fn only(&self, reach: Reach, d_scores: &[f32], keys: &[u32]) -> Vec<f32> {
        let cap = cap(self.call);
        let rows = d_scores.chunks_exact(keys.len()).enumerate();
        let row = |(stacked, row): (usize, &[f32])| {
            let query = self.queries.positions[self.queries.place(stacked).1];
            let kept = |(&d, &key): (&f32, &u32)| if Reach::of(query, key, cap) == reach { d } else { 0.0 };
            row.iter().zip(keys).map(kept).collect::<Vec<f32>>()
        };
        rows.flat_map(row).collect()
    }
}

/// Scores to weights `P = exp(S - lse)`, and gradients of weights to those of scores, `dS = P (dP + shift)`.
fn through_softmax(scores: &mut [f32], d_weights: &mut [f32], lse: &[f32], shift: &[f32], columns: usize) {
    let rows = scores.chunks_exact_mut(columns).zip(d_weights.chunks_exact_mut(columns));
    let mut rows = rows.zip(lse.iter().zip(shift));
    vectorize(
        #[inline(always)]
        || {
            for ((scores, d_weights), (lse, shift)) in rows.by_ref() {
                let lse = lse * LOG2_E;
                for (score, d) in scores.iter_mut().zip(d_weights) {
                    *score = exp2(score.mul_add(LOG2_E, -lse));
                    *d = *score * (*d + shift);
                }
            }
        },
    );
}
