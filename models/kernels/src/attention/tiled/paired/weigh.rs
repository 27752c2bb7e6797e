//! One row of scores to weights.

use crate::amx::{ROWS, STEP};
use std::arch::x86_64::{
    __m512, __m512i, _CMP_NLE_UQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm512_add_ps,
    _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_cvtne2ps_pbh, _mm512_fmadd_ps, _mm512_fnmadd_ps,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_maskz_scalef_ps, _mm512_max_epu32, _mm512_max_ps,
    _mm512_min_epu32, _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_roundscale_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_si512, _mm512_sub_epi32, _mm512_sub_ps,
};

/// A row of scores in units of ln 2, and the state of its softmax.
pub(super) struct Row<'a> {
    /// A multiple of [`STEP`]; what is not seen is minus infinity.
    pub(super) scores: &'a [f32],
    pub(super) bias: Option<Bias<'a>>,
    /// From the row's first weight on: `STEP` of them lie side by side, the next ones a tile further.
    pub(super) weights: &'a mut [u16],
    pub(super) max: &'a mut f32,
    pub(super) sum: &'a mut f32,
}

/// `-slope * min(|query - key|, cap)`
#[derive(Clone, Copy)]
pub(super) struct Bias<'a> {
    pub(super) slope: f32,
    pub(super) cap: u32,
    pub(super) query: u32,
    /// Positions, one a score.
    pub(super) keys: &'a [u32],
}

impl Row<'_> {
    /// Writes the weights `2^(score - running maximum)` and updates the state; returns what sums made before are to be
    /// multiplied with, if that is not 1.
    ///
    /// # Safety
    /// The processor has AVX-512 and its bf16 conversions.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) unsafe fn weigh(self) -> Option<f32> {
        // SAFETY: as promised.
        unsafe {
            match self.scores.len() / 16 {
                2 => self.weigh_vectors::<2>(),
                4 => self.weigh_vectors::<4>(),
                6 => self.weigh_vectors::<6>(),
                8 => self.weigh_vectors::<8>(),
                n => unreachable!("{n} vectors of scores"),
            }
        }
    }

    /// All scores of the row in registers.
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn weigh_vectors<const N: usize>(self) -> Option<f32> {
        let Self { scores, bias, weights, max, sum } = self;
        let (scores, _) = scores.as_chunks::<16>();
        let mut row = [_mm512_setzero_ps(); N];
        for (vector, scores) in row.iter_mut().zip(scores) {
            // SAFETY: 16 numbers.
            *vector = unsafe { _mm512_loadu_ps(scores.as_ptr()) };
        }
        if let Some(bias) = bias {
            let (keys, _) = bias.keys.as_chunks::<16>();
            for (vector, keys) in row.iter_mut().zip(keys) {
                *vector = bias.add(*vector, keys);
            }
        }
        let largest = row.iter().fold(row[0], |a, &b| _mm512_max_ps(a, b));
        let new = _mm512_reduce_max_ps(largest).max(*max);
        let shift = _mm512_set1_ps(if new == f32::NEG_INFINITY { 0.0 } else { new });
        let mut total = _mm512_setzero_ps();
        for vector in &mut row {
            *vector = exp2(_mm512_sub_ps(*vector, shift));
            total = _mm512_add_ps(total, *vector);
        }
        assert!(weights.len() >= (N / 2 - 1) * ROWS * STEP + STEP);
        for pair in 0..N / 2 {
            // SAFETY: 32 weights from there on, by the assertion; a vector is 512 bits of anything.
            unsafe {
                let rounded: __m512i =
                    std::mem::transmute(_mm512_cvtne2ps_pbh(row[2 * pair + 1], row[2 * pair]));
                _mm512_storeu_si512(weights.as_mut_ptr().add(pair * ROWS * STEP).cast(), rounded);
            }
        }
        let before = *max;
        let factor = if new > before && before > f32::NEG_INFINITY { (before - new).exp2() } else { 1.0 };
        *sum = *sum * factor + _mm512_reduce_add_ps(total);
        *max = new;
        #[allow(clippy::float_cmp, reason = "nothing to multiply with is exactly 1")]
        let changes = factor != 1.0;
        changes.then_some(factor)
    }
}

