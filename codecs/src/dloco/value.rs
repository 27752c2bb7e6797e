//! Whole numbers of fixed width: indices of words and messages.

use std::{cmp::Ordering, fmt, str::FromStr};

use super::Error;

/// 64-bit limbs of a [`Value`]: the code of 300 symbols has 2^595 words.
pub(super) const LIMBS: usize = 10;

/// A number below 2^640, least significant limb first.
///
/// Arithmetic is that of indices: it wraps like that of the machine, and the sizes of the codes stay below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Value(pub(super) [u64; LIMBS]);

impl Value {
    /// Bits that a value can have.
    pub const BITS: usize = 64 * LIMBS;

    /// Zero.
    pub const ZERO: Self = Self([0; LIMBS]);

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Bits without leading zeros; 0 for zero.
    pub fn bits(&self) -> usize {
        let used = self.0.iter().rposition(|&limb| limb != 0).map_or(0, |limb| limb + 1);
        used * 64 - if used > 0 { self.0[used - 1].leading_zeros() as usize } else { 0 }
    }

    /// Base-2 logarithm.
    pub fn log2(&self) -> f64 {
        let mut sum = 0.0;
        for &limb in self.0.iter().rev() {
            sum = sum * 2f64.powi(64) + limb as f64;
        }
        sum.log2()
    }

    /// The number 2^bit.
    pub fn power_of_two(bit: usize) -> Self {
        let mut value = Self::ZERO;
        value.0[bit / 64] = 1 << (bit % 64);
        value
    }

    /// Sum.
    #[must_use]
    pub fn add(&self, other: &Self) -> Self {
        Self(add(&self.0, &other.0))
    }

    /// Difference.
    #[must_use]
    pub fn sub(&self, other: &Self) -> Self {
        Self(sub(&self.0, &other.0).0)
    }

    /// Product with a small number.
    #[must_use]
    pub fn mul_small(&self, factor: u64) -> Self {
        let mut product = *self;
        let mut carry = 0;
        for limb in &mut product.0 {
            (*limb, carry) = limb.carrying_mul(factor, carry);
        }
        product
    }

    /// Quotient and remainder of the division by a small number.
    pub fn div_rem(&self, divisor: u32) -> (Self, u32) {
        let mut quotient = *self;
        let remainder = div_rem(&mut quotient.0, divisor);
        (quotient, remainder)
    }

    /// Half of it, rounded down.
    #[must_use]
    pub fn half(&self) -> Self {
        let mut half = Self::ZERO;
        for limb in 0..LIMBS {
            let above = if limb + 1 < LIMBS { self.0[limb + 1] } else { 0 };
            half.0[limb] = self.0[limb] >> 1 | above << 63;
        }
        half
    }

    /// The `count <= 64` bits from bit `first` upwards.
    pub fn bits_at(&self, first: usize, count: usize) -> u64 {
        let (limb, shift) = (first / 64, first % 64);
        let mut bits = self.0[limb] >> shift;
        if shift > 0 && limb + 1 < LIMBS {
            bits |= self.0[limb + 1] << (64 - shift);
        }
        if count < 64 { bits & ((1 << count) - 1) } else { bits }
    }

    /// Sets bits from `first` upwards, which must be zero before.
    pub fn put_bits(&mut self, first: usize, bits: u64) {
        let (limb, shift) = (first / 64, first % 64);
        self.0[limb] |= bits << shift;
        if shift > 0 && limb + 1 < LIMBS {
            self.0[limb + 1] |= bits >> (64 - shift);
        }
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        let mut limbs = [0; LIMBS];
        limbs[0] = value;
        Self(limbs)
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = Vec::new();
        let mut rest = *self;
        while !rest.is_zero() {
            let (quotient, digit) = rest.div_rem(1_000_000_000);
            digits.push(digit);
            rest = quotient;
        }
        let first = digits.pop().unwrap_or(0).to_string();
        let rest = digits.iter().rev().map(|digit| format!("{digit:09}"));
        let text: String = std::iter::once(first).chain(rest).collect();
        out.pad_integral(true, "", &text)
    }
}

