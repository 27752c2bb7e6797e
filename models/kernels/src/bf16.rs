//! bf16 as the upper half of an f32.

use crate::vectorize::vectorize;

/// Rounds to the nearest bf16, ties to even; a NaN stays a (quiet) NaN.
#[inline(always)]
pub fn round(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    if x.is_nan() { (bits >> 16) as u16 | 0x40 } else { rounded as u16 }
}

/// [`round`] of every number, by the processor's own conversion where it has one, which takes numbers below the least
/// normal one for zero.
///
/// # Panics
/// If the target is shorter.
#[inline]
pub(crate) fn round_all(numbers: &[f32], target: &mut [u16]) {
    let target = &mut target[..numbers.len()];
    #[cfg(target_arch = "x86_64")]
    if converts() {
        // SAFETY: the instructions were looked for just now.
        return unsafe { convert(numbers, target) };
    }
    for (target, &number) in target.iter_mut().zip(numbers) {
        *target = round(number);
    }
}

/// Whether the processor converts f32 to bf16.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn converts() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")
}

/// [`round_all`] for slices of one length.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) fn convert(numbers: &[f32], target: &mut [u16]) {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_storeu_si256, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_loadu_ps,
        _mm512_storeu_si512,
    };
    let (pairs, rest) = numbers.as_chunks::<32>();
    let (pair_targets, rest_target) = target.split_at_mut(32 * pairs.len());
    for (numbers, target) in pairs.iter().zip(pair_targets.as_chunks_mut::<32>().0) {
        // SAFETY: 32 numbers on both sides.
        unsafe {
            let (low, high) = (_mm512_loadu_ps(numbers.as_ptr()), _mm512_loadu_ps(numbers[16..].as_ptr()));
            let rounded: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(target.as_mut_ptr().cast(), rounded);
        }
    }
    let (halves, rest) = rest.as_chunks::<16>();
    let (half_targets, rest_target) = rest_target.split_at_mut(16 * halves.len());
    for (numbers, target) in halves.iter().zip(half_targets.as_chunks_mut::<16>().0) {
        // SAFETY: 16 numbers on both sides.
        unsafe {
            let rounded: __m256i = std::mem::transmute(_mm512_cvtneps_pbh(_mm512_loadu_ps(numbers.as_ptr())));
            _mm256_storeu_si256(target.as_mut_ptr().cast(), rounded);
        }
    }
    for (target, &number) in rest_target.iter_mut().zip(rest) {
        *target = round(number);
    }
}

/// [`round_all`] of two slices of one length, number by number in turns.
///
/// # Panics
/// If they differ in length or the target is shorter than both.
#[inline]
pub(crate) fn round_pairs(first: &[f32], second: &[f32], target: &mut [u16]) {
    assert_eq!(first.len(), second.len(), "pairs");
    let (pairs, _) = target[..2 * first.len()].as_chunks_mut::<2>();
    let mut whole = 0;
    #[cfg(target_arch = "x86_64")]
    if converts() && is_x86_feature_detected!("avx512bw") {
        whole = first.len() / 16 * 16;
        for start in (0..whole).step_by(16) {
            let (first, second) = (&first[start..][..16], &second[start..][..16]);
            // SAFETY: the instructions were looked for; 16 numbers in each slice, 16 pairs in the target.
            unsafe { convert_pairs(first, second, pairs[start..][..16].as_flattened_mut()) };
        }
    }
    for ((pair, &first), &second) in pairs[whole..].iter_mut().zip(&first[whole..]).zip(&second[whole..]) {
        *pair = [round(first), round(second)];
    }
}

/// [`round_pairs`] of 16 numbers each.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bf16,avx512bw")]
unsafe fn convert_pairs(first: &[f32], second: &[f32], target: &mut [u16]) {
    use std::arch::x86_64::{__m512i, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_storeu_si512};
    // SAFETY: the caller vouches for the lengths.
    unsafe {
        let both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(second.as_ptr()), _mm512_loadu_ps(first.as_ptr()));
        let both: __m512i = std::mem::transmute(both);
        _mm512_storeu_si512(target.as_mut_ptr().cast(), in_turns(both));
    }
}

/// The lower and the upper 16 numbers in turns.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn in_turns(halves: std::arch::x86_64::__m512i) -> std::arch::x86_64::__m512i {
    use std::arch::x86_64::{_mm512_loadu_si512, _mm512_permutexvar_epi16};
    const TURNS: [u16; 32] = {
        let mut turns = [0; 32];
        let mut i = 0;
        while i < 32 {
            turns[i] = (i / 2 + i % 2 * 16) as u16;
            i += 1;
        }
        turns
    };
    // SAFETY: 32 numbers.
    let turns = unsafe { _mm512_loadu_si512(TURNS.as_ptr().cast()) };
    _mm512_permutexvar_epi16(turns, halves)
}

/// Little-endian bytes of [`round`] of every number.
///
/// # Panics
/// If the target is shorter.
pub fn to_bytes(numbers: &[f32], target: &mut [[u8; 2]]) {
    let target = &mut target[..numbers.len()];
    vectorize(
        #[inline(always)]
        || {
            for (target, &number) in target.iter_mut().zip(numbers) {
                *target = round(number).to_le_bytes();
            }
        },
    );
}

/// What [`to_bytes`] wrote, as f32.
///
/// # Panics
/// If the target is longer.
pub fn from_bytes(bytes: &[[u8; 2]], target: &mut [f32]) {
    let bytes = &bytes[..target.len()];
    vectorize(
        #[inline(always)]
        || {
            for (target, bytes) in target.iter_mut().zip(bytes) {
                *target = widen(u16::from_le_bytes(*bytes));
            }
        },
    );
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
