//! Gradients whose products are of bf16.
//!
//! Weights are computed again as in the forward pass, from the same rounded queries and keys. They and the gradients of
//! scores are rounded; the rest is f32. `dK` and `dV` are summed as their transposes, `Q^T dS` and `dO^T P`, for which two
//! neighbouring rows of weights lie in pairs.

use super::scores::{Scores, products};
use super::weigh::Bias;
use super::{bias_of, exp2, pack};
use crate::aligned::Aligned;
use crate::amx::{self, COLUMNS, ROWS, STEP};
use crate::attention::tiled::Call;
use crate::attention::tiled::backward::{Sums, Upstream};
use crate::attention::tiled::cover::KeyTile;
use crate::attention::tiled::keys::Loaded;
use crate::attention::tiled::queries::{Queries, Reach};
use crate::attention::tiled::sight::KEY_TILE;
use crate::attention::tiled::softmax::{Strip, visits};
use crate::bf16::in_turns;
use crate::transpose::transpose;
use std::arch::x86_64::{
    __m512, __m512i, _mm256_storeu_si256, _mm512_add_ps, _mm512_castsi512_si256, _mm512_cvtne2ps_pbh,
    _mm512_extracti64x4_epi64, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_storeu_si512,
    _mm512_sub_ps,
};
use std::f32::consts::{LN_2, LOG2_E};

