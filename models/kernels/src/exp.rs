//! `exp` over a slice, in a form the compiler turns into vector code.

/// Below this, `exp` of an f32 is not a normal number any more: the result is 0, as for a masked score.
const UNDERFLOW: f32 = -87.0;

/// `e^x` for `x <= 0`, to 2 units in the last place; exactly 0 below -87 and at minus infinity.
///
/// Range reduction by a two-part ln 2 and the degree-5 minimax polynomial of Cephes `expf`. No branches, so a
/// loop over it vectorises.
#[inline(always)]
pub(crate) fn exp_nonpositive(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.max(UNDERFLOW);
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LOW, n.mul_add(-LN2_HIGH, clamped));
    let p = 1.987_569_1e-4_f32
        .mul_add(r, 1.398_199_9e-3)
        .mul_add(r, 8.333_452e-3)
        .mul_add(r, 4.166_579_6e-2)
        .mul_add(r, 1.666_666_5e-1)
        .mul_add(r, 0.5);
    let y = p.mul_add(r * r, r) + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x < UNDERFLOW { 0.0 } else { y * scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_two_units_in_the_last_place_of_f64_exp() {
        let mut worst = 0.0_f64;
        for i in 0..870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp_nonpositive(x)) - exact).abs() / exact);
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "relative error {worst:e}");
    }

    #[test]
    fn masked_scores_are_exactly_zero() {
        assert!(exp_nonpositive(f32::NEG_INFINITY).to_bits() == 0);
        assert!(exp_nonpositive(-88.0).to_bits() == 0);
        assert!((exp_nonpositive(0.0) - 1.0).abs() < f32::EPSILON);
    }
}
