//! Gradients, tile by tile, from queries, keys, values, `out` and `lse` alone.
//!
//! `P = exp(S - lse)`, `dV += P^T dO`, `dS = P (dO V^T - rowsum(dO out) + d_lse)`, `dQ += scale dS K`, `dK += scale dS^T Q`
//! (Dao et al. 2022), the softcap and rotations undone on the way.

mod pass;

use super::fade::Fade;
#[cfg(target_arch = "x86_64")]
use super::paired;
use super::queries::Queries;
use super::softmax::Strip;
use super::turned::Turned;
use super::{Call, QUERY_ROWS, QUERY_TILE, QueryTile, check};
use crate::aligned::Aligned;
use crate::attention::{AttnSpec, Heads, Normalizer, Sequence};
use rayon::prelude::*;
use std::ops::{DerefMut, Range};

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
/// Products are of the spec's precision, as in the forward pass. Memory beyond the gradients is at most that of the queries
/// and four times that of keys and values of the heads at work, and what the forward pass needs.
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
    let turned = Turned::of(sequences, spec, q.heads);
    let sequences = &Turned::lend(&turned, sequences);
    let call = Call::new(q, positions, sequences, spec, None);
    let rows = q.rows * q.heads;
    assert!(out.len() == rows * call.value_dim && d_out.len() == out.len(), "out or d_out has another shape");
    assert!(lse.len() == rows && d_lse.is_none_or(|d| d.len() == rows), "lse or d_lse has another shape");
    let given = Given { out, lse, d_out, d_lse };
    let jobs: Vec<_> = (0..sequences.len()).flat_map(|s| (0..call.kv_heads).map(move |h| (s, h))).collect();
    let heads: Vec<Sums> = jobs.par_iter().map(|&(s, head)| call.head_gradients(&given, s, head)).collect();
    let mut gradients = call.assemble(&jobs, heads);
    Turned::turn_back(&turned, &mut gradients);
    gradients
}

/// What the forward pass gave, and the gradients of it.
struct Given<'a> {
    out: &'a [f32],
    lse: &'a [f32],
    d_out: &'a [f32],
    d_lse: Option<&'a [f32]>,
}

/// The same for one tile of queries, as gradients need it.
pub(super) struct Upstream {
    /// `[group * rows, value_dim]`
    pub(super) d_out: Aligned<f32>,
    /// Of each stacked row; plus infinity where nothing was seen, so that every weight is 0.
    pub(super) lse: Vec<f32>,
    /// `d_lse - rowsum(d_out * out)` of each stacked row.
    pub(super) shift: Vec<f32>,
}

impl Upstream {
    fn new(call: &Call<'_>, given: &Given<'_>, tile: &QueryTile, kv_head: usize) -> Self {
        let dim = call.value_dim;
        let d_out = call.gather(tile, kv_head, given.d_out, dim);
        let out = call.gather(tile, kv_head, given.out, dim);
        let mut lse = call.gather(tile, kv_head, given.lse, 1);
        lse.iter_mut().filter(|lse| **lse == f32::NEG_INFINITY).for_each(|lse| *lse = f32::INFINITY);
        let mut shift = match given.d_lse {
            Some(d_lse) => call.gather(tile, kv_head, d_lse, 1),
            None => vec![0.0; lse.len()],
        };
        for (i, shift) in shift.iter_mut().enumerate() {
            let row = i * dim..(i + 1) * dim;
            *shift -= d_out[row.clone()].iter().zip(&out[row]).map(|(a, b)| a * b).sum::<f32>();
        }
        Self { d_out: Aligned::of(&d_out), lse, shift }
    }
}

/// Gradients that some tiles of queries add up to, in one key/value head.
pub(super) struct Sums {
    /// `[group, rows, key_dim]` of each tile.
    dq: Vec<(QueryTile, Vec<f32>)>,
    /// `[slots, key_dim]`
    dk: Aligned<f32>,
    /// `[slots, value_dim]`
    dv: Aligned<f32>,
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

    /// Adds gradients of the stored keys and of the values of one tile.
    pub(super) fn add_tile(&mut self, pieces: &[Range<usize>], d_keys: &[f32], d_values: &[f32]) {
        let slots = pieces.iter().map(Range::len).sum::<usize>().max(1);
        scatter(d_keys, pieces, &mut self.dk, d_keys.len() / slots);
        scatter(d_values, pieces, &mut self.dv, d_values.len() / slots);
    }

    /// Takes the gradients of the rotated queries of a tile.
    pub(super) fn put_queries(
        &mut self,
        call: &Call<'_>,
        queries: &Queries<'_>,
        d_rotated: &mut [impl DerefMut<Target = [f32]>],
    ) {
        let mut dq = vec![0.0; queries.count * call.q.dim];
        for (rotated, d) in queries.rotated.iter().zip(d_rotated) {
            rotated.add_gradient(&call.spec.pos, d, queries.positions.len(), call.spec.scale, &mut dq);
        }
        self.dq.push((queries.tile.clone(), dq));
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
                let dealt: Vec<_> = tiles.iter().skip(part).step_by(parts).collect();
                self.sum(given, sequence, kv_head, fade.as_ref(), &dealt)
            })
            .collect();
        sums.into_iter().reduce(Sums::add).expect("a part")
    }

    fn sum(
        &self,
        given: &Given<'_>,
        sequence: usize,
        kv_head: usize,
        fade: Option<&Fade>,
        tiles: &[&QueryTile],
    ) -> Sums {
        let slots = self.sights[sequence][kv_head].slots();
        let mut sums = Sums {
            dq: Vec::new(),
            dk: Aligned::zeroed(slots * self.q.dim),
            dv: Aligned::zeroed(slots * self.value_dim),
            d_table: vec![0.0; self.group * self.bias.buckets()],
        };
        // Tiles that share each tile of keys that is loaded, turned and laid out.
        for tiles in tiles.chunks(QUERY_ROWS / QUERY_TILE) {
            let strips: Vec<Strip<'_>> =
                tiles.iter().map(|tile| Strip::new(self, tile, kv_head, fade)).collect();
            let upstream = tiles.iter().map(|tile| Upstream::new(self, given, tile, kv_head)).collect();
            #[cfg(target_arch = "x86_64")]
            if paired::serves(self, strips.iter().map(|strip| strip.queries.count).sum()) {
                paired::add_gradients(self, &strips, upstream, kv_head, &mut sums);
                continue;
            }
            pass::add_gradients(self, &strips, upstream, kv_head, &mut sums);
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