/// Adds what the tiles of some strips add up to. Only where [`serves`](super::serves).
pub(in crate::attention::tiled) fn add_gradients(
    call: &Call<'_>,
    strips: &[Strip<'_>],
    upstream: Vec<Upstream>,
    kv_head: usize,
    sums: &mut Sums,
) {
    let mut passes: Vec<Pass<'_>> = strips
        .iter()
        .zip(upstream)
        .map(|(strip, upstream)| Pass::new(call, &strip.queries, upstream))
        .collect();
    let height = passes.iter().map(|pass| pass.height).max().unwrap_or(0);
    let mut loaded = Loaded::default();
    let mut buffers = Buffers::new(call.q.dim, call.value_dim, height);
    let (mut d_keys, mut d_values) = (Vec::new(), Vec::new());
    for visit in visits(strips) {
        let pieces = loaded.load_both(call, kv_head, strips, &visit);
        buffers.load(&loaded);
        for &(strip, n) in &visit {
            // SAFETY: `serves` looked for the instructions.
            unsafe { passes[strip].visit(strips[strip].cover.tile(n), &mut buffers) };
        }
        buffers.gradients(&buffers.d_keys, call.q.dim, &mut d_keys);
        for d in &mut d_keys {
            *d *= LN_2;
        }
        loaded.turn_back(&mut d_keys);
        buffers.gradients(&buffers.d_values, call.value_dim, &mut d_values);
        sums.add_tile(pieces, &d_keys, &d_values);
    }
    for pass in passes {
        let dim = call.q.dim;
        let rows = pass.d_queries.chunks_exact(buffers.scores.depth.max(1)).take(pass.queries.count);
        let rows: Vec<f32> = rows.flat_map(|row| &row[..dim]).copied().collect();
        sums.put_queries(call, pass.queries, &mut [rows]);
    }
}

/// A tile of keys and values as the unit reads them, and what is computed from it.
struct Buffers {
    scores: Scores,
    /// Of a value, padded to [`STEP`].
    width: usize,
    rounded: Aligned<u32>,
    /// `[slots / COLUMNS][width / 2][COLUMNS]` pairs of depths
    values: Aligned<u32>,
    /// `[depth / COLUMNS][slots / 2][COLUMNS]` pairs of slots
    key_rows: Aligned<u32>,
    /// `[ROWS, slots]`: of weights, as products give them.
    d_weights: Aligned<f32>,
    /// `[slots / STEP][ROWS][STEP]`
    d_scores: Aligned<u16>,
    /// `[slots / COLUMNS][height / 2][COLUMNS]` pairs of rows, of all rows of a strip.
    weight_pairs: Aligned<u32>,
    d_score_pairs: Aligned<u32>,
    /// In units of ln 2, `[depth, slots]`.
    d_keys: Aligned<f32>,
    /// `[width, slots]`
    d_values: Aligned<f32>,
}

impl Buffers {
    /// For strips of at most `height` rows.
    fn new(key_dim: usize, value_dim: usize, height: usize) -> Self {
        let (depth, width) = (key_dim.next_multiple_of(STEP), value_dim.next_multiple_of(STEP));
        Self {
            scores: Scores::new(key_dim),
            width,
            rounded: Aligned::zeroed(KEY_TILE * width / 2),
            values: Aligned::zeroed(KEY_TILE * width / 2),
            key_rows: Aligned::zeroed(KEY_TILE * depth / 2),
            d_weights: Aligned::zeroed(ROWS * KEY_TILE),
            d_scores: Aligned::zeroed(ROWS * KEY_TILE),
            weight_pairs: Aligned::zeroed(height / 2 * KEY_TILE),
            d_score_pairs: Aligned::zeroed(height / 2 * KEY_TILE),
            d_keys: Aligned::zeroed(depth * KEY_TILE),
            d_values: Aligned::zeroed(width * KEY_TILE),
        }
    }

    fn load(&mut self, loaded: &Loaded<'_>) {
        self.scores.load(loaded);
        let (slots, depth) = (self.scores.slots, self.scores.depth);
        // SAFETY: `serves` looked for the instructions.
        unsafe {
            pack::keys(loaded.values(), slots, self.width, &mut self.rounded, &mut self.values);
            pack::values(loaded.of(Reach::Near), slots, depth, &mut self.key_rows);
        }
        self.d_keys.fill(0.0);
        self.d_values.fill(0.0);
    }

    /// `[count, dim]` of a sum `[dim, slots]`.
    fn gradients(&self, sums: &[f32], dim: usize, out: &mut Vec<f32>) {
        let Scores { count, slots, .. } = self.scores;
        out.resize(count * dim, 0.0);
        transpose(sums, slots, dim, count, out, dim);
    }
}

/// One tile of queries on its way over the keys.
struct Pass<'a> {
    call: &'a Call<'a>,
    queries: &'a Queries<'a>,
    /// Stacked rows, padded to whole blocks of [`ROWS`].
    height: usize,
    /// In units of ln 2, `[height / ROWS][depth / STEP][ROWS][STEP]`.
    rows: Aligned<u16>,
    /// The same, `[depth / ROWS][height / STEP][ROWS][STEP]` with depths for rows.
    columns: Aligned<u16>,
    /// `[height / ROWS][width / STEP][ROWS][STEP]`
    d_out: Aligned<u16>,
    /// `[width / ROWS][height / STEP][ROWS][STEP]`
    d_out_columns: Aligned<u16>,
    /// In units of ln 2; plus infinity where nothing was seen, and of padding.
    lse: Vec<f32>,
    shift: Vec<f32>,
    /// Gradients of the rotated queries, `[height, depth]`.
    d_queries: Aligned<f32>,
}

impl<'a> Pass<'a> {
    fn new(call: &'a Call<'a>, queries: &'a Queries<'a>, upstream: Upstream) -> Self {
        let Upstream { d_out, mut lse, mut shift } = upstream;
        let height = queries.count.next_multiple_of(ROWS);
        for lse in &mut lse {
            *lse *= LOG2_E;
        }
        lse.resize(height, f32::INFINITY);
        shift.resize(height, 0.0);
        let (dim, depth) = (call.q.dim, call.q.dim.next_multiple_of(STEP));
        let vectors = &queries.rotated[0].vectors;
        let (rows, columns) = left_operands(vectors, dim, height, LOG2_E);
        let (d_out, d_out_columns) = left_operands(&d_out, call.value_dim, height, 1.0);
        let d_queries = Aligned::zeroed(height * depth);
        Self { call, queries, height, rows, columns, d_out, d_out_columns, lse, shift, d_queries }
    }

