//! Softmax over tiles of keys: a running maximum, a running sum, and the values weighed so far.

use super::cover::{Cover, KeyTile};
use super::fade::Fade;
use super::online;
#[cfg(target_arch = "x86_64")]
use super::paired;
use super::queries::Queries;
use super::rows;
use super::scores::Scratch;
use super::{Call, Place, QueryTile};
use crate::aligned::Aligned;
use crate::matmul::{Rows, product};
use rayon::prelude::*;
use std::ops::Range;

/// A sequence of fewer jobs, over all heads, splits its keys as well.
const FEW_JOBS: usize = 24;
/// Tiles of keys in a part of a split, at least.
const PART: usize = 16;
/// Parts of a split, at most.
const PARTS: usize = 64;

/// Attention of some rows in one key/value head.
pub(super) fn attend(
    call: &Call<'_>,
    job: &QueryTile,
    kv_head: usize,
    fade: Option<&Fade>,
    place: &Place<'_>,
) {
    let strips: Vec<Strip<'_>> = call
        .tiles(job.sequence, job.rows.clone())
        .iter()
        .map(|tile| Strip::new(call, tile, kv_head, fade))
        .collect();
    let visits = visits(&strips);
    let part = part_size(call, job, visits.len());
    let over = |visits: &[Visit]| {
        #[cfg(target_arch = "x86_64")]
        if paired::serves(call, job.rows.len() * call.group) {
            return paired::over(call, &strips, kv_head, visits);
        }
        over(call, &strips, kv_head, visits)
    };
    let mut parts =
        if part >= visits.len() { vec![over(&visits)] } else { visits.par_chunks(part).map(over).collect() };
    let first = parts.remove(0);
    let states =
        parts.into_iter().fold(first, |a, b| a.into_iter().zip(b).map(|(a, b)| a.merged(&b)).collect());
    for (Strip { queries, .. }, state) in strips.iter().zip(states) {
        let (out, lse) = state.finish();
        place.put(queries.tile.rows.clone(), &out, &lse);
    }
}

/// One tile of queries and the keys that it sees.
pub(super) struct Strip<'a> {
    pub(super) queries: Queries<'a>,
    pub(super) cover: Cover,
}

impl<'a> Strip<'a> {
    pub(super) fn new(call: &Call<'a>, tile: &QueryTile, kv_head: usize, fade: Option<&Fade>) -> Self {
        let cover = Fade::cover(fade, call, tile, kv_head);
        Self { queries: Queries::new(call, tile, kv_head), cover }
    }
}

/// A tile of keys: the strips that see it or its beginning, and as which of their tiles.
pub(super) type Visit = Vec<(usize, usize)>;

/// The tiles of keys that some strip sees, in the order of their slots.
pub(super) fn visits(strips: &[Strip<'_>]) -> Vec<Visit> {
    let mut all: Vec<_> = strips
        .iter()
        .enumerate()
        .flat_map(|(strip, s)| s.cover.all().enumerate().map(move |(n, keys)| (keys.pieces, strip, n)))
        .collect();
    all.sort_by_key(|&(pieces, strip, _)| (pieces[0].start, strip));
    all.chunk_by(|a, b| a.0 == b.0 || one_begins_the_other(a.0, b.0))
        .map(|same| same.iter().map(|&(_, strip, n)| (strip, n)).collect())
        .collect()
}

/// Strips that see the beginning of a tile, as those on the diagonal of a causal mask, share it with those that see more.
fn one_begins_the_other(a: &[Range<usize>], b: &[Range<usize>]) -> bool {
    matches!((a, b), ([a], [b]) if a.start == b.start)
}

/// Tiles of keys that one job visits. It follows from the sequence alone, so that the order of sums does too.
fn part_size(call: &Call<'_>, job: &QueryTile, visits: usize) -> usize {
    let rows = call.sequences[job.sequence].rows.len();
    let jobs = (rows * call.group).div_ceil(super::QUERY_ROWS) * call.kv_heads;
    if jobs >= FEW_JOBS { visits.max(1) } else { visits.div_ceil(PARTS).max(PART) }
}

/// What some tiles of keys add up to for every strip.
fn over(call: &Call<'_>, strips: &[Strip<'_>], kv_head: usize, visits: &[Visit]) -> Vec<Running> {
    let mut scratch = Scratch::default();
    let mut states: Vec<Running> =
        strips.iter().map(|s| Running::new(s.queries.count, call.value_dim)).collect();
    for visit in visits {
        scratch.keys.load_both(call, kv_head, strips, visit);
        scratch.keys.pack(call);
        for &(strip, n) in visit {
            let Strip { queries, cover } = &strips[strip];
            states[strip].visit(call, queries, cover.tile(n), &mut scratch);
        }
    }
    states
}

/// The state of the online softmax for each stacked query.
pub(super) struct Running {
    dim: usize,
    /// Values weighed by `exp(score - max)`, `[queries, dim]`.
    pub(super) out: Aligned<f32>,
    pub(super) max: Vec<f32>,
    pub(super) sum: Vec<online::Parts>,
}

impl Running {
    pub(super) fn new(rows: usize, dim: usize) -> Self {
        let (max, sum) = (vec![f32::NEG_INFINITY; rows], vec![online::Parts::default(); rows]);
        Self { dim, out: Aligned::zeroed(rows * dim), max, sum }
    }

    /// Adds a tile of keys that was loaded.
    fn visit<'a>(
        &mut self,
        call: &Call<'a>,
        queries: &Queries<'_>,
        tile: KeyTile<'_>,
        scratch: &mut Scratch<'a>,
    ) {
        scratch.score_loaded(call, queries, tile, None);
        let Scratch { keys, scores, .. } = scratch;
        let (columns, dim) = (tile.slots(), self.dim);
        let Self { out, max, sum, .. } = self;
        online::Tile { scores, columns, out, dim, max, sum }.weigh();
        let values = keys.values().slice(0..columns);
        product::add(&mut self.out, Rows::packed(scores, queries.count, columns), values);
    }

    /// Both, over disjoint keys.
    fn merged(mut self, other: &Self) -> Self {
        for i in 0..self.max.len() {
            let max = self.max[i].max(other.max[i]);
            if max == f32::NEG_INFINITY {
                continue;
            }
            let (a, b) = ((self.max[i] - max).exp(), (other.max[i] - max).exp());
            self.max[i] = max;
            self.sum[i].iter_mut().zip(&other.sum[i]).for_each(|(x, y)| *x = a * *x + b * y);
            let rows = i * self.dim..(i + 1) * self.dim;
            for (x, y) in self.out[rows.clone()].iter_mut().zip(&other.out[rows]) {
                *x = a * *x + b * y;
            }
        }
        self
    }

    /// `out` and `lse`.
    fn finish(mut self) -> (Aligned<f32>, Vec<f32>) {
        let sums: Vec<f32> = self.sum.iter().map(|parts| parts.iter().sum()).collect();
        rows::divide(&mut self.out, &sums, self.dim);
        let lse = self.max.iter().zip(&sums).map(|(max, sum)| max + sum.ln()).collect();
        (self.out, lse)
    }
}
