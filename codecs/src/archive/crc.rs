//! Cyclic redundancy checks of 16, 24 and 32 bits.

/// A check by its number of bits: CRC-16/CCITT-FALSE, CRC-24/OPENPGP or CRC-32/BZIP2 (all most significant bit first).
#[derive(Clone, Debug)]
pub(super) struct Crc {
    bits: u32,
    table: [u32; 256],
}

/// Widths that there are.
pub(super) const WIDTHS: [u32; 3] = [16, 24, 32];

impl Crc {
    /// `bits` must be one of [`WIDTHS`].
    pub(super) fn new(bits: u32) -> Self {
        let polynomial: u32 = match bits {
            16 => 0x1021,
            24 => 0x0086_4cfb,
            _ => 0x04c1_1db7,
        };
        // Kept at the upper end of 32 bits, so that one loop serves all widths.
        let polynomial = polynomial << (32 - bits);
        let table =
            std::array::from_fn(|byte| {
                (0..8).fold((byte as u32) << 24, |crc, _| {
                    if crc >> 31 == 1 { crc << 1 ^ polynomial } else { crc << 1 }
                })
            });
        Self { bits, table }
    }

    pub(super) fn of(&self, parts: &[&[u8]]) -> u32 {
        let (start, finish) = match self.bits {
            16 => (0xffff, 0),
            24 => (0x00b7_04ce, 0),
            _ => (u32::MAX, u32::MAX),
        };
        let mut crc = start << (32 - self.bits);
        for byte in parts.iter().copied().flatten() {
            crc = crc << 8 ^ self.table[(crc >> 24) as usize ^ usize::from(*byte)];
        }
        (crc >> (32 - self.bits)) ^ finish
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_those_of_the_catalogue() {
        let of = |bits| Crc::new(bits).of(&[b"1234", b"56789"]);
        assert_eq!((of(16), of(24), of(32)), (0x29b1, 0x0021_cf02, 0xfc89_1918));
    }
}
