//! Which keys are too far away to matter under ALiBi.
//!
//! A score is at most `scale |q| |k| - slope distance`. Where that lies far below a score that the row is known to have,
//! `exp` makes the key's weight smaller than a rounding of the row's sum: the tile is not visited. Steep heads so see a
//! neighbourhood whose size does not grow with the sequence.

use super::cover::{Cover, KeyTile};
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

    /// The tiles of keys that some rows see and that matter to them.
    pub(super) fn cover(fade: Option<&Self>, call: &Call<'_>, tile: &QueryTile, kv_head: usize) -> Cover {
        let mut cover = call.sights[tile.sequence][kv_head].cover(tile.rows.clone());
        if let Some(fade) = fade {
            let faded = fade.of(call, tile, kv_head);
            cover.retain(|keys| faded.matters(keys));
        }
        cover
    }

    /// What some rows need to be told whether a tile matters to them.
    fn of(&self, call: &Call<'_>, tile: &QueryTile, kv_head: usize) -> Faded<'_> {
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
struct Faded<'a> {
    keys: &'a [(f32, Bounds)],
    bounds: Bounds,
    cap: u32,
    /// Scaled norm, the score below which nothing matters, and slope, of each head.
    heads: Vec<(f32, f32, f32)>,
}

impl Faded<'_> {
    /// Whether some row may give some key of a tile a weight that matters.
    fn matters(&self, tile: KeyTile<'_>) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::{AttnSpec, Heads, KeyForm, Sequence, Strided, backward, dense, forward};

    const ROWS: usize = 1500;
    const DIM: usize = 8;

    fn noise(count: usize, scale: f32, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| scale * next()).collect()
    }

    /// Two query heads of one key/value head, the second one flatter.
    fn check(scale: f32, slopes: [f32; 2], fades: bool) {
        let (q, k, v) =
            (noise(ROWS * 2 * DIM, scale, 1), noise(ROWS * DIM, scale, 2), noise(ROWS * DIM, 1.0, 3));
        let d_out = noise(ROWS * 2 * DIM, 1.0, 4);
        let positions: Vec<u32> = (0..ROWS as u32).collect();
        let view = Strided {
            k: Heads::contiguous(&k, ROWS, 1, DIM),
            v: Heads::contiguous(&v, ROWS, 1, DIM),
            positions: &positions,
            form: KeyForm::Raw,
        };
        let sequences = [Sequence { rows: 0..ROWS, kv: &view }];
        let q = Heads::contiguous(&q, ROWS, 2, DIM);
        let pos = PosRule::Alibi { slopes: slopes.into(), cap: None };
        let spec = AttnSpec { pos, ..AttnSpec::new(0.35) };
        let call = Call::new(q, &positions, &sequences, &spec, None);
        let fade = Fade::new(&call, 0, 0, None);
        let visited: usize = call
            .tiles(0, 0..ROWS)
            .iter()
            .map(|t| Fade::cover(fade.as_ref(), &call, t, 0).all().count())
            .sum();
        let all: usize =
            call.tiles(0, 0..ROWS).iter().map(|t| Fade::cover(None, &call, t, 0).all().count()).sum();
        assert_eq!(visited < all, fades, "{visited} of {all} tiles");
        let (mut out, mut lse) = (vec![0.0; ROWS * 2 * DIM], vec![0.0; ROWS * 2]);
        forward(q, &positions, &sequences, &spec, None, &mut out, &mut lse);
        let (exact, exact_lse) = dense::forward(q, &positions, &sequences, &spec, None);
        let close = |a: &[f32], b: &[f64]| {
            a.iter().zip(b).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5 * b.abs().max(1.0))
        };
        assert!(close(&out, &exact) && close(&lse, &exact_lse));
        let ours = backward(q, &positions, &sequences, &spec, &out, &lse, &d_out, None);
        let exact = dense::backward(q, &positions, &sequences, &spec, &d_out, None);
        assert!(
            close(&ours.dq, &exact.dq)
                && close(&ours.dk[0], &exact.dk[0])
                && close(&ours.dv[0], &exact.dv[0])
        );
    }

    #[test]
    fn far_keys_of_steep_heads_are_not_visited_and_not_missed() {
        check(1.0, [0.5, 0.25], true);
        check(3.0, [0.25, 0.1], true);
    }

    #[test]
    fn a_flat_head_of_the_group_keeps_every_tile() {
        check(1.0, [0.5, 0.001], false);
    }
}
