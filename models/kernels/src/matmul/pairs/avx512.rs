//! `vdpbf16ps`: each lane of a sum gains the products of a pair of depths.

use super::super::block::Tile;
use super::super::rows::Rows;
use crate::aligned::Aligned;
use crate::bf16;
use crate::prefetch::prefetch;
use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
    _mm512_storeu_ps,
};
use std::ops::Range;

/// Twelve rows times two vectors. Exists only where [`bf16::converts`]: the conversions and the products came with one extension.
#[derive(Clone, Copy)]
pub(in super::super) struct Avx512;

const ROWS: usize = 12;

impl Tile for Avx512 {
    const ROWS: usize = ROWS;
    const COLUMNS: usize = 32;
    type Left = u16;
    type Stored = u16;
    type Right = u16;

    #[inline(always)]
    fn pack(self, x: Rows<'_>, depth: usize, out: &mut [u16]) {
        super::pack(x, depth, out);
    }

    #[inline(always)]
    fn put(self, left: &mut [u16], depth: usize, row: usize, column: usize, numbers: &[f32]) {
        // SAFETY: this type exists only where the processor converts as well.
        unsafe { bf16::convert(numbers, &mut left[row * depth + column..][..numbers.len()]) };
    }

    #[inline(always)]
    fn panel<'a>(self, stored: &'a [u16], _scratch: &'a mut Aligned<f32>) -> &'a [u16] {
        stored
    }

    #[inline(always)]
    unsafe fn multiply(
        self,
        strip: &[u16],
        depth: usize,
        k: Range<usize>,
        panel: &[u16],
        tile: &mut [f32],
        accumulate: bool,
        ahead: &[u16],
    ) {
        prefetch(ahead);
        // SAFETY: lengths by the caller's word; the instruction is there, or this type would not be.
        unsafe {
            multiply(
                strip.as_ptr().add(k.start),
                depth,
                k.len() / 2,
                panel.as_ptr(),
                tile.as_mut_ptr(),
                accumulate,
            );
        }
    }
}

/// `left` is `ROWS` rows, `depth` apart, of `pairs` pairs; `right` is `[pairs][32 columns][2]`.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn multiply(
    left: *const u16,
    depth: usize,
    pairs: usize,
    right: *const u16,
    tile: *mut f32,
    accumulate: bool,
) {
    let mut acc: [[__m512; 2]; ROWS] = [[_mm512_setzero_ps(); 2]; ROWS];
    // SAFETY: the caller vouches for the lengths; `__m512bh` and `__m512i` are 512 bits of anything.
    unsafe {
        if accumulate {
            for (i, row) in acc.iter_mut().enumerate() {
                *row = [_mm512_loadu_ps(tile.add(i * 32)), _mm512_loadu_ps(tile.add(i * 32 + 16))];
            }
        }
        for pair in 0..pairs {
            let column = |half: usize| right.add(pair * 64 + half * 32).cast::<__m512bh>().read_unaligned();
            let columns = [column(0), column(1)];
            for (i, row) in acc.iter_mut().enumerate() {
                let factor = _mm512_set1_epi32(left.add(i * depth + pair * 2).cast::<i32>().read_unaligned());
                let factor = std::mem::transmute::<__m512i, __m512bh>(factor);
                for (sum, column) in row.iter_mut().zip(columns) {
                    *sum = _mm512_dpbf16_ps(*sum, factor, column);
                }
            }
        }
        for (i, row) in acc.iter().enumerate() {
            _mm512_storeu_ps(tile.add(i * 32), row[0]);
            _mm512_storeu_ps(tile.add(i * 32 + 16), row[1]);
        }
    }
}
