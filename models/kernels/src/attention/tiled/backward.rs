//! Gradients, tile by tile, from queries, keys, values, `out` and `lse` alone.
//!
//! `P = exp(S - lse)`, `dV += P^T dO`, `dS = P (dO V^T - rowsum(dO out) + d_lse)`, `dQ += scale dS K`, `dK += scale dS^T Q`
//! (Dao et al. 2022), the softcap and rotations undone on the way.

use super::cover::KeyTile;
use super::fade::Fade;
use super::queries::{Queries, Reach};
use super::scores::{Scratch, cap, reaches};
use super::{Call, QueryTile, check};
use crate::attention::product::{self, Rows};
use crate::attention::{AttnSpec, Heads, KvView, Normalizer, Sequence};
use crate::exp::exp_nonpositive;
use crate::vectorize::vectorize;
use rayon::prelude::*;
use std::ops::Range;

/// Query tiles of one sequence that make it worth another part.
const TILES: usize = 16;
/// Parts of one sequence and key/value head, at most: each has its own sums for keys and values.
const PARTS: usize = 4;

/// Gradients of one call, in the layout of its inputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradients {
    /// `[rows, heads, key_dim]`
    pub dq: Vec<f32>,
    /// One a sequence, `[slots, kv heads, key_dim]`: of the keys as stored.
    pub dk: Vec<Vec<f32>>,
    /// One a sequence, `[slots, kv heads, value_dim]`.
    pub dv: Vec<Vec<f32>>,
    /// `[heads, buckets]` of a T5 table, else empty.
    pub d_table: Vec<f32>,
}

/// Gradients of `sum(d_out * out) + sum(d_lse * lse)`, given what [`forward`](super::forward) wrote for the same
/// arguments. ALiBi slopes and frequencies are constants.
///
/// Memory beyond the gradients is at most that of the queries and four times that of keys and values of the heads at work.
/// The result has the same bits for any number of threads.
///
/// # Panics
/// As [`forward`](super::forward); for the softplus normalisers, which have no backward pass here; and if the heads of a
/// sequence have different numbers of slots.
#[allow(clippy::too_many_arguments, reason = "what went in, what came out, and its gradients")]
pub fn backward(
    q: Heads<'_>,
    positions: &[u32],
    sequences: &[Sequence<'_>],
    spec: &AttnSpec,
    out: &[f32],
    lse: &[f32],
    d_out: &[f32],
    d_lse: Option<&[f32]>,
) -> Gradients {
    check(q, positions, sequences, spec, None);
    assert_eq!(spec.norm, Normalizer::Softmax, "gradients of softmax attention only");
    let call = Call::new(q, positions, sequences, spec, None);
    let rows = q.rows * q.heads;
    assert!(out.len() == rows * call.value_dim && d_out.len() == out.len(), "out or d_out has another shape");
    assert!(lse.len() == rows && d_lse.is_none_or(|d| d.len() == rows), "lse or d_lse has another shape");
    let given = Given { out, lse, d_out, d_lse };
    let jobs: Vec<_> = (0..sequences.len()).flat_map(|s| (0..call.kv_heads).map(move |h| (s, h))).collect();
    let heads: Vec<Sums> = jobs.par_iter().map(|&(s, head)| call.head_gradients(&given, s, head)).collect();
    call.assemble(&jobs, heads)
}

/// What the forward pass gave, and the gradients of it.
struct Given<'a> {
    out: &'a [f32],
    lse: &'a [f32],
    d_out: &'a [f32],
    d_lse: Option<&'a [f32]>,
}

/// Gradients that some tiles of queries add up to, in one key/value head.
struct Sums {
    /// `[group, rows, key_dim]` of each tile.
    dq: Vec<(QueryTile, Vec<f32>)>,
    /// `[slots, key_dim]`
    dk: Vec<f32>,
    /// `[slots, value_dim]`
    dv: Vec<f32>,
    /// `[group, buckets]`
    d_table: Vec<f64>,
}

impl Sums {
    fn add(mut self, other: Self) -> Self {
        self.dq.extend(other.dq);
        add(&mut self.dk, &other.dk);
        add(&mut self.dv, &other.dv);
        self.d_table.iter_mut().zip(other.d_table).for_each(|(a, b)| *a += b);
        self
    }
}

