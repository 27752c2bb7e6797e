//! Cyclic redundancy checks of 16, 24 and 32 bits.

use crc::{CRC_16_IBM_3740, CRC_24_OPENPGP, CRC_32_BZIP2, Crc};

static CRC_16: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_3740);
static CRC_24: Crc<u32> = Crc::<u32>::new(&CRC_24_OPENPGP);
static CRC_32: Crc<u32> = Crc::<u32>::new(&CRC_32_BZIP2);

/// Widths that there are.
pub(super) const WIDTHS: [u32; 3] = [16, 24, 32];

/// The check of so many bits, one of [`WIDTHS`], of some bytes.
pub(super) fn crc(bits: u32, bytes: &[u8]) -> u32 {
    match bits {
        16 => CRC_16.checksum(bytes).into(),
        24 => CRC_24.checksum(bytes),
        _ => CRC_32.checksum(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The format of pools depends on them.
    #[test]
    fn checks_are_those_of_the_catalogue() {
        let of = |bits| crc(bits, b"123456789");
        assert_eq!((of(16), of(24), of(32)), (0x29b1, 0x0021_cf02, 0xfc89_1918));
    }
}