impl FromStr for Value {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Number { text: text.to_owned(), bits: Self::BITS };
        // Beyond so many digits nothing fits, and the loop below needs no check of its own.
        let digits = text.trim_start_matches('0');
        if text.is_empty() || digits.len() > 192 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        let digit = |value: Self, digit: u8| value.mul_small(10).add(&Self::from(u64::from(digit - b'0')));
        Ok(digits.bytes().fold(Self::ZERO, digit))
    }
}

/// `a + b`, wrapping.
#[inline]
pub(super) fn add<const L: usize>(a: &[u64; L], b: &[u64; L]) -> [u64; L] {
    let mut sum = [0; L];
    let mut carry = false;
    for limb in 0..L {
        (sum[limb], carry) = a[limb].carrying_add(b[limb], carry);
    }
    sum
}

/// `a - b`, wrapping, and whether it is negative.
#[inline]
pub(super) fn sub<const L: usize>(a: &[u64; L], b: &[u64; L]) -> ([u64; L], bool) {
    let mut difference = [0; L];
    let mut borrow = false;
    for limb in 0..L {
        (difference[limb], borrow) = a[limb].borrowing_sub(b[limb], borrow);
    }
    (difference, borrow)
}

/// Divides in place and gives the remainder.
pub(super) fn div_rem(limbs: &mut [u64], divisor: u32) -> u32 {
    let divisor = u64::from(divisor);
    let mut remainder = 0;
    for limb in limbs.iter_mut().rev() {
        // Indices are mostly far shorter than a value can be.
        if *limb == 0 && remainder == 0 {
            continue;
        }
        let high = remainder << 32 | *limb >> 32;
        let low = (high % divisor) << 32 | *limb & 0xffff_ffff;
        *limb = (high / divisor) << 32 | (low / divisor);
        remainder = low % divisor;
    }
    remainder as u32
}

/// Runs an expression with a number as a constant, which must be one of those given.
macro_rules! with_constant {
    ($number:expr, $name:ident in [$($value:literal)+] => $run:expr) => {
        match $number {
            $($value => { const $name: usize = $value; $run })+
            other => unreachable!("{other} is none of the constants"),
        }
    };
}
pub(super) use with_constant;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wide(value: u128) -> Value {
        let mut limbs = [0; LIMBS];
        limbs[0] = value as u64;
        limbs[1] = (value >> 64) as u64;
        Value(limbs)
    }

    proptest! {
        #[test]
        fn arithmetic_is_that_of_whole_numbers(a in 0..=u128::MAX >> 34, b in 0..=u128::MAX >> 34, d in 1u32..) {
            prop_assert_eq!(wide(a).add(&wide(b)), wide(a + b));
            prop_assert_eq!(wide(a.max(b)).sub(&wide(a.min(b))), wide(a.max(b) - a.min(b)));
            prop_assert_eq!(wide(a).mul_small(u64::from(d)), wide(a * u128::from(d)));
            prop_assert_eq!(wide(a).div_rem(d), (wide(a / u128::from(d)), (a % u128::from(d)) as u32));
            prop_assert_eq!(wide(a).half(), wide(a / 2));
            prop_assert_eq!(wide(a).cmp(&wide(b)), a.cmp(&b));
            prop_assert_eq!(wide(a).to_string(), a.to_string());
            prop_assert_eq!(a.to_string().parse::<Value>().unwrap(), wide(a));
            prop_assert_eq!(wide(a).bits(), 128 - a.leading_zeros() as usize);
        }

        #[test]
        fn bits_come_back_from_where_they_were_put(first in 0usize..576, bits: u64) {
            let mut value = Value::ZERO;
            value.put_bits(first, bits);
            prop_assert_eq!(value.bits_at(first, 64), bits);
            prop_assert_eq!(value.bits_at(first, 9), bits & 511);
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-1", "1.5", "x", &"9".repeat(200)] {
            assert!(text.parse::<Value>().is_err(), "{text}");
        }
        assert_eq!("000".parse::<Value>().unwrap(), Value::ZERO);
    }
}