impl Call<'_> {
    fn head_gradients(&self, given: &Given<'_>, sequence: usize, kv_head: usize) -> Sums {
        let rows = 0..self.sequences[sequence].rows.len();
        let tiles = self.tiles(sequence, rows.clone());
        let lse = self.gather(&QueryTile { sequence, rows }, kv_head, given.lse, 1);
        let fade = Fade::new(self, sequence, kv_head, Some(&lse));
        let parts = (tiles.len() / TILES).clamp(1, PARTS);
        // Dealt in turn: under a causal mask the later tiles have more to do.
        let sums: Vec<Sums> = (0..parts)
            .into_par_iter()
            .map(|part| {
                let dealt = tiles.iter().skip(part).step_by(parts);
                self.sum(given, sequence, kv_head, fade.as_ref(), dealt)
            })
            .collect();
        sums.into_iter().reduce(Sums::add).expect("a part")
    }

    fn sum<'t>(
        &self,
        given: &Given<'_>,
        sequence: usize,
        kv_head: usize,
        fade: Option<&Fade>,
        tiles: impl Iterator<Item = &'t QueryTile>,
    ) -> Sums {
        let slots = self.sights[sequence][kv_head].slots();
        let mut sums = Sums {
            dq: Vec::new(),
            dk: vec![0.0; slots * self.q.dim],
            dv: vec![0.0; slots * self.value_dim],
            d_table: vec![0.0; self.group * self.bias.buckets()],
        };
        let mut scratch = Scratch::default();
        for tile in tiles {
            let mut pass = Pass::new(self, given, tile, kv_head);
            for keys in Fade::cover(fade, self, tile, kv_head).all() {
                pass.visit(keys, &mut scratch, &mut sums);
            }
            sums.dq.push((tile.clone(), pass.finish()));
        }
        sums
    }

    /// Puts the heads' gradients together in the layout of the inputs.
    fn assemble(&self, jobs: &[(usize, usize)], heads: Vec<Sums>) -> Gradients {
        let mut all =
            Gradients { dq: vec![0.0; self.q.rows * self.q.heads * self.q.dim], ..Gradients::default() };
        let mut d_table = vec![0.0; self.q.heads * self.bias.buckets()];
        for (sequence, sights) in self.sequences.iter().zip(&self.sights) {
            let slots = sights[0].slots();
            assert!(sights.iter().all(|sight| sight.slots() == slots), "heads of as many slots");
            all.dk.push(vec![0.0; slots * self.kv_heads * sequence.kv.key_dim()]);
            all.dv.push(vec![0.0; slots * self.kv_heads * self.value_dim]);
        }
        for (&(s, kv_head), sums) in jobs.iter().zip(heads) {
            interleave(&sums.dk, &mut all.dk[s], kv_head, self.kv_heads, self.q.dim);
            interleave(&sums.dv, &mut all.dv[s], kv_head, self.kv_heads, self.value_dim);
            let table = &mut d_table[kv_head * sums.d_table.len()..][..sums.d_table.len()];
            table.iter_mut().zip(&sums.d_table).for_each(|(a, b)| *a += b);
            for (tile, dq) in sums.dq {
                let first = self.sequences[s].rows.start;
                let row = self.q.heads * self.q.dim;
                let rows = (first + tile.rows.start) * row..(first + tile.rows.end) * row;
                for (g, dq) in dq.chunks_exact(tile.rows.len() * self.q.dim).enumerate() {
                    let head = kv_head * self.group + g;
                    interleave(dq, &mut all.dq[rows.clone()], head, self.q.heads, self.q.dim);
                }
            }
        }
        all.d_table = d_table.into_iter().map(|x: f64| x as f32).collect();
        all
    }
}

/// One tile of queries on its way over the keys.
struct Pass<'a> {
    call: &'a Call<'a>,
    queries: Queries<'a>,
    kv: &'a dyn KvView,
    kv_head: usize,
    /// `[group * rows, value_dim]`
    d_out: Vec<f32>,
    /// Of each stacked row; plus infinity where nothing was seen, so that every weight is 0.
    lse: Vec<f32>,
    /// `d_lse - rowsum(d_out * out)` of each stacked row.
    shift: Vec<f32>,
    /// For each rotation of the queries, `[group * rows, key_dim]`.
    d_rotated: Vec<Vec<f32>>,
}

impl<'a> Pass<'a> {
    fn new(call: &'a Call<'a>, given: &Given<'_>, tile: &QueryTile, kv_head: usize) -> Self {
        let queries = Queries::new(call, tile, kv_head);
        let dim = call.value_dim;
        let d_out = call.gather(tile, kv_head, given.d_out, dim);
        let out = call.gather(tile, kv_head, given.out, dim);
        let mut lse = call.gather(tile, kv_head, given.lse, 1);
        lse.iter_mut().filter(|lse| **lse == f32::NEG_INFINITY).for_each(|lse| *lse = f32::INFINITY);
        let mut shift = match given.d_lse {
            Some(d_lse) => call.gather(tile, kv_head, d_lse, 1),
            None => vec![0.0; queries.count],
        };
        for (i, shift) in shift.iter_mut().enumerate() {
            let row = i * dim..(i + 1) * dim;
            *shift -= d_out[row.clone()].iter().zip(&out[row]).map(|(a, b)| a * b).sum::<f32>();
        }
        let d_rotated = queries.rotated.iter().map(|r| vec![0.0; r.vectors.len()]).collect();
        Self { call, queries, kv: call.sequences[tile.sequence].kv, kv_head, d_out, lse, shift, d_rotated }
    }

