//! 64 bytes looked at together on processors of the x86 kind. Sets of bytes are masks of a bit each, the first byte lowest.
//!
//! Code that is generic in [`Block`] is inlined into a function that enables the instructions of one kind, see [`Kind`].

#![allow(clippy::inline_always, reason = "what is not inlined is compiled without the instructions")]

use std::arch::x86_64::{
    __m256i, __m512i, _mm_loadu_si128, _mm256_add_epi64, _mm256_and_si256, _mm256_andnot_si256,
    _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_max_epu8, _mm256_min_epu8, _mm256_movemask_epi8,
    _mm256_or_si256, _mm256_sad_epu8, _mm256_set_m128i, _mm256_set1_epi8, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_srli_epi16, _mm256_sub_epi8, _mm512_add_epi64, _mm512_and_si512,
    _mm512_andnot_si512, _mm512_cmpeq_epi8_mask, _mm512_cmpge_epu8_mask, _mm512_cmple_epu8_mask,
    _mm512_loadu_si512, _mm512_mask_add_epi8, _mm512_mask_mov_epi8, _mm512_max_epu8, _mm512_min_epu8,
    _mm512_movepi8_mask, _mm512_permutex2var_epi8, _mm512_reduce_add_epi64, _mm512_sad_epu8,
    _mm512_set1_epi8, _mm512_setzero_si512, _mm512_sub_epi8,
};

use super::avx512::{LETTERS, Table};

/// What a processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// [`Avx512`]: needs `avx512bw`, `avx512vbmi`, `avx512vbmi2`, `popcnt`, `bmi1`.
    Avx512,
    /// [`Avx2`]: needs `avx2`, `popcnt`, `bmi1`.
    Avx2,
    /// Neither.
    Portable,
}

impl Kind {
    /// The best of this processor.
    #[inline]
    pub(crate) fn here() -> Self {
        let common = is_x86_feature_detected!("popcnt") && is_x86_feature_detected!("bmi1");
        if common && super::avx512::is_there() {
            Self::Avx512
        } else if common && is_x86_feature_detected!("avx2") {
            Self::Avx2
        } else {
            Self::Portable
        }
    }
}

/// The first `count` bytes of a block, of which there are 64 at most, and one at least.
#[inline(always)]
pub(crate) fn first(count: usize) -> u64 {
    u64::MAX >> (64 - count.min(64))
}

/// 64 bytes.
pub(crate) trait Block: Copy {
    /// Sums of bytes, in several parts.
    type Sum: Copy;

    /// Reads 64 bytes.
    ///
    /// # Safety
    ///
    /// The bytes are there, and the processor is of the [`Kind`].
    unsafe fn load(bytes: *const u8) -> Self;

    /// The same byte 64 times.
    ///
    /// # Safety
    ///
    /// The processor is of the [`Kind`].
    unsafe fn splat(byte: u8) -> Self;

    /// No sum.
    ///
    /// # Safety
    ///
    /// The processor is of the [`Kind`].
    unsafe fn nothing() -> Self::Sum;

    /// Nucleotide codes of either case.
    fn nucleotides(self) -> u64;
    /// Bytes equal to `byte`.
    fn equal(self, byte: u8) -> u64;
    /// Bytes from `low` to `high`.
    fn within(self, low: u8, high: u8) -> u64;
    /// Each without the bit of the case.
    fn upper(self) -> Self;
    /// The first `count`, from 1 to 64, and `other` after them.
    fn start(self, count: usize, other: Self) -> Self;
    /// The lower of each two.
    fn lower_of(self, other: Self) -> Self;
    /// The higher of each two.
    fn higher_of(self, other: Self) -> Self;
    /// Adds 1 to a byte of `counts` where the byte here is `byte`.
    fn count_equal(self, byte: u8, counts: Self) -> Self;
    /// Adds 1 to a byte of `counts` where the byte here is `low` or more.
    fn count_from(self, low: u8, counts: Self) -> Self;
    /// Adds all bytes to `sum`.
    fn add_to(self, sum: Self::Sum) -> Self::Sum;
    /// The whole of a sum.
    fn total(sum: Self::Sum) -> u64;
    /// As they lie in memory.
    fn bytes(self) -> [u8; 64];
}

/// With AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512i);

/// Calls intrinsics.
macro_rules! here {
    ($call:expr) => {
        // SAFETY: who makes a block vouches for the processor; there is no safe way to have one.
        unsafe { $call }
    };
}

impl Block for Avx512 {
    type Sum = __m512i;

    #[inline(always)]
    unsafe fn load(bytes: *const u8) -> Self {
        // SAFETY: as the trait says.
        Self(unsafe { _mm512_loadu_si512(bytes.cast()) })
    }

