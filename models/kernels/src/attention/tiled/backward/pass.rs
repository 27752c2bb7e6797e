//! Gradients with products of f32.

use super::{Sums, Upstream};
use crate::aligned::Aligned;
use crate::attention::tiled::Call;
use crate::attention::tiled::cover::KeyTile;
use crate::attention::tiled::queries::{Queries, Reach};
use crate::attention::tiled::scores::{Scratch, cap, reaches};
use crate::attention::tiled::softmax::{Strip, visits};
use crate::exp::exp;
use crate::matmul::Rows;
use crate::matmul::product::{self, Panels};
use crate::vectorize::vectorize;

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
    let (mut scratch, mut keys) = (Scratch::default(), KeySums::default());
    for visit in visits(strips) {
        scratch.keys.load_both(call, kv_head, strips, &visit);
        scratch.keys.pack(call);
        keys.start(call, &scratch);
        for &(strip, n) in &visit {
            passes[strip].visit(strips[strip].cover.tile(n), &mut scratch, &mut keys, sums);
        }
        let (strip, n) = visit[0];
        scratch.keys.turn_back(&mut keys.d_near);
        keys.d_near.iter_mut().zip(keys.d_raw.iter()).for_each(|(near, raw)| *near += raw);
        sums.add_tile(strips[strip].cover.tile(n).pieces, &keys.d_near, &keys.d_values);
    }
    for Pass { queries, mut d_rotated, .. } in passes {
        sums.put_queries(call, queries, &mut d_rotated);
    }
}

/// One tile of keys: what all tiles of queries share, and what they add up to.
#[derive(Default)]
struct KeySums {
    values: Panels,
    /// Of the keys as rotated, `[slots, key_dim]`.
    d_near: Aligned<f32>,
    /// Of the keys as stored, if some may be met so.
    d_raw: Aligned<f32>,
    /// `[slots, value_dim]`
    d_values: Aligned<f32>,
    /// `[stacked queries, slots]`
    d_scores: Aligned<f32>,
}

impl KeySums {
    fn start(&mut self, call: &Call<'_>, scratch: &Scratch<'_>) {
        let keys = &scratch.keys;
        self.values.load(keys.values());
        let raw = if cap(call) == u32::MAX { 0 } else { keys.count * call.q.dim };
        for (sums, size) in [
            (&mut self.d_near, keys.count * call.q.dim),
            (&mut self.d_raw, raw),
            (&mut self.d_values, keys.count * call.value_dim),
        ] {
            sums.clear();
            sums.resize(size);
        }
    }
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

    /// Adds a tile of keys that was loaded.
    fn visit(&mut self, tile: KeyTile<'_>, scratch: &mut Scratch<'a>, keys: &mut KeySums, sums: &mut Sums) {
        scratch.score_loaded(self.call, self.queries, tile, None);
        let (rows, columns, dim) = (self.queries.count, scratch.keys.count, self.call.value_dim);
        let Upstream { d_out, lse, shift } = &self.upstream;
        let weights = &mut scratch.scores;
        exponentiate(weights, lse, columns);
        let weighed = Rows::packed(weights, rows, columns);
        product::add_transposed(&mut keys.d_values, weighed, Rows::packed(d_out, rows, dim));
        // All of them are overwritten.
        keys.d_scores.resize(rows * columns);
        product::scores(&mut keys.d_scores, Rows::packed(&self.d_out_columns, dim, rows), &keys.values);
        through_softmax(&mut keys.d_scores, weights, shift, columns);
        self.table_gradient(&keys.d_scores, scratch, sums);
        if let Some(cap) = self.call.spec.softcap {
            for (d, capped) in keys.d_scores.iter_mut().zip(scratch.capped.iter()) {
                *d *= 1.0 - (capped / cap).powi(2);
            }
        }
        self.through_products(scratch, keys);
    }

    fn table_gradient(&self, d_scores: &[f32], scratch: &Scratch<'_>, sums: &mut Sums) {
        let buckets = self.call.bias.buckets();
        for (stacked, row) in d_scores.chunks_exact(scratch.keys.count).enumerate().filter(|_| buckets > 0) {
            let (head, at) = self.queries.place(stacked);
            let table = &mut sums.d_table[(head - self.queries.first_head) * buckets..][..buckets];
            self.call.bias.add_gradient(self.queries.positions[at], &scratch.keys.positions, row, table);
        }
    }

    /// Gradients of queries and keys from those of their products.
    fn through_products(&mut self, scratch: &Scratch<'_>, sums: &mut KeySums) {
        let (keys, dim) = (&scratch.keys, self.call.q.dim);
        let (rows, columns) = (self.queries.count, keys.count);
        let present: Vec<bool> =
            self.queries.rotated.iter().map(|r| reaches(self.call, self.queries, keys, r.reach)).collect();
        let single = present.iter().filter(|&&p| p).count() == 1;
        let KeySums { d_near, d_raw, d_scores, .. } = sums;
        for (i, _) in present.iter().enumerate().filter(|&(_, &p)| p) {
            let rotated = &self.queries.rotated[i];
            let only = if single { None } else { Some(self.only(rotated.reach, d_scores, &keys.positions)) };
            let d = Rows::packed(only.as_deref().unwrap_or(d_scores), rows, columns);
            product::add(&mut self.d_rotated[i], d, keys.of(rotated.reach));
            let d_keys = if rotated.reach == Reach::Near { &mut *d_near } else { &mut *d_raw };
            product::add_transposed(d_keys, d, Rows::packed(&rotated.vectors, rows, dim));
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

/// Scores to weights.
fn exponentiate(scores: &mut [f32], lse: &[f32], columns: usize) {
    let mut rows = scores.chunks_exact_mut(columns).zip(lse);
    vectorize(
        #[inline(always)]
        || {
            for (row, lse) in rows.by_ref() {
                for score in row {
                    *score = exp(*score - lse);
                }
            }
        },
    );
}

/// `dS = P (dP + shift)`
fn through_softmax(d_weights: &mut [f32], weights: &[f32], shift: &[f32], columns: usize) {
    let mut rows = d_weights.chunks_exact_mut(columns).zip(weights.chunks_exact(columns)).zip(shift);
    vectorize(
        #[inline(always)]
        || {
            for ((row, weights), shift) in rows.by_ref() {
                for (d, weight) in row.iter_mut().zip(weights) {
                    *d = weight * (*d + shift);
                }
            }
        },
    );
}
