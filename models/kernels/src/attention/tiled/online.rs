//! Scores to weights, tile by tile: a running maximum and a running sum of each row (Milakov and Gimelshein 2018).

use crate::exp::{exp2, exp2_of};
use pulp::{Arch, Simd, WithSimd};
use std::f32::consts::LOG2_E;

/// How far scores may lie above the running maximum: sums are then made anew for few tiles only, and nothing comes near
/// the largest f32 (as in FlashAttention-4).
const SLACK: f32 = 8.0;

/// Parts of the sum of a row, as many as a vector has at most: they are added up once, at the end.
pub(super) type Parts = [f32; 16];

/// A tile of scores and the state of its rows.
pub(super) struct Tile<'a> {
    /// `[rows, columns]`; what is not seen is minus infinity.
    pub(super) scores: &'a mut [f32],
    pub(super) columns: usize,
    /// What rows are summed to, `[rows, dim]`.
    pub(super) out: &'a mut [f32],
    pub(super) dim: usize,
    /// Of each row; none of its scores so far exceeds it by more than [`SLACK`].
    pub(super) max: &'a mut [f32],
    pub(super) sum: &'a mut [Parts],
}

impl Tile<'_> {
    /// Replaces scores by `exp(score - max)`, adds these to the sums, and rescales what was summed under another maximum.
    pub(super) fn weigh(self) {
        Arch::new().dispatch(self);
    }
}

impl WithSimd for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.scores.chunks_exact_mut(self.columns).zip(self.max.iter_mut().zip(self.sum));
        for (i, (row, (max, sum))) in rows.enumerate() {
            let (vectors, rest) = S::as_mut_simd_f32s(row);
            let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
            for &mut scores in &mut *vectors {
                largest = simd.max_f32s(scores, largest);
            }
            let of_rest = rest.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let above = simd.greater_than_f32s(largest, simd.splat_f32s(*max + SLACK));
            if simd.first_true_m32s(above) < S::F32_LANES || of_rest > *max + SLACK {
                let new = simd.reduce_max_f32s(largest).max(of_rest);
                // Of the shifts as they are taken below, so that their rounding is the same in all of a sum.
                let correction = exp2(*max * LOG2_E - new * LOG2_E);
                for x in self.out[i * self.dim..][..self.dim].iter_mut().chain(&mut *sum) {
                    *x *= correction;
                }
                *max = new;
            }
            // Where nothing is visible so far, exp(-inf - -inf) would be NaN.
            let shift = if *max == f32::NEG_INFINITY { 0.0 } else { *max * LOG2_E };
            let (factor, shifts) = (simd.splat_f32s(LOG2_E), simd.splat_f32s(-shift));
            let (parts, _) = S::as_mut_simd_f32s(sum);
            let mut total = parts[0];
            for scores in vectors {
                *scores = exp2_of(simd, simd.mul_add_e_f32s(*scores, factor, shifts));
                total = simd.add_f32s(total, *scores);
            }
            parts[0] = total;
            for score in rest {
                *score = exp2(score.mul_add(LOG2_E, -shift));
                sum[0] += *score;
            }
        }
    }
}
