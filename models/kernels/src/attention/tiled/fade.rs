//! Which keys are too far away to matter under ALiBi.
//!
//! A score is at most `scale |q| |k| - slope distance`. Where that lies far below a score that the row is known to have,
//! `exp` makes the key's weight smaller than a rounding of the row's sum: the tile is not visited. Steep heads so see a
//! neighbourhood whose size does not grow with the sequence.

use super::cover::KeyTile;
use super::sight::{Bounds, KEY_TILE};
use super::{Call, QueryTile};
use crate::attention::{KvView, MaskRule, Normalizer, PosRule};
use std::ops::Range;

/// All that is left out adds up to less than `2^-25` of a row's sum, half a unit in its last place.
const LEFT_OUT: f32 = 25.0 * std::f32::consts::LN_2;

/// Norms of the queries and keys of one sequence and key/value head.
pub(super) struct Fade {
    /// Of each tile of keys: its largest norm and its positions.
    keys: Vec<(f32, Bounds)>,
    /// Of each query of the group, `[group, rows]`: its norm, and a score that it has.
    queries: Vec<(f32, f32)>,
    rows: usize,
    limit: f32,
}

impl Fade {
    /// Norms, if they can save work: ALiBi over a long sequence that sees itself. `lse` `[group, rows]` is a score that
    /// rows are known to reach; without it a row's score with its own key is.
    pub(super) fn new(call: &Call<'_>, sequence: usize, kv_head: usize, lse: Option<&[f32]>) -> Option<Self> {
        let PosRule::Alibi { slopes, cap } = &call.spec.pos else { return None };
        let (kv, rows) = (call.sequences[sequence].kv, call.sequences[sequence].rows.clone());
        let (positions, queries) = (kv.positions(kv_head), &call.positions[rows.clone()]);
        let sees_itself = matches!(call.spec.mask, MaskRule::Full | MaskRule::Window { .. });
        let slopes = &slopes[kv_head * call.group..(kv_head + 1) * call.group];
        let steepest = slopes.iter().copied().fold(0.0, f32::max);
        let limit = (positions.len().max(1) as f32).ln() + LEFT_OUT;
        let span = Bounds::of(positions).span().min(cap.unwrap_or(u32::MAX));
        if call.spec.norm != Normalizer::Softmax
            || call.spec.softcap.is_some()
            || !call.query_blocks.is_empty()
            || !sees_itself
            || steepest * span as f32 <= limit
            || positions.len() < 4 * KEY_TILE
            || positions != queries
        {
            return None;
        }
        let mut fade = Self { keys: Vec::new(), queries: Vec::new(), rows: rows.len(), limit };
        fade.read(call, kv, kv_head, &rows);
        if let Some(lse) = lse {
            fade.queries.iter_mut().zip(lse).for_each(|((_, score), &lse)| *score = lse);
        }
        Some(fade)
    }

    /// Norms, and the scores of queries with the keys at their own positions.
    fn read(&mut self, call: &Call<'_>, kv: &dyn KvView, kv_head: usize, rows: &Range<usize>) {
        let dim = call.q.dim;
        let positions = kv.positions(kv_head);
        let mut keys = vec![0.0; KEY_TILE * dim];
        self.queries = vec![(0.0, 0.0); call.group * self.rows];
        for start in (0..positions.len()).step_by(KEY_TILE) {
            let slots = start..positions.len().min(start + KEY_TILE);
            let keys = &mut keys[..slots.len() * dim];
            kv.keys(kv_head, slots.clone(), keys);
            let norm = keys.chunks_exact(dim).map(|key| dot(key, key)).fold(0.0, f32::max).sqrt();
            self.keys.push((norm, Bounds::of(&positions[slots.clone()])));
            for g in 0..call.group {
                for (row, key) in slots.clone().zip(keys.chunks_exact(dim)) {
                    let query = call.q.row(rows.start + row, kv_head * call.group + g);
                    let score = call.spec.scale * dot(query, key);
                    self.queries[g * self.rows + row] = (dot(query, query).sqrt(), score);
                }
            }
        }
    }

    /// What some rows need to be told whether a tile matters to them.
    pub(super) fn of(&self, call: &Call<'_>, tile: &QueryTile, kv_head: usize) -> Faded<'_> {
        let PosRule::Alibi { slopes, cap } = &call.spec.pos else { unreachable!("norms are of ALiBi") };
        let first = call.sequences[tile.sequence].rows.start;
        let bounds = Bounds::of(&call.positions[first + tile.rows.start..first + tile.rows.end]);
        let heads = (0..call.group).map(|g| {
            let rows = &self.queries[g * self.rows..][tile.rows.clone()];
            let norm = rows.iter().map(|row| row.0).fold(0.0, f32::max);
            let score = rows.iter().map(|row| row.1).fold(f32::INFINITY, f32::min);
            (call.spec.scale.abs() * norm, score - self.limit, slopes[kv_head * call.group + g])
        });
        Faded { keys: &self.keys, bounds, cap: cap.unwrap_or(u32::MAX), heads: heads.collect() }
    }
}

/// [`Fade`] for some rows.
pub(super) struct Faded<'a> {
    keys: &'a [(f32, Bounds)],
    bounds: Bounds,
    cap: u32,
    /// Scaled norm, the score below which nothing matters, and slope, of each head.
    heads: Vec<(f32, f32, f32)>,
}

impl Faded<'_> {
    /// Whether some row may give some key of a tile a weight that matters.
    pub(super) fn matters(&self, tile: KeyTile<'_>) -> bool {
        let (norm, keys) = self.keys[tile.pieces[0].start / KEY_TILE];
        let distance = self.bounds.distance(keys).min(self.cap) as f32;
        // A norm or score that is no number compares false, and the tile is kept.
        !self.heads.iter().all(|&(query, floor, slope)| query * norm - slope * distance < floor)
    }
}

/// Sum in eight independent lanes: an order that vector units can follow and that never changes.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let (left, right) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    for (a, b) in left.zip(right) {
        for ((lane, x), y) in lanes.iter_mut().zip(a).zip(b) {
            *lane += x * y;
        }
    }
    lanes.into_iter().sum::<f32>() + rest
}