    #[inline(always)]
    unsafe fn splat(byte: u8) -> Self {
        // SAFETY: as the trait says.
        Self(unsafe { _mm512_set1_epi8(byte as i8) })
    }

    #[inline(always)]
    unsafe fn nothing() -> __m512i {
        // SAFETY: as the trait says.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn nucleotides(self) -> u64 {
        let Table([low, high]) = &LETTERS;
        here!({
            let (low, high) =
                (_mm512_loadu_si512(low.as_ptr().cast()), _mm512_loadu_si512(high.as_ptr().cast()));
            // The index has 7 bits; bytes with an eighth are no letters.
            _mm512_movepi8_mask(_mm512_andnot_si512(self.0, _mm512_permutex2var_epi8(low, self.0, high)))
        })
    }

    #[inline(always)]
    fn equal(self, byte: u8) -> u64 {
        here!(_mm512_cmpeq_epi8_mask(self.0, _mm512_set1_epi8(byte as i8)))
    }

    #[inline(always)]
    fn within(self, low: u8, high: u8) -> u64 {
        here!({
            let above = _mm512_sub_epi8(self.0, _mm512_set1_epi8(low as i8));
            _mm512_cmple_epu8_mask(above, _mm512_set1_epi8(high.wrapping_sub(low) as i8))
        })
    }

    #[inline(always)]
    fn upper(self) -> Self {
        here!(Self(_mm512_and_si512(self.0, _mm512_set1_epi8(0xdf_u8 as i8))))
    }

    #[inline(always)]
    fn start(self, count: usize, other: Self) -> Self {
        here!(Self(_mm512_mask_mov_epi8(other.0, first(count), self.0)))
    }

    #[inline(always)]
    fn lower_of(self, other: Self) -> Self {
        here!(Self(_mm512_min_epu8(self.0, other.0)))
    }

    #[inline(always)]
    fn higher_of(self, other: Self) -> Self {
        here!(Self(_mm512_max_epu8(self.0, other.0)))
    }

    #[inline(always)]
    fn count_equal(self, byte: u8, counts: Self) -> Self {
        here!({
            let hits = _mm512_cmpeq_epi8_mask(self.0, _mm512_set1_epi8(byte as i8));
            Self(_mm512_mask_add_epi8(counts.0, hits, counts.0, _mm512_set1_epi8(1)))
        })
    }

    #[inline(always)]
    fn count_from(self, low: u8, counts: Self) -> Self {
        here!({
            let hits = _mm512_cmpge_epu8_mask(self.0, _mm512_set1_epi8(low as i8));
            Self(_mm512_mask_add_epi8(counts.0, hits, counts.0, _mm512_set1_epi8(1)))
        })
    }

    #[inline(always)]
    fn add_to(self, sum: __m512i) -> __m512i {
        here!(_mm512_add_epi64(sum, _mm512_sad_epu8(self.0, _mm512_setzero_si512())))
    }

    #[inline(always)]
    fn total(sum: __m512i) -> u64 {
        here!(_mm512_reduce_add_epi64(sum) as u64)
    }

    #[inline(always)]
    fn bytes(self) -> [u8; 64] {
        // SAFETY: both are 64 bytes of any content.
        unsafe { std::mem::transmute::<__m512i, [u8; 64]>(self.0) }
    }
}

/// With AVX2: two halves.
#[derive(Clone, Copy)]
pub(crate) struct Avx2([__m256i; 2]);

/// Bits of the upper four bits of a letter, and of the lower four: what has a bit in common is a nucleotide code.
const UPPER: [u8; 16] = [0, 0, 4, 0, 1, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0];
const LOWER: [u8; 16] = {
    let mut lower = [0; 16];
    let mut byte = 0;
    while byte < 128 {
        if super::NUCLEOTIDE[byte] {
            lower[byte & 15] |= UPPER[byte >> 4];
        }
        byte += 1;
    }
    lower
};

/// Read from `64 - count` on, the first `count` are set.
static START: [u8; 128] = {
    let mut start = [0; 128];
    let mut at = 0;
    while at < 64 {
        start[at] = 0xff;
        at += 1;
    }
    start
};

impl Avx2 {
    #[inline(always)]
    fn map(self, other: Self, f: impl Fn(__m256i, __m256i) -> __m256i) -> Self {
        Self([f(self.0[0], other.0[0]), f(self.0[1], other.0[1])])
    }

    /// The highest bit of each byte.
    #[inline(always)]
    fn mask(self) -> u64 {
        let [low, high] = self.0.map(|half| here!(_mm256_movemask_epi8(half)) as u32);
        u64::from(high) << 32 | u64::from(low)
    }

