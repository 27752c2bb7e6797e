//! Softmax attention whose products are of bf16, by the tile unit of AMX.
//!
//! Queries, keys, weights and values are rounded to bf16; scores, maxima and all sums are f32. Scores are kept in units of
//! ln 2, so that `exp` is a power of two.

mod backward;
mod pack;
mod scores;
mod weigh;

pub(super) use backward::add_gradients;

use super::Call;
use super::cover::KeyTile;
use super::keys::Loaded;
use super::queries::Queries;
use super::sight::KEY_TILE;
use super::softmax::{Running, Strip, Visit};
use crate::aligned::Aligned;
use crate::amx::{self, COLUMNS, ROWS, STEP};
use crate::attention::{Normalizer, PosRule};
use crate::bf16;
use crate::matmul::Precision;
use scores::Scores;
use std::f32::consts::{LN_2, LOG2_E};
use weigh::{Bias, Row, exp2};

/// Stacked queries from which on this is faster: fewer leave most of a tile empty, and keys are read once anyway.
const ROWS_WORTH_IT: usize = 8;

/// Whether a call of some stacked queries asks for this, gains by it, and the processor has what it takes.
pub(super) fn serves(call: &Call<'_>, rows: usize) -> bool {
    rows >= ROWS_WORTH_IT
        && call.spec.precision == Precision::Bf16
        && call.spec.norm == Normalizer::Softmax
        && call.spec.softcap.is_none()
        && matches!(call.spec.pos, PosRule::None | PosRule::Rope { cap: None, .. } | PosRule::Alibi { .. })
        && amx::available()
        && bf16::converts()
        && is_x86_feature_detected!("avx512bw")
}

/// What is added to the scores of a stacked query.
fn bias_of<'a>(
    call: &'a Call<'_>,
    queries: &Queries<'_>,
    stacked: usize,
    keys: &'a [u32],
) -> Option<Bias<'a>> {
    let PosRule::Alibi { slopes, cap } = &call.spec.pos else { return None };
    let (head, at) = queries.place(stacked);
    let (slope, cap) = (slopes[head] * LOG2_E, cap.unwrap_or(u32::MAX));
    Some(Bias { slope, cap, query: queries.positions[at], keys })
}

/// What some tiles of keys add up to for every strip. Only where [`serves`].
pub(super) fn over(call: &Call<'_>, strips: &[Strip<'_>], kv_head: usize, visits: &[Visit]) -> Vec<Running> {
    let mut keys = Loaded::default();
    let mut buffers = Buffers::new(call.q.dim, call.value_dim);
    let mut blocks: Vec<Vec<Block>> = strips.iter().map(|s| blocks(call, &s.queries)).collect();
    for visit in visits {
        keys.load_both(call, kv_head, strips, visit);
        buffers.load(&keys);
        for &(strip, n) in visit {
            let Strip { queries, cover } = &strips[strip];
            let tile = cover.tile(n);
            for (n, block) in blocks[strip].iter_mut().enumerate() {
                // SAFETY: `serves` looked for the instructions.
                unsafe { block.visit(call, queries, n * ROWS, tile, &mut buffers) };
            }
        }
    }
    let count = |strip: usize| strips[strip].queries.count;
    blocks.into_iter().enumerate().map(|(strip, blocks)| running(call, blocks, count(strip))).collect()
}

/// A tile of keys and values as the unit reads them, and what is computed from it.
struct Buffers {
    scores: Scores,
    width: usize,
    /// `[width / COLUMNS][slots / 2][COLUMNS]` pairs
    values: Aligned<u32>,
    /// `[slots / STEP][ROWS][STEP]`
    weights: Aligned<u16>,
}

impl Buffers {
    fn new(key_dim: usize, value_dim: usize) -> Self {
        let width = value_dim.next_multiple_of(COLUMNS);
        Self {
            scores: Scores::new(key_dim),
            width,
            values: Aligned::zeroed(KEY_TILE * width / 2),
            weights: Aligned::zeroed(ROWS * KEY_TILE),
        }
    }

