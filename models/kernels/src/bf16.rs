//! bf16 as the upper half of an f32.

/// Rounds to the nearest bf16, ties to even; a NaN stays a (quiet) NaN.
#[inline(always)]
pub fn round(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if x.is_nan() { (bits >> 16) as u16 | 0x40 } else { rounded as u16 }
}

/// The f32 of the same value.
#[inline(always)]
pub fn widen(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_even_and_keeps_what_is_no_number() {
        for (x, expected) in [(1.0, 0x3f80), (f32::from_bits(0x3f80_8000), 0x3f80)] {
            assert_eq!(round(x), expected);
        }
        assert_eq!(round(f32::from_bits(0x3f81_8000)), 0x3f82);
        assert_eq!(round(f32::from_bits(0x3f80_8001)), 0x3f81);
        assert_eq!(round(f32::MAX), 0x7f80);
        assert_eq!(round(f32::NEG_INFINITY), 0xff80);
        assert!(widen(round(f32::from_bits(0x7f80_0001))).is_nan());
    }
}