    /// A block of the same kind as this one.
    #[allow(clippy::unused_self, reason = "that there is a block vouches for the processor")]
    #[inline(always)]
    fn all(self, byte: u8) -> Self {
        here!(Self::splat(byte))
    }
}

impl Block for Avx2 {
    type Sum = __m256i;

    #[inline(always)]
    unsafe fn load(bytes: *const u8) -> Self {
        // SAFETY: as the trait says.
        unsafe { Self([_mm256_loadu_si256(bytes.cast()), _mm256_loadu_si256(bytes.add(32).cast())]) }
    }

    #[inline(always)]
    unsafe fn splat(byte: u8) -> Self {
        // SAFETY: as the trait says.
        Self([unsafe { _mm256_set1_epi8(byte as i8) }; 2])
    }

    #[inline(always)]
    unsafe fn nothing() -> __m256i {
        // SAFETY: as the trait says.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    fn nucleotides(self) -> u64 {
        let Self(halves) = self;
        let none = Self(halves.map(|letters| {
            here!({
                let table = |table: &[u8; 16]| {
                    let table = _mm_loadu_si128(table.as_ptr().cast());
                    _mm256_set_m128i(table, table)
                };
                // A byte of 128 and more finds nothing in the table of lower halves.
                let lower = _mm256_shuffle_epi8(table(&LOWER), letters);
                let upper = _mm256_and_si256(_mm256_srli_epi16(letters, 4), _mm256_set1_epi8(15));
                let upper = _mm256_shuffle_epi8(table(&UPPER), upper);
                _mm256_cmpeq_epi8(_mm256_and_si256(lower, upper), _mm256_setzero_si256())
            })
        }));
        !none.mask()
    }

    #[inline(always)]
    fn equal(self, byte: u8) -> u64 {
        self.map(self.all(byte), |a, b| here!(_mm256_cmpeq_epi8(a, b))).mask()
    }

    #[inline(always)]
    fn within(self, low: u8, high: u8) -> u64 {
        let near = self.higher_of(self.all(low)).lower_of(self.all(high));
        self.map(near, |a, b| here!(_mm256_cmpeq_epi8(a, b))).mask()
    }

    #[inline(always)]
    fn upper(self) -> Self {
        self.map(self.all(0xdf), |a, b| here!(_mm256_and_si256(a, b)))
    }

    #[inline(always)]
    fn start(self, count: usize, other: Self) -> Self {
        // SAFETY: 64 bytes are there from each of the first 65 on.
        let start = unsafe { Self::load(START.as_ptr().add(64 - count.min(64))) };
        let kept = self.map(start, |a, b| here!(_mm256_and_si256(a, b)));
        let others = start.map(other, |a, b| here!(_mm256_andnot_si256(a, b)));
        kept.map(others, |a, b| here!(_mm256_or_si256(a, b)))
    }

    #[inline(always)]
    fn lower_of(self, other: Self) -> Self {
        self.map(other, |a, b| here!(_mm256_min_epu8(a, b)))
    }

    #[inline(always)]
    fn higher_of(self, other: Self) -> Self {
        self.map(other, |a, b| here!(_mm256_max_epu8(a, b)))
    }

    #[inline(always)]
    fn count_equal(self, byte: u8, counts: Self) -> Self {
        let hits = self.map(self.all(byte), |a, b| here!(_mm256_cmpeq_epi8(a, b)));
        counts.map(hits, |a, b| here!(_mm256_sub_epi8(a, b)))
    }

    #[inline(always)]
    fn count_from(self, low: u8, counts: Self) -> Self {
        let hits = self.map(self.higher_of(self.all(low)), |a, b| here!(_mm256_cmpeq_epi8(a, b)));
        counts.map(hits, |a, b| here!(_mm256_sub_epi8(a, b)))
    }

    #[inline(always)]
    fn add_to(self, sum: __m256i) -> __m256i {
        let [low, high] = self.0.map(|half| here!(_mm256_sad_epu8(half, _mm256_setzero_si256())));
        here!(_mm256_add_epi64(sum, _mm256_add_epi64(low, high)))
    }

    #[inline(always)]
    fn total(sum: __m256i) -> u64 {
        // SAFETY: both are 32 bytes of any content.
        let parts = unsafe { std::mem::transmute::<__m256i, [u64; 4]>(sum) };
        parts.iter().sum()
    }

    #[inline(always)]
    fn bytes(self) -> [u8; 64] {
        // SAFETY: both are 64 bytes of any content.
        unsafe { std::mem::transmute::<[__m256i; 2], [u8; 64]>(self.0) }
    }
}
