//! Division without remainder by an odd number, which is a multiplication.

use crate::dloco::value::Value;

/// Divides numbers of some limbs modulo `2^64` to the power of the limbs.
///
/// The quotient `q` is the one number of so many limbs with `q R` equal to the dividend, modulo that power. If the dividend
/// is a multiple of `R`, `q` is the quotient; if not, `q R` differs from it by a multiple of the power, so `q` is larger than
/// every quotient. So that it is small enough for a message tells that the index was of the right residue.
#[derive(Clone, Debug)]
pub(super) struct Divider {
    divisor: u64,
    inverse: u64,
    limbs: usize,
}

impl Divider {
    /// By an odd number, for dividends of up to so many limbs.
    pub(super) fn new(divisor: u32, limbs: usize) -> Self {
        let divisor = u64::from(divisor);
        debug_assert!(!divisor.is_multiple_of(2));
        // An odd number is its own inverse modulo 8; each step doubles the bits that are right.
        let step = |inverse: u64| inverse.wrapping_mul(2_u64.wrapping_sub(divisor.wrapping_mul(inverse)));
        let inverse = (0..5).fold(divisor, |inverse, _| step(inverse));
        Self { divisor, inverse, limbs }
    }

    #[inline]
    pub(super) fn divide(&self, dividend: &Value) -> Value {
        let mut quotient = Value::ZERO;
        let mut borrow = 0;
        for (limb, part) in quotient.0[..self.limbs].iter_mut().zip(&dividend.0) {
            let (rest, is_less) = part.overflowing_sub(borrow);
            *limb = rest.wrapping_mul(self.inverse);
            borrow = limb.carrying_mul(self.divisor, 0).1 + u64::from(is_less);
        }
        quotient
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn multiples_are_divided_and_others_become_large(quotient: [u64; 3], half in 1_u32..1 << 31, rest: u32) {
            let divisor = 2 * half + 1;
            let quotient = quotient.iter().rev().fold(Value::ZERO, |value, &limb| {
                let mut value = value;
                value.0.rotate_right(1);
                value.0[0] = limb;
                value
            });
            // One more limb holds the product.
            let divider = Divider::new(divisor, 4);
            let product = quotient.mul_small(u64::from(divisor));
            prop_assert_eq!(divider.divide(&product), quotient);
            let rest = rest % divisor;
            if rest > 0 {
                let other = divider.divide(&product.add(&Value::from(u64::from(rest))));
                prop_assert!(other.bits() > 192);
            }
        }
    }
}
