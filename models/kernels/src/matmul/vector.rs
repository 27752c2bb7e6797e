//! The f32 micro-kernel on whatever vectors there are, and bf16 weights widened for it.

use super::block::Tile;
use super::rows::Rows;
use crate::aligned::Aligned;
use crate::bf16;
use crate::micro::{Left, multiply_add};
use crate::prefetch::prefetch;
use pulp::Simd;
use std::ops::Range;

/// `MR` rows times `NV` vectors, all in registers: 6 x 2 of the 16 of AVX2, 12 x 2 of the 32 of AVX-512.
#[derive(Clone, Copy)]
pub(super) struct Vector<S, const MR: usize, const NV: usize>(pub(super) S);

/// The same with weights stored as bf16.
#[derive(Clone, Copy)]
pub(super) struct Widened<S, const MR: usize, const NV: usize>(pub(super) S);

/// Depths between two looks ahead.
const STEP: usize = 16;

impl<S: Simd, const MR: usize, const NV: usize> Tile for Vector<S, MR, NV> {
    const ROWS: usize = MR;
    const COLUMNS: usize = NV * S::F32_LANES;
    type Left = f32;
    type Stored = f32;
    type Right = f32;

    #[inline(always)]
    fn pack(self, x: Rows<'_>, depth: usize, out: &mut [f32]) {
        for (n, strip) in out.chunks_exact_mut((MR * depth).max(1)).enumerate() {
            for i in 0..MR {
                if n * MR + i < x.rows {
                    for (k, &value) in x.row(n * MR + i).iter().enumerate() {
                        strip[k * MR + i] = value;
                    }
                } else {
                    strip[i..].iter_mut().step_by(MR).for_each(|value| *value = 0.0);
                }
            }
        }
    }

    #[inline(always)]
    fn put(self, left: &mut [f32], depth: usize, row: usize, column: usize, numbers: &[f32]) {
        let strip = &mut left[row / MR * MR * depth..][..MR * depth];
        let places = strip[column * MR + row % MR..].iter_mut().step_by(MR);
        places.zip(numbers).for_each(|(place, &number)| *place = number);
    }

    #[inline(always)]
    fn panel<'a>(self, stored: &'a [f32], _scratch: &'a mut Aligned<f32>) -> &'a [f32] {
        stored
    }

    #[inline(always)]
    unsafe fn multiply(
        self,
        strip: &[f32],
        _depth: usize,
        k: Range<usize>,
        panel: &[f32],
        tile: &mut [f32],
        accumulate: bool,
        ahead: &[f32],
    ) {
        let simd = self.0;
        let lanes = S::F32_LANES;
        let mut acc = [[simd.splat_f32s(0.0); NV]; MR];
        let tile = tile.as_mut_ptr().cast::<f32>();
        // SAFETY: the caller vouches for the lengths.
        unsafe {
            if accumulate {
                for (i, row) in acc.iter_mut().enumerate() {
                    for (j, sum) in row.iter_mut().enumerate() {
                        *sum = tile.add((i * NV + j) * lanes).cast::<S::f32s>().read_unaligned();
                    }
                }
            }
            // A few cache lines at a time: many at once would hold up what is read now.
            let steps = k.len().div_ceil(STEP).max(1);
            let share = ahead.len().div_ceil(steps).next_multiple_of(16);
            for (step, start) in (0..k.len()).step_by(STEP).enumerate() {
                prefetch(&ahead[(step * share).min(ahead.len())..((step + 1) * share).min(ahead.len())]);
                let data = strip.as_ptr().add((k.start + start) * MR);
                let left = Left::Depths(data, MR);
                let right = panel.as_ptr().add(start * NV * lanes);
                let depth = STEP.min(k.len() - start);
                multiply_add::<S, MR, NV>(simd, depth, left, right, NV * lanes, &mut acc);
            }
            for (i, row) in acc.iter().enumerate() {
                for (j, &sum) in row.iter().enumerate() {
                    tile.add((i * NV + j) * lanes).cast::<S::f32s>().write_unaligned(sum);
                }
            }
        }
    }
}

impl<S: Simd, const MR: usize, const NV: usize> Tile for Widened<S, MR, NV> {
    const ROWS: usize = MR;
    const COLUMNS: usize = NV * S::F32_LANES;
    type Left = f32;
    type Stored = u16;
    type Right = f32;

    #[inline(always)]
    fn pack(self, x: Rows<'_>, depth: usize, out: &mut [f32]) {
        Vector::<S, MR, NV>(self.0).pack(x, depth, out);
    }

    #[inline(always)]
    fn put(self, left: &mut [f32], depth: usize, row: usize, column: usize, numbers: &[f32]) {
        Vector::<S, MR, NV>(self.0).put(left, depth, row, column, numbers);
    }

    #[inline(always)]
    fn panel<'a>(self, stored: &'a [u16], scratch: &'a mut Aligned<f32>) -> &'a [f32] {
        scratch.resize(stored.len());
        for (wide, &x) in scratch.iter_mut().zip(stored) {
            *wide = bf16::widen(x);
        }
        scratch
    }

    #[inline(always)]
    unsafe fn multiply(
        self,
        strip: &[f32],
        depth: usize,
        k: Range<usize>,
        panel: &[f32],
        tile: &mut [f32],
        accumulate: bool,
        ahead: &[u16],
    ) {
        prefetch(ahead);
        // SAFETY: the same contract.
        unsafe { Vector::<S, MR, NV>(self.0).multiply(strip, depth, k, panel, tile, accumulate, &[]) };
    }
}
