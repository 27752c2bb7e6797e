//! Activations of gated layers.

/// What is applied to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x/2 (1 + erf(x / sqrt 2))`, the exact form: DNABERT-2.
    Gelu,
    /// `x / (1 + exp(-x))`: Llama and GENERator.
    Silu,
}

impl Activation {
    /// The activation of one number.
    #[inline(always)]
    pub(super) fn apply(self, x: f32) -> f32 {
        match self {
            Self::Gelu => 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)),
            Self::Silu => x * logistic(x),
        }
    }
}

impl Activation {
    /// Its derivative.
    #[inline(always)]
    pub(super) fn slope(self, x: f32) -> f32 {
        match self {
            Self::Gelu => {
                // The law of the normal distribution, and its density.
                let density = crate::exp::exp(-0.5 * x * x) * 0.398_942_3;
                0.5f32.mul_add(1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2), x * density)
            }
            Self::Silu => {
                let s = logistic(x);
                s + x * s * (1.0 - s)
            }
        }
    }
}

/// `1 / (1 + exp(-x))` without overflow.
#[inline(always)]
fn logistic(x: f32) -> f32 {
    let e = crate::exp::exp(-x.abs());
    let small = e / (1.0 + e);
    if x < 0.0 { small } else { 1.0 / (1.0 + e) }
}

/// The error function to 1.5e-7: the rational function of odd and even powers that Eigen uses, exact to rounding at 0 and
/// 1 beyond 3.9, where f32 has no number between.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let s = x * x;
    let odd = (-2.726_142_3e-10_f32)
        .mul_add(s, 2.770_681_4e-8)
        .mul_add(s, -2.101_024e-6)
        .mul_add(s, -5.692_506_4e-5)
        .mul_add(s, -7.349_906e-4)
        .mul_add(s, -2.954_6e-3)
        .mul_add(s, -1.609_603_3e-2);
    let even = (-1.456_607_2e-5_f32)
        .mul_add(s, -2.133_740_6e-4)
        .mul_add(s, -1.682_827e-3)
        .mul_add(s, -7.373_329e-3)
        .mul_add(s, -1.426_473_9e-2);
    if x.abs() < 3.9 { x * odd / even } else { 1.0_f32.copysign(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `erf` in f64 by its Taylor series or, further out, its continued fraction.
    fn erf_f64(x: f64) -> f64 {
        if x.abs() < 3.0 {
            let (mut term, mut sum) = (x, x);
            for n in 1..100 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            return sum * 2.0 / std::f64::consts::PI.sqrt();
        }
        let a = x.abs();
        let fraction = (1..60).rev().fold(0.0, |tail, n| f64::from(n) / 2.0 / (a + tail));
        x.signum() * (1.0 - (-a * a).exp() / (a + fraction) / std::f64::consts::PI.sqrt())
    }

    #[test]
    fn gelu_and_silu_agree_with_f64() {
        for i in -12_000..=12_000 {
            let x = i as f32 * 1e-3;
            let wide = f64::from(x);
            let gelu = 0.5 * wide * (1.0 + erf_f64(wide / std::f64::consts::SQRT_2));
            let silu = wide / (1.0 + (-wide).exp());
            for (ours, exact) in [(Activation::Gelu.apply(x), gelu), (Activation::Silu.apply(x), silu)] {
                let allowed = 3e-7 * wide.abs().max(1.0);
                assert!((f64::from(ours) - exact).abs() < allowed, "{x}: {ours} instead of {exact}");
            }
        }
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "limits are reached exactly")]
    fn large_numbers_neither_overflow_nor_vanish() {
        assert_eq!(Activation::Gelu.apply(1e30), 1e30);
        assert_eq!(Activation::Silu.apply(1e30), 1e30);
        assert_eq!(Activation::Silu.apply(-1e30), 0.0);
        assert!(Activation::Gelu.apply(-1e3).abs() < 1e-3);
    }
}
