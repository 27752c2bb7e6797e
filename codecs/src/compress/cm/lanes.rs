//! Sixteen numbers at a time. Each operation is one short loop, which compilers turn into one vector instruction or two.

#![allow(
    clippy::inline_always,
    reason = "a call between code for different instruction sets would cost more than the work"
)]
#![allow(clippy::needless_range_loop, reason = "loops over lanes, which become one instruction")]

use std::ops::{Add, Div, Mul, Sub};

/// Numbers that go together.
pub(super) const LANES: usize = 16;

/// For two contexts, a number for each of eight classes.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

impl Lanes {
    #[inline(always)]
    pub(super) const fn all(value: f32) -> Self {
        Self([value; LANES])
    }

    #[inline(always)]
    fn with(self, other: Self, operation: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = [0.0; LANES];
        for lane in 0..LANES {
            out[lane] = operation(self.0[lane], other.0[lane]);
        }
        Self(out)
    }

    #[inline(always)]
    fn bits(self, operation: impl Fn(u32) -> u32) -> Self {
        let mut out = [0.0; LANES];
        for lane in 0..LANES {
            out[lane] = f32::from_bits(operation(self.0[lane].to_bits()));
        }
        Self(out)
    }

    /// Numbers for either context.
    #[inline(always)]
    pub(super) fn sides(left: &[f32; LANES / 2], right: &[f32; LANES / 2]) -> Self {
        let mut out = [0.0; LANES];
        out[..LANES / 2].copy_from_slice(left);
        out[LANES / 2..].copy_from_slice(right);
        Self(out)
    }

    /// The larger of two numbers.
    #[inline(always)]
    pub(super) fn at_least(self, least: Self) -> Self {
        self.with(least, |value, least| if value < least { least } else { value })
    }

    /// `self * factor + term`, rounded once: in one instruction where there is one, and the same bits where there is none.
    #[inline(always)]
    pub(super) fn mul_add(self, factor: Self, term: Self) -> Self {
        let mut out = [0.0; LANES];
        for lane in 0..LANES {
            out[lane] = self.0[lane].mul_add(factor.0[lane], term.0[lane]);
        }
        Self(out)
    }

    /// The sum of both halves, in each of them.
    #[inline(always)]
    pub(super) fn fold(self) -> Self {
        let mut out = [0.0; LANES];
        for lane in 0..LANES {
            out[lane] = self.0[lane] + self.0[(lane + LANES / 2) % LANES];
        }
        Self(out)
    }

    /// Powers of numbers in (0, 1]: 2 to the power times the logarithm. Relative error below 1e-5, and the same bits on
    /// every machine.
    #[inline(always)]
    pub(super) fn power(self, power: f32) -> Self {
        (self.log2() * Self::all(power)).exp2()
    }

    /// By `log2((1 + s) / (1 - s)) = 2 / ln 2 (s + s³ / 3 + ...)` with the mantissa in [sqrt(1/2), sqrt(2)), so |s| < 0.172.
    #[inline(always)]
    pub(super) fn log2(self) -> Self {
        const HALF_ROOT: u32 = 0x3f35_04f3;
        let mut exponent = [0.0; LANES];
        for lane in 0..LANES {
            exponent[lane] = ((self.0[lane].to_bits().wrapping_sub(HALF_ROOT) as i32) >> 23) as f32;
        }
        let mantissa = self.bits(|bits| bits.wrapping_sub(bits.wrapping_sub(HALF_ROOT) & 0xff80_0000));
        let t = mantissa - Self::all(1.0);
        let s = t / (t + Self::all(2.0));
        let z = s * s;
        let series = Self::all(0.412_198_6).mul_add(z, Self::all(0.577_078));
        let series = series.mul_add(z, Self::all(0.961_796_7)).mul_add(z, Self::all(2.885_39));
        s.mul_add(series, Self(exponent))
    }

    #[inline(always)]
    fn exp2(self) -> Self {
        /// Added to a small number, it leaves the nearest integer in the lowest bits.
        const ROUND: f32 = 12_582_912.0;
        // Below this the result would not be a normal number; weights never are so small.
        let x = self.at_least(Self::all(-120.0));
        let shifted = x + Self::all(ROUND);
        let rest = x - (shifted - Self::all(ROUND));
        let mut series = Self::all(0.001_333_355_8);
        for term in [0.009_618_129, 0.055_504_11, 0.240_226_5, std::f32::consts::LN_2, 1.0] {
            series = series.mul_add(rest, Self::all(term));
        }
        let mut out = [0.0; LANES];
        for lane in 0..LANES {
            out[lane] =
                f32::from_bits(series.0[lane].to_bits().wrapping_add(shifted.0[lane].to_bits() << 23));
        }
        Self(out)
    }
}

macro_rules! operator {
    ($trait:ident, $name:ident, $operation:expr) => {
        impl $trait for Lanes {
            type Output = Self;

            #[inline(always)]
            fn $name(self, other: Self) -> Self {
                self.with(other, $operation)
            }
        }
    };
}

operator!(Add, add, |a, b| a + b);
operator!(Sub, sub, |a, b| a - b);
operator!(Mul, mul, |a, b| a * b);
operator!(Div, div, |a, b| a / b);

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same bits are what is asked for")]
mod tests {
    use super::*;

    #[test]
    fn powers_and_logarithms_are_close() {
        for step in 1..2000 {
            let x = step as f32 / 2000.0;
            assert!((Lanes::all(x).log2().0[3] - x.log2()).abs() < 2e-6 * x.log2().abs().max(1.0), "{x}");
            assert!((Lanes::all(x).power(0.8).0[7] / x.powf(0.8) - 1.0).abs() < 1e-5, "{x}");
        }
        assert!((Lanes::all(1e-6).power(0.8).0[0] / 1e-6_f32.powf(0.8) - 1.0).abs() < 1e-5);
        assert_eq!(Lanes::all(1.0).power(0.8).0, [1.0; LANES]);
    }
}
