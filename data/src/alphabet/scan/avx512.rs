//! The same for processors with AVX-512 and its byte instructions: 64 letters at a time.

use std::arch::x86_64::{
    __m512i, _mm512_and_si512, _mm512_andnot_si512, _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask,
    _mm512_mask_loadu_epi8, _mm512_maskz_compress_epi8, _mm512_movepi8_mask, _mm512_permutex2var_epi8,
    _mm512_set1_epi8, _mm512_storeu_si512, _mm512_sub_epi8,
};

use super::super::{Counts, NUCLEOTIDE};

/// Whether this processor can.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("popcnt")
}

macro_rules! with_avx512 {
    ($call:expr) => {
        // SAFETY: callers ask `is_there` first, which looks for every feature that the functions below enable.
        unsafe { $call }
    };
}

pub(super) fn tally(text: &[u8]) -> Option<(Counts, u64)> {
    with_avx512!(tally_impl(text))
}

pub(super) fn squeeze(text: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    with_avx512!(squeeze_impl(text, out))
}

pub(super) fn is_nucleotides(sequence: &[u8]) -> bool {
    with_avx512!(is_nucleotides_impl(sequence))
}

pub(super) fn count(sequence: &[u8]) -> Counts {
    with_avx512!(count_impl(sequence))
}

/// The highest bit is set for letters that may be there.
#[repr(align(64))]
pub(super) struct Table(pub(super) [[u8; 64]; 2]);

const fn table(feed: bool) -> Table {
    let mut table = [[0; 64]; 2];
    let mut byte = 0;
    while byte < 128 {
        if NUCLEOTIDE[byte] || feed && byte == b'\n' as usize {
            table[byte / 64][byte % 64] = 0x80;
        }
        byte += 1;
    }
    Table(table)
}

pub(super) static LETTERS: Table = table(false);
static LETTERS_AND_FEED: Table = table(true);

/// At most 64 bytes, with `fill` in the lanes that are left.
#[target_feature(enable = "avx512f,avx512bw")]
fn load(bytes: &[u8], fill: u8) -> __m512i {
    let lanes = u64::MAX.checked_shr(64 - bytes.len() as u32).unwrap_or(0);
    let fill = _mm512_set1_epi8(fill as i8);
    // SAFETY: lanes beyond the slice are masked out, and masked lanes are not read.
    unsafe { _mm512_mask_loadu_epi8(fill, lanes, bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn halves(table: &Table) -> [__m512i; 2] {
    [load(&table.0[0], 0), load(&table.0[1], 0)]
}

/// The highest bit of a lane is set when its letter may be there.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn allowed(letters: __m512i, halves: [__m512i; 2]) -> __m512i {
    // The index has 7 bits; bytes with an eighth are no letters.
    _mm512_andnot_si512(letters, _mm512_permutex2var_epi8(halves[0], letters, halves[1]))
}

#[derive(Default)]
struct Sums {
    counts: [u64; 6],
}

impl Sums {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,popcnt")]
    fn add(&mut self, letters: __m512i) {
        let upper = _mm512_and_si512(letters, _mm512_set1_epi8(0xdf_u8 as i8));
        for (sum, letter) in self.counts.iter_mut().zip(*b"ACGTN") {
            *sum += u64::from(_mm512_cmpeq_epi8_mask(upper, _mm512_set1_epi8(letter as i8)).count_ones());
        }
        let from_a = _mm512_sub_epi8(letters, _mm512_set1_epi8(b'a' as i8));
        self.counts[5] += u64::from(_mm512_cmplt_epu8_mask(from_a, _mm512_set1_epi8(26)).count_ones());
    }

    fn counts(&self, letters: usize) -> Counts {
        let [a, c, g, t, n, lower] = self.counts;
        Counts { a, c, g, t, n, other: letters as u64 - a - c - g - t - n, lower }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,popcnt")]
fn tally_impl(text: &[u8]) -> Option<(Counts, u64)> {
    let table = halves(&LETTERS_AND_FEED);
    let mut sums = Sums::default();
    let (mut clean, mut feeds) = (_mm512_set1_epi8(-1), 0);
    let feed = _mm512_set1_epi8(b'\n' as i8);
    let (blocks, rest) = text.as_chunks::<64>();
    for block in blocks {
        let letters = load(block, 0);
        clean = _mm512_and_si512(clean, allowed(letters, table));
        feeds += u64::from(_mm512_cmpeq_epi8_mask(letters, feed).count_ones());
        sums.add(letters);
    }
    // The lanes beyond the end are neither of the letters that are counted one by one.
    let letters = load(rest, b'-');
    clean = _mm512_and_si512(clean, allowed(letters, table));
    feeds += u64::from(_mm512_cmpeq_epi8_mask(letters, feed).count_ones());
    sums.add(letters);
    let is_clean = _mm512_movepi8_mask(clean) == u64::MAX;
    is_clean.then(|| (sums.counts(text.len() - feeds as usize), feeds))
}

#[target_feature(enable = "avx512f,avx512bw,popcnt")]
fn count_impl(sequence: &[u8]) -> Counts {
    let mut sums = Sums::default();
    let (blocks, rest) = sequence.as_chunks::<64>();
    for block in blocks {
        sums.add(load(block, 0));
    }
    sums.add(load(rest, 0));
    sums.counts(sequence.len())
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn is_nucleotides_impl(sequence: &[u8]) -> bool {
    let table = halves(&LETTERS);
    let mut clean = _mm512_set1_epi8(-1);
    let (blocks, rest) = sequence.as_chunks::<64>();
    for block in blocks {
        clean = _mm512_and_si512(clean, allowed(load(block, 0), table));
    }
    clean = _mm512_and_si512(clean, allowed(load(rest, b'-'), table));
    _mm512_movepi8_mask(clean) == u64::MAX
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,popcnt")]
fn squeeze_impl(text: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    let table = halves(&LETTERS_AND_FEED);
    let mut clean = _mm512_set1_epi8(-1);
    let feed = _mm512_set1_epi8(b'\n' as i8);
    // Each store writes 64 bytes, of which those that count are at most as many as were read.
    out.reserve(text.len() + 64);
    let start = out.len();
    let mut length = start;
    for block in text.chunks(64) {
        let letters = load(block, b'\n');
        clean = _mm512_and_si512(clean, allowed(letters, table));
        let kept = !_mm512_cmpeq_epi8_mask(letters, feed);
        let letters = _mm512_maskz_compress_epi8(kept, letters);
        // SAFETY: at most `text.len()` bytes lie between `start` and `length`, and 64 more were reserved.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().add(length).cast(), letters) };
        length += kept.count_ones() as usize;
    }
    if _mm512_movepi8_mask(clean) != u64::MAX {
        return None;
    }
    // SAFETY: all bytes up to `length` were written above.
    unsafe { out.set_len(length) };
    Some((text.len() - (length - start)) as u64)
}
