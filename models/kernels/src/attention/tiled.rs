//! The tiled kernel: which tiles there are, and the passes over them.

mod backward;
mod bias;
mod collect;
mod cover;
mod fade;
mod keys;
mod online;
#[cfg(target_arch = "x86_64")]
mod paired;
mod queries;
mod rows;
mod scores;
mod sight;
mod softmax;
mod softplus;
#[cfg(test)]
mod tests;
mod turned;

pub use backward::{Gradients, backward};
pub use collect::collect;

use super::{AttnSpec, Heads, MaskRule, Normalizer, Selection, Sequence, check};
use crate::target::Target;
use bias::Bias;
use fade::Fade;
use rayon::prelude::*;
use sight::Sight;
use std::ops::Range;
use turned::Turned;

/// Query rows in a tile, over all heads of a group: enough for the matrix kernels, few enough that a tile of scores
/// stays in cache.
const QUERY_TILE: usize = 96;
/// Query rows that one job takes, over all heads of a group: its tiles share each tile of keys that is loaded.
const QUERY_ROWS: usize = 1056;

/// Exact attention over packed sequences, in f32 or with products of the spec's precision. Writes `out` `[q.rows, q.heads, value_dim]` and `lse`
/// `[q.rows, q.heads]`, the natural logarithm of the normaliser's denominator; a row that sees no key gives 0 and minus
/// infinity.
///
/// Row `r` of the call stands at `positions[r]`; query head `h` reads key/value head `h / (q.heads / kv heads)`, and
/// heads of one group share what is loaded. Keys that the spec's mask *and* `selection` let through are seen. Lists of
/// slots and segment ids number the rows and slots of one sequence, so a call with them has exactly one.
///
/// Work is that of the tiles that something sees, memory beyond the outputs a few tiles a thread, and at most 8 MiB of rotated
/// keys and their values. The result has the same bits for any number of threads.
///
/// # Panics
/// If shapes, strides, sequences or lists do not fit together, or a distance cap meets rotated keys.
pub fn forward(
    q: Heads<'_>,
    positions: &[u32],
    sequences: &[Sequence<'_>],
    spec: &AttnSpec,
    selection: Option<&Selection>,
    out: &mut [f32],
    lse: &mut [f32],
) {
    check(q, positions, sequences, spec, selection);
    let turned = Turned::of(sequences, spec, q.heads);
    let sequences = &Turned::lend(&turned, sequences);
    let call = Call::new(q, positions, sequences, spec, selection);
    assert_eq!(out.len(), q.rows * q.heads * call.value_dim, "out has another shape");
    assert_eq!(lse.len(), q.rows * q.heads, "lse has another shape");
    match spec.norm {
        Normalizer::Softmax => {
            let fades = call.fades();
            call.write(out, lse, |tile, kv_head, place| {
                softmax::attend(&call, tile, kv_head, fades[tile.sequence][kv_head].as_ref(), place);
            });
        }
        Normalizer::SoftplusL1 => {
            call.write(out, lse, |tile, kv_head, place| softplus::attend(&call, tile, kv_head, None, place));
        }
        Normalizer::SoftplusPow { p } => {
            call.write(out, lse, |tile, kv_head, place| {
                softplus::attend(&call, tile, kv_head, Some(p), place);
            });
        }
    }
}

/// The arguments of one call and what follows from them.
struct Call<'a> {
    q: Heads<'a>,
    positions: &'a [u32],
    sequences: &'a [Sequence<'a>],
    spec: &'a AttnSpec,
    bias: Bias<'a>,
    /// `[sequences][kv heads]`
    sights: Vec<Vec<Sight<'a>>>,
    kv_heads: usize,
    /// Query heads of one key/value head.
    group: usize,
    value_dim: usize,
    /// Rows that share a list of slots: tiles do not cross their ends.
    query_blocks: Vec<usize>,
}

/// Some query rows of one sequence.
#[derive(Clone, Debug)]
struct QueryTile {
    sequence: usize,
    /// Counted within the sequence.
    rows: Range<usize>,
}

