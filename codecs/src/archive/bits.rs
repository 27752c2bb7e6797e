//! Bits in bytes, most significant first.

use crate::dloco::Value;

/// The `count <= 64` bits from bit `first` on.
pub(super) fn read(bytes: &[u8], first: usize, count: usize) -> u64 {
    let mut bits = 0;
    let mut at = first;
    while at < first + count {
        let take = (8 - at % 8).min(first + count - at);
        let byte = u64::from(bytes[at / 8]) >> (8 - at % 8 - take) & ((1 << take) - 1);
        bits = bits << take | byte;
        at += take;
    }
    bits
}

/// Sets the `count <= 64` bits from bit `first` on, which are zero before.
pub(super) fn write(bytes: &mut [u8], first: usize, count: usize, bits: u64) {
    let mut at = first;
    while at < first + count {
        let left = first + count - at;
        let take = (8 - at % 8).min(left);
        let part = (bits >> (left - take) & ((1 << take) - 1)) as u8;
        bytes[at / 8] |= part << (8 - at % 8 - take);
        at += take;
    }
}

/// The number of `count` bits from bit `first` on.
pub(super) fn read_value(bytes: &[u8], first: usize, count: usize) -> Value {
    let mut value = Value::ZERO;
    let mut low = 0;
    while low < count {
        let take = (count - low).min(64);
        value.put_bits(low, read(bytes, first + count - low - take, take));
        low += take;
    }
    value
}

/// Sets `count` bits from bit `first` on to a number, where they are zero before.
pub(super) fn write_value(bytes: &mut [u8], first: usize, count: usize, value: &Value) {
    let mut low = 0;
    while low < count {
        let take = (count - low).min(64);
        write(bytes, first + count - low - take, take, value.bits_at(low, take));
        low += take;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(first in 0_usize..40, count in 1_usize..=300, seed: [u64; 5]) {
            let mut value = Value::ZERO;
            for (limb, bits) in seed.into_iter().enumerate() {
                let width = count.saturating_sub(64 * limb).min(64);
                if width > 0 {
                    value.put_bits(64 * limb, bits >> (64 - width));
                }
            }
            let mut bytes = vec![0; 45];
            write_value(&mut bytes, first, count, &value);
            prop_assert_eq!(read_value(&bytes, first, count), value);
            // Nothing beside them was touched.
            prop_assert!((0..first).chain(first + count..360).all(|bit| read(&bytes, bit, 1) == 0));
        }
    }
}