impl Bias<'_> {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(super) fn add(self, scores: __m512, keys: &[u32; 16]) -> __m512 {
        let query = _mm512_set1_epi32(self.query as i32);
        // SAFETY: 16 numbers.
        let keys = unsafe { _mm512_loadu_si512(keys.as_ptr().cast()) };
        let distance = _mm512_sub_epi32(_mm512_max_epu32(query, keys), _mm512_min_epu32(query, keys));
        let distance = _mm512_min_epu32(distance, _mm512_set1_epi32(self.cap as i32));
        // Distances below 2^24 are exact in f32.
        _mm512_fnmadd_ps(_mm512_set1_ps(self.slope), _mm512_cvtepi32_ps(distance), scores)
    }
}

/// `2^x` for `x <= 0` to 3e-6, far below a rounding to bf16; 0 below -126; no number stays none.
///
/// `2^(x - round(x))` by the minimax polynomial of degree 4 (least relative error on [-1/2, 1/2]).
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn exp2(x: __m512) -> __m512 {
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    let whole = _mm512_roundscale_ps::<NEAREST>(x);
    let rest = _mm512_sub_ps(x, whole);
    let c = |x: f32| _mm512_set1_ps(x);
    let p = _mm512_fmadd_ps(c(9.570_102e-3), rest, c(5.591_786e-2));
    let p = _mm512_fmadd_ps(p, rest, c(0.240_247_44));
    let p = _mm512_fmadd_ps(p, rest, c(0.693_121_8));
    let p = _mm512_fmadd_ps(p, rest, c(0.999_999_3));
    let normal = _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(x, c(-126.0));
    _mm512_maskz_scalef_ps(normal, p, whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16;

    #[target_feature(enable = "avx512f")]
    fn power(x: f32) -> f32 {
        let mut out = [0.0; 16];
        // SAFETY: 16 numbers.
        unsafe { std::arch::x86_64::_mm512_storeu_ps(out.as_mut_ptr(), exp2(_mm512_set1_ps(x))) };
        out[7]
    }

    #[test]
    fn powers_of_two() {
        if !is_x86_feature_detected!("avx512f") {
            return; // This processor has no AVX-512.
        }
        // SAFETY: looked for just now.
        let power = |x: f32| unsafe { power(x) };
        for i in 0..1_260_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp2();
            assert!((f64::from(power(x)) - exact).abs() < 4e-6 * exact, "2^{x} = {}", power(x));
        }
        assert!(power(f32::NEG_INFINITY).to_bits() == 0 && power(-127.0).to_bits() == 0);
        assert!(power(f32::NAN).is_nan());
    }

    #[test]
    fn a_row_in_two_parts() {
        if !is_x86_feature_detected!("avx512bf16") {
            return; // This processor does not convert to bf16.
        }
        let scores: Vec<f32> = (0..96).map(|i| (i as f32 * 0.77).sin() * 9.0).collect();
        let keys: Vec<u32> = (0..96).collect();
        let bias = |part| Bias { slope: 0.25, cap: 40, query: 50, keys: part };
        let (mut max, mut sum, mut weighed) = (f32::NEG_INFINITY, 0.0, [0.0_f32; 96]);
        for part in [0..32, 32..96] {
            let mut weights = vec![0; 2 * ROWS * STEP];
            let row = Row {
                scores: &scores[part.clone()],
                bias: Some(bias(&keys[part.clone()])),
                weights: &mut weights,
                max: &mut max,
                sum: &mut sum,
            };
            // SAFETY: looked for just now.
            let factor = unsafe { row.weigh() }.unwrap_or(1.0);
            weighed[..part.start].iter_mut().for_each(|x| *x *= factor);
            for (i, x) in weighed[part].iter_mut().enumerate() {
                *x = bf16::widen(weights[i / STEP * ROWS * STEP + i % STEP]);
            }
        }
        let biased = |i: usize| f64::from(scores[i]) - 0.25 * f64::from((50_u32.abs_diff(i as u32)).min(40));
        let exact: Vec<f64> = (0..96).map(|i| biased(i).exp2()).collect();
        let total: f64 = exact.iter().sum();
        assert!((f64::from(sum) * f64::from(max).exp2() / total - 1.0).abs() < 1e-5);
        for (x, exact) in weighed.iter().zip(&exact) {
            let error = (f64::from(*x / sum) - exact / total).abs();
            assert!(error < 5e-3 * exact / total + 1e-30, "{x}");
        }
    }
}
