//! `exp` and powers of two, in a form the compiler turns into vector code.

use pulp::Simd;

/// Below this, `exp` of an f32 is not a normal number any more: the result is 0, as for a masked score.
const UNDERFLOW: f32 = -87.0;
/// Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the mantissa.
const ROUND: f32 = 12_582_912.0;
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// The minimax polynomial of Cephes `expf`, from the highest degree on.
const POLYNOMIAL: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
/// The same for [`exp2`].
const UNDERFLOW_2: f32 = -125.5;
/// `2^r` for `r` from -1/2 to 1/2, from the highest degree on: value and slope exact at 0, relative error of the rest least (1.05e-7).
const POWERS: [f32; 6] =
    [1.330_060_5e-3, 9.669_691e-3, 5.550_558_5e-2, 0.240_222_83, std::f32::consts::LN_2, 1.0];
/// Bits of 1.
const ONE: u32 = 0x3f80_0000;

/// `e^x` for `x < 88`, to 2 units in the last place; exactly 0 below -87 and at minus infinity; no number stays none.
///
/// Range reduction by a two-part ln 2 and a polynomial. No branches, so a loop over it vectorises.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, x));
    let [first, rest @ ..] = POLYNOMIAL;
    let p = rest.into_iter().fold(first, |p, c| p.mul_add(r, c));
    let y = p.mul_add(r * r, r);
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(ONE));
    if x < UNDERFLOW { 0.0 } else { y.mul_add(scale, scale) }
}

/// `2^x` for `x < 127`, to 2 units in the last place; exactly 0 below -125.5 and at minus infinity; no number stays none.
///
/// Softmax takes it of `(score - shift) log2 e`, one fused operation: four fewer than [`exp`] of the difference.
#[inline(always)]
pub(crate) fn exp2(x: f32) -> f32 {
    let shifted = x + ROUND;
    let r = x - (shifted - ROUND);
    let [first, rest @ ..] = POWERS;
    let p = rest.into_iter().fold(first, |p, c| p.mul_add(r, c));
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(ONE));
    if x < UNDERFLOW_2 { 0.0 } else { p * scale }
}

/// The same of a vector.
#[inline(always)]
pub(crate) fn exp2_of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let c = |x: f32| simd.splat_f32s(x);
    let shifted = simd.add_f32s(x, c(ROUND));
    let r = simd.sub_f32s(x, simd.sub_f32s(shifted, c(ROUND)));
    let [first, rest @ ..] = POWERS;
    let p = rest.into_iter().fold(c(first), |p, next| simd.mul_add_e_f32s(p, r, c(next)));
    let bits = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let scale = simd.transmute_f32s_u32s(simd.add_u32s(bits, simd.splat_u32s(ONE)));
    let underflow = simd.less_than_f32s(x, c(UNDERFLOW_2));
    simd.select_f32s(underflow, c(0.0), simd.mul_f32s(p, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_two_units_in_the_last_place_of_f64() {
        let mut worst = 0.0_f64;
        for i in -870_000..870_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) - exact).abs() / exact);
            let exact = f64::from(x).exp2();
            worst = worst.max((f64::from(exp2(x)) - exact).abs() / exact);
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "relative error {worst:e}");
    }

    #[test]
    fn a_vector_is_its_numbers() {
        struct Check(Vec<f32>);
        impl pulp::WithSimd for Check {
            type Output = Vec<f32>;
            #[inline(always)]
            fn with_simd<S: Simd>(mut self, simd: S) -> Vec<f32> {
                for x in S::as_mut_simd_f32s(&mut self.0).0 {
                    *x = exp2_of(simd, *x);
                }
                self.0
            }
        }
        let special = [f32::NEG_INFINITY, -126.0, -125.5, f32::NAN, 0.0, -0.0, 1.0, 126.9];
        let numbers: Vec<f32> = (0..1016).map(|i| i as f32 * 0.25 - 130.0).chain(special).collect();
        for (ours, x) in pulp::Arch::new().dispatch(Check(numbers.clone())).into_iter().zip(numbers) {
            let exact = exp2(x);
            assert!(
                (ours - exact).abs() <= 4.0 * f32::EPSILON * exact || (ours.is_nan() && x.is_nan()),
                "{x}: {ours}"
            );
        }
    }

    #[test]
    fn masked_scores_are_exactly_zero() {
        assert!(exp(f32::NEG_INFINITY).to_bits() == 0);
        assert!(exp(-88.0).to_bits() == 0);
        assert!((exp(0.0) - 1.0).abs() < f32::EPSILON);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp2(f32::NEG_INFINITY).to_bits() == 0 && exp2(-126.0).to_bits() == 0);
        assert!(exp2(0.0).to_bits() == ONE && exp2(f32::NAN).is_nan());
    }
}