    fn load(&mut self, loaded: &Loaded<'_>) {
        self.scores.load(loaded);
        // SAFETY: `serves` looked for the instructions.
        unsafe { pack::values(loaded.values(), self.scores.slots, self.width, &mut self.values) };
    }
}

/// As many stacked queries as a tile of sums has rows, and the state of their softmax.
struct Block {
    rows: usize,
    /// `[depth / STEP][ROWS][STEP]`
    queries: Aligned<u16>,
    /// Values weighed by `2^(score - max)`, `[ROWS, width]`.
    out: Aligned<f32>,
    max: [f32; ROWS],
    sum: [f32; ROWS],
}

fn blocks(call: &Call<'_>, queries: &Queries<'_>) -> Vec<Block> {
    let (dim, depth) = (call.q.dim, call.q.dim.next_multiple_of(STEP));
    let width = call.value_dim.next_multiple_of(COLUMNS);
    let vectors = &queries.rotated[0].vectors;
    let starts = (0..queries.count).step_by(ROWS);
    starts
        .map(|first| {
            let rows = ROWS.min(queries.count - first);
            Block {
                rows,
                queries: pack::queries(&vectors[first * dim..][..rows * dim], dim, depth, LOG2_E),
                out: Aligned::zeroed(ROWS * width),
                max: [f32::NEG_INFINITY; ROWS],
                sum: [0.0; ROWS],
            }
        })
        .collect()
}

impl Block {
    /// Adds a tile of keys; `first` is the first row among the stacked ones.
    ///
    /// # Safety
    /// The processor has AMX, AVX-512 and its bf16 conversions.
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn visit(
        &mut self,
        call: &Call<'_>,
        queries: &Queries<'_>,
        first: usize,
        tile: KeyTile<'_>,
        buffers: &mut Buffers,
    ) {
        let Buffers { scores, width, values, weights } = buffers;
        let (slots, width) = (scores.slots, *width);
        amx::configure();
        // SAFETY: just configured.
        unsafe { scores.compute(call, queries, (first, &self.queries), tile) };
        for i in 0..self.rows {
            let bias = bias_of(call, queries, first + i, &scores.positions);
            let scores = &scores.numbers[i * slots..][..slots];
            let weights = &mut weights[i * STEP..];
            let row = Row { scores, bias, weights, max: &mut self.max[i], sum: &mut self.sum[i] };
            // SAFETY: the caller vouches for the instructions.
            if let Some(factor) = unsafe { row.weigh() } {
                self.out[i * width..][..width].iter_mut().for_each(|value| *value *= factor);
            }
        }
        let (steps, panel) = (slots / STEP, COLUMNS * slots / 2);
        for (n, values) in values[..slots * width / 2].chunks_exact(panel).enumerate() {
            let out = &mut self.out[n * COLUMNS..(ROWS - 1) * width + (n + 1) * COLUMNS];
            // SAFETY: weights and a panel are `slots` deep; the slice reaches to the last of 32 rows.
            unsafe {
                let (left, right) = (weights.as_ptr(), values.as_ptr().cast());
                amx::multiply(left, steps, right, out.as_mut_ptr(), width, true, &[]);
            }
        }
    }
}

/// The state of all blocks of a strip, without padding and with maxima in units of 1.
fn running(call: &Call<'_>, blocks: Vec<Block>, count: usize) -> Running {
    let dim = call.value_dim;
    let width = dim.next_multiple_of(COLUMNS);
    let mut running = Running::new(count, dim);
    let mut rows = running.out.chunks_exact_mut(dim.max(1)).zip(running.max.iter_mut().zip(&mut running.sum));
    for block in blocks {
        let from =
            block.out.chunks_exact(width.max(1)).zip(block.max.iter().zip(&block.sum)).take(block.rows);
        for ((from, (max, sum)), (out, (to_max, to_sum))) in from.zip(&mut rows) {
            out.copy_from_slice(&from[..dim]);
            (*to_max, to_sum[0]) = (max * LN_2, *sum);
        }
    }
    running
}