impl<'a> Call<'a> {
    fn new(
        q: Heads<'a>,
        positions: &'a [u32],
        sequences: &'a [Sequence<'a>],
        spec: &'a AttnSpec,
        selection: Option<&'a Selection>,
    ) -> Self {
        let first = sequences.first();
        let kv_heads = first.map_or(1, |s| s.kv.heads());
        let masks = {
            let mut masks = Vec::new();
            flatten(&spec.mask, &mut masks);
            masks
        };
        let selections: Vec<&Selection> = masks
            .iter()
            .filter_map(|mask| if let MaskRule::Slots(selection) = mask { Some(&**selection) } else { None })
            .chain(selection)
            .collect();
        let sight = |s: &Sequence<'a>, head| {
            Sight::new(&positions[s.rows.clone()], s.kv, head, spec.causal, &masks, &selections)
        };
        Self {
            q,
            positions,
            sequences,
            spec,
            bias: Bias::new(&spec.pos),
            sights: sequences.iter().map(|s| (0..kv_heads).map(|head| sight(s, head)).collect()).collect(),
            kv_heads,
            group: q.heads / kv_heads,
            value_dim: first.map_or(0, |s| s.kv.value_dim()),
            query_blocks: selections.iter().map(|selection| selection.query_block).collect(),
        }
    }

    /// `[sequences][kv heads]`
    fn fades(&self) -> Vec<Vec<Option<Fade>>> {
        let heads =
            |s| (0..self.kv_heads).into_par_iter().map(move |head| Fade::new(self, s, head, None)).collect();
        (0..self.sequences.len()).into_par_iter().map(heads).collect()
    }

    /// The tiles of some rows of a sequence, in order.
    fn tiles(&self, sequence: usize, rows: Range<usize>) -> Vec<QueryTile> {
        self.cut(sequence, rows, QUERY_TILE)
    }

    /// What one job takes of some rows of a sequence.
    fn jobs(&self, sequence: usize, rows: Range<usize>) -> Vec<QueryTile> {
        self.cut(sequence, rows, QUERY_ROWS)
    }

    fn cut(&self, sequence: usize, rows: Range<usize>, height: usize) -> Vec<QueryTile> {
        let height = (height / self.group).max(1);
        let mut tiles = Vec::new();
        let mut start = rows.start;
        while start < rows.end {
            let block_ends = self.query_blocks.iter().map(|block| (start / block + 1) * block);
            let end = block_ends.fold(rows.end.min(start + height), usize::min);
            tiles.push(QueryTile { sequence, rows: start..end });
            start = end;
        }
        tiles
    }

    /// Computes every tile of every key/value head; `attend` puts what it computed where it belongs.
    fn write(&self, out: &mut [f32], lse: &mut [f32], attend: impl Fn(&QueryTile, usize, &Place<'_>) + Sync) {
        if lse.is_empty() {
            return;
        }
        let (out, lse) = (Target::new(out, self.q.heads * self.value_dim), Target::new(lse, self.q.heads));
        let jobs: Vec<_> = self
            .sequences
            .iter()
            .enumerate()
            .flat_map(|(n, sequence)| self.jobs(n, 0..sequence.rows.len()))
            .flat_map(|tile| (0..self.kv_heads).map(move |kv_head| (tile.clone(), kv_head)))
            .collect();
        jobs.into_par_iter().for_each(|(tile, kv_head)| {
            let first = self.sequences[tile.sequence].rows.start;
            let heads = kv_head * self.group..(kv_head + 1) * self.group;
            attend(&tile, kv_head, &Place { out, lse, first, heads, dim: self.value_dim });
        });
    }

    /// Copies some rows of `[q.rows, heads, dim]` to `[group, rows, dim]` of one key/value head.
    fn gather(&self, tile: &QueryTile, kv_head: usize, from: &[f32], dim: usize) -> Vec<f32> {
        let first = self.sequences[tile.sequence].rows.start;
        let mut out = Vec::with_capacity(self.group * tile.rows.len() * dim);
        for head in kv_head * self.group..(kv_head + 1) * self.group {
            for row in tile.rows.clone() {
                out.extend_from_slice(&from[((first + row) * self.q.heads + head) * dim..][..dim]);
            }
        }
        out
    }
}

/// Where the results of a group of heads go.
#[derive(Clone)]
struct Place<'a> {
    /// `[q.rows, heads * dim]`
    out: Target<'a>,
    /// `[q.rows, heads]`
    lse: Target<'a>,
    /// The first row of the sequence.
    first: usize,
    heads: Range<usize>,
    dim: usize,
}

impl Place<'_> {
    /// Puts `[group, rows, dim]` and `[group, rows]` to some rows of the sequence.
    fn put(&self, rows: Range<usize>, out: &[f32], lse: &[f32]) {
        let (mut out, mut lse) = (out.chunks_exact(self.dim), lse.iter());
        for head in self.heads.clone() {
            for ((row, out), lse) in rows.clone().zip(&mut out).zip(&mut lse) {
                let row = self.first + row;
                // SAFETY: jobs have other rows or other heads, and each puts them once.
                unsafe {
                    self.out.part(row, head * self.dim..(head + 1) * self.dim).copy_from_slice(out);
                    self.lse.part(row, head..head + 1)[0] = *lse;
                }
            }
        }
    }
}

/// The rules that must all let a key through.
fn flatten<'a>(mask: &'a MaskRule, out: &mut Vec<&'a MaskRule>) {
    match mask {
        MaskRule::And(rules) => rules.iter().for_each(|rule| flatten(rule, out)),
        rule => out.push(rule),
    }
}