    /// Adds a tile of keys that was loaded.
    ///
    /// # Safety
    /// The processor has AMX, AVX-512 and its bf16 conversions.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn visit(&mut self, tile: KeyTile<'_>, buffers: &mut Buffers) {
        amx::configure();
        for first in (0..self.height).step_by(ROWS) {
            // SAFETY: as promised.
            unsafe { self.block(first, tile, buffers) };
        }
        let Buffers { scores, width, weight_pairs, d_score_pairs, d_keys, d_values, .. } = buffers;
        let (depth, slots) = (scores.depth, scores.slots);
        // SAFETY: operands and sums are of these sizes, and the tiles are configured.
        unsafe {
            add_columns(&self.columns, depth, d_score_pairs, self.height, d_keys, slots);
            add_columns(&self.d_out_columns, *width, weight_pairs, self.height, d_values, slots);
        }
    }

    /// The rows of one block: weights and gradients of scores, and with these those of the queries.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn block(&mut self, first: usize, tile: KeyTile<'_>, buffers: &mut Buffers) {
        let width = buffers.width;
        let Scores { depth, slots, .. } = buffers.scores;
        let queries = &self.rows[first * depth..][..ROWS * depth];
        let d_out = &self.d_out[first * width..][..ROWS * width];
        // SAFETY: the tiles are configured.
        unsafe {
            buffers.scores.compute(self.call, self.queries, (first, queries), tile);
            products(d_out, &buffers.values, width, &mut buffers.d_weights, slots);
        }
        for i in (0..ROWS).step_by(2) {
            let bias = |row| {
                let stacked = first + i + row;
                let there = stacked < self.queries.count;
                there.then(|| bias_of(self.call, self.queries, stacked, &buffers.scores.positions)).flatten()
            };
            let pair = first / 2 + i / 2;
            let rows = TwoRows {
                scores: &buffers.scores.numbers[i * slots..][..2 * slots],
                d_weights: &buffers.d_weights[i * slots..][..2 * slots],
                biases: [bias(0), bias(1)],
                lse: [self.lse[first + i], self.lse[first + i + 1]],
                shift: [self.shift[first + i], self.shift[first + i + 1]],
                d_scores: &mut buffers.d_scores[i * STEP..],
                weight_pairs: &mut buffers.weight_pairs[pair * COLUMNS..],
                d_score_pairs: &mut buffers.d_score_pairs[pair * COLUMNS..],
                panel: self.height / 2 * COLUMNS,
            };
            // SAFETY: as promised.
            unsafe { rows.compute() };
        }
        let d_queries = &mut self.d_queries[first * depth..][..ROWS * depth];
        let panel = COLUMNS * slots / 2;
        for (n, keys) in buffers.key_rows[..slots * depth / 2].chunks_exact(panel).enumerate() {
            let out = &mut d_queries[n * COLUMNS..];
            // SAFETY: gradients of scores and a panel are `slots` deep; the slice reaches to the last of 32 rows.
            unsafe {
                let (left, right) = (buffers.d_scores.as_ptr(), keys.as_ptr().cast());
                amx::multiply(left, slots / STEP, right, out.as_mut_ptr(), depth, true, &[]);
            }
        }
    }
}

/// `[height, dim]` times a factor as left operand, by rows and by columns.
fn left_operands(vectors: &[f32], dim: usize, height: usize, factor: f32) -> (Aligned<u16>, Aligned<u16>) {
    let depth = dim.next_multiple_of(STEP);
    let (mut rows, mut columns) = (Aligned::zeroed(height * depth), Aligned::zeroed(height * depth));
    let count = vectors.len() / dim.max(1);
    for (block, first) in (0..count).step_by(ROWS).enumerate() {
        let these = &vectors[first * dim..count.min(first + ROWS) * dim];
        let packed = pack::queries(these, dim, depth, factor);
        rows[block * ROWS * depth..][..ROWS * depth].copy_from_slice(&packed);
        for (k, i) in (0..depth).flat_map(|k| (0..ROWS).map(move |i| (k, i))) {
            let number = packed[(k / STEP * ROWS + i) * STEP + k % STEP];
            columns[((k / ROWS * height / STEP + block) * ROWS + k % ROWS) * STEP + i] = number;
        }
    }
    (rows, columns)
}