    fn visit(&mut self, tile: KeyTile<'_>, scratch: &mut Scratch<'a>, sums: &mut Sums) {
        scratch.score(self.call, &self.queries, self.kv, tile, None);
        scratch.keys.load_values(self.kv, self.kv_head, tile.pieces);
        let (rows, columns, dim) = (self.queries.count, scratch.keys.count, self.call.value_dim);
        let weights = &mut scratch.scores;
        exponentiate(weights, &self.lse, columns);
        let d_out = Rows::packed(&self.d_out, rows, dim);
        let mut d_values = vec![0.0; columns * dim];
        product::add_transposed(&mut d_values, Rows::packed(weights, rows, columns), d_out);
        scatter(&d_values, tile.pieces, &mut sums.dv, dim);
        let mut d_scores = vec![0.0; rows * columns];
        product::scores(&mut d_scores, d_out, scratch.keys.values());
        through_softmax(&mut d_scores, weights, &self.shift, columns);
        self.table_gradient(&d_scores, scratch, sums);
        if let Some(cap) = self.call.spec.softcap {
            for (d, capped) in d_scores.iter_mut().zip(scratch.capped.iter()) {
                *d *= 1.0 - (capped / cap).powi(2);
            }
        }
        self.through_products(&d_scores, tile, scratch, sums);
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
    fn through_products(
        &mut self,
        d_scores: &[f32],
        tile: KeyTile<'_>,
        scratch: &Scratch<'_>,
        sums: &mut Sums,
    ) {
        let (keys, dim) = (&scratch.keys, self.call.q.dim);
        let (rows, columns) = (self.queries.count, keys.count);
        let present: Vec<bool> =
            self.queries.rotated.iter().map(|r| reaches(self.call, &self.queries, keys, r.reach)).collect();
        let single = present.iter().filter(|&&p| p).count() == 1;
        let mut d_keys = vec![0.0; columns * dim];
        for (i, _) in present.iter().enumerate().filter(|&(_, &p)| p) {
            let rotated = &self.queries.rotated[i];
            let only = if single { None } else { Some(self.only(rotated.reach, d_scores, &keys.positions)) };
            let d = Rows::packed(only.as_deref().unwrap_or(d_scores), rows, columns);
            product::add(&mut self.d_rotated[i], d, keys.of(rotated.reach));
            product::add_transposed(&mut d_keys, d, Rows::packed(&rotated.vectors, rows, dim));
            // Near comes first: what is there so far is of rotated keys, the rest of keys as stored.
            if rotated.reach == Reach::Near {
                keys.turn_back(&mut d_keys);
            }
        }
        scatter(&d_keys, tile.pieces, &mut sums.dk, dim);
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

    /// Gradient of the queries, `[group, rows, key_dim]`.
    fn finish(self) -> Vec<f32> {
        let mut dq = vec![0.0; self.queries.count * self.call.q.dim];
        let (spec, rows) = (self.call.spec, self.queries.positions.len());
        for (rotated, d) in self.queries.rotated.iter().zip(self.d_rotated) {
            rotated.add_gradient(&spec.pos, d, rows, spec.scale, &mut dq);
        }
        dq
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
                    *score = exp_nonpositive(*score - lse);
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

/// Adds the rows of a tile to the slots that they are of.
fn scatter(tile: &[f32], pieces: &[Range<usize>], slots: &mut [f32], dim: usize) {
    let mut rest = tile;
    for piece in pieces {
        let (these, others) = rest.split_at(piece.len() * dim);
        add(&mut slots[piece.start * dim..piece.end * dim], these);
        rest = others;
    }
}

fn add(target: &mut [f32], x: &[f32]) {
    target.iter_mut().zip(x).for_each(|(target, x)| *target += x);
}

/// Copies `[slots, dim]` of one head to `[slots, heads, dim]`.
fn interleave(from: &[f32], to: &mut [f32], head: usize, heads: usize, dim: usize) {
    for (slot, row) in from.chunks_exact(dim.max(1)).enumerate() {
        to[(slot * heads + head) * dim..][..dim].copy_from_slice(row);
    }
}