/// `out += left right`, `[depth, slots]`, over `height` rows; `right` as panels of pairs of rows.
///
/// # Safety
/// The tiles are configured.
unsafe fn add_columns(
    left: &[u16],
    depth: usize,
    right: &[u32],
    height: usize,
    out: &mut [f32],
    slots: usize,
) {
    assert!(left.len() == depth * height && out.len() >= depth * slots);
    for (r, left) in left.chunks_exact(ROWS * height).enumerate() {
        for (n, panel) in right[..height / 2 * slots].chunks_exact(height / 2 * COLUMNS).enumerate() {
            let out = &mut out[r * ROWS * slots + n * COLUMNS..];
            // SAFETY: both operands are `height` deep, the slice reaches to the last of 32 rows.
            unsafe {
                let (left, right) = (left.as_ptr(), panel.as_ptr().cast());
                amx::multiply(left, height / STEP, right, out.as_mut_ptr(), slots, true, &[]);
            }
        }
    }
}

/// Two neighbouring rows.
struct TwoRows<'a> {
    /// `[2, slots]`, in units of ln 2; what is not seen is minus infinity.
    scores: &'a [f32],
    /// `[2, slots]`
    d_weights: &'a [f32],
    biases: [Option<Bias<'a>>; 2],
    lse: [f32; 2],
    shift: [f32; 2],
    /// From the first row's first number on: `STEP` of them lie side by side, the next ones a tile further.
    d_scores: &'a mut [u16],
    /// From the pair's first column on: `COLUMNS` of them lie side by side, the next ones a panel further.
    weight_pairs: &'a mut [u32],
    d_score_pairs: &'a mut [u32],
    panel: usize,
}

impl TwoRows<'_> {
    /// `P = 2^(S - lse)`, `dS = P (dP + shift)`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    unsafe fn compute(self) {
        let Self { scores, d_weights, biases, lse, shift, d_scores, weight_pairs, d_score_pairs, panel } =
            self;
        let slots = scores.len() / 2;
        let panels = slots / COLUMNS;
        assert!(slots.is_multiple_of(COLUMNS) && d_weights.len() == 2 * slots && panels > 0);
        assert!(d_scores.len() >= (panels - 1) * ROWS * STEP + 2 * STEP);
        let last = (panels - 1) * panel + COLUMNS;
        assert!(weight_pairs.len() >= last && d_score_pairs.len() >= last);
        let (lse, shift) = (lse.map(|x| _mm512_set1_ps(x)), shift.map(|x| _mm512_set1_ps(x)));
        for start in (0..slots).step_by(16) {
            let (n, within) = (start / COLUMNS, start % COLUMNS);
            let mut weights = [_mm512_set1_ps(0.0); 2];
            let mut d = weights;
            for row in 0..2 {
                // SAFETY: 16 numbers of a row, by the assertion.
                let (mut score, d_weight) = unsafe {
                    let at = row * slots + start;
                    (_mm512_loadu_ps(scores.as_ptr().add(at)), _mm512_loadu_ps(d_weights.as_ptr().add(at)))
                };
                if let Some(bias) = biases[row] {
                    score =
                        bias.add(score, bias.keys[start..].first_chunk().expect("positions of all slots"));
                }
                weights[row] = exp2(_mm512_sub_ps(score, lse[row]));
                d[row] = _mm512_mul_ps(weights[row], _mm512_add_ps(d_weight, shift[row]));
            }
            let (weights, d) = (round(weights), round(d));
            // SAFETY: 16 numbers or pairs from there on, by the assertions; a vector is 512 bits of anything.
            unsafe {
                let at = d_scores.as_mut_ptr().add(n * ROWS * STEP + within);
                _mm256_storeu_si256(at.cast(), _mm512_castsi512_si256(d));
                _mm256_storeu_si256(at.add(STEP).cast(), _mm512_extracti64x4_epi64::<1>(d));
                let at = n * panel + within;
                _mm512_storeu_si512(weight_pairs.as_mut_ptr().add(at).cast(), in_turns(weights));
                _mm512_storeu_si512(d_score_pairs.as_mut_ptr().add(at).cast(), in_turns(d));
            }
        }
    }
}

/// 16 numbers of the first row, then 16 of the second.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn round([first, second]: [__m512; 2]) -> __m512i {
    // SAFETY: both are 512 bits of anything.
    unsafe { std::mem::transmute(_mm512_cvtne2ps_pbh(second, first)) }
}
