//! Products by the tile unit of AMX.

use super::super::block::Tile;
use super::super::rows::Rows;
use crate::aligned::Aligned;
use crate::amx::{self, STEP};
use crate::bf16;
use std::ops::Range;

/// Two by two tiles of 16 x 16 sums. Exists only where [`amx::available`] and [`bf16::converts`].
#[derive(Clone, Copy)]
pub(in super::super) struct Amx;

impl Tile for Amx {
    const ROWS: usize = amx::ROWS;
    const COLUMNS: usize = amx::COLUMNS;
    type Left = u16;
    type Stored = u16;
    type Right = u16;

    #[inline(always)]
    fn pack(self, x: Rows<'_>, depth: usize, out: &mut [u16]) {
        amx::configure();
        // SAFETY: this type exists only where the processor converts as well.
        unsafe { pack(x, depth, out) };
    }

    #[inline(always)]
    fn put(self, left: &mut [u16], depth: usize, row: usize, column: usize, numbers: &[f32]) {
        let (strip, i) = (row / Self::ROWS, row % Self::ROWS);
        let mut first = column;
        for numbers in numbers.chunks(STEP - column % STEP) {
            let at = (strip * depth + first / STEP * STEP) * Self::ROWS + i * STEP + first % STEP;
            // SAFETY: this type exists only where the processor converts as well.
            unsafe { bf16::convert(numbers, &mut left[at..][..numbers.len()]) };
            first += numbers.len();
        }
    }

    #[inline(always)]
    fn panel<'a>(self, stored: &'a [u16], _scratch: &'a mut Aligned<f32>) -> &'a [u16] {
        stored
    }

    #[inline(always)]
    unsafe fn multiply(
        self,
        strip: &[u16],
        _depth: usize,
        k: Range<usize>,
        panel: &[u16],
        tile: &mut [f32],
        accumulate: bool,
        ahead: &[u16],
    ) {
        // SAFETY: lengths by the caller's word; depths are multiples of 32 by `Kernel::depth_multiple`; the tiles were
        // configured by `pack` on this thread, which packs every block before it multiplies it.
        unsafe {
            amx::multiply(
                strip.as_ptr().add(k.start * Self::ROWS),
                k.len() / STEP,
                panel.as_ptr(),
                tile.as_mut_ptr(),
                Self::COLUMNS,
                accumulate,
                ahead,
            );
        }
    }
}

/// Rows rounded to bf16 in the order in which tiles are loaded: strips of 32 rows, in these steps of 32 depths, in these the
/// rows one after the other. Rows of a tile that lie a row of `x` apart would fall into few sets of the cache.
#[target_feature(enable = "avx512f,avx512bf16")]
fn pack(x: Rows<'_>, depth: usize, out: &mut [u16]) {
    for (n, strip) in out.chunks_exact_mut((Amx::ROWS * depth).max(1)).enumerate() {
        let (tiles, _) = strip.as_chunks_mut::<{ Amx::ROWS * STEP }>();
        for i in 0..Amx::ROWS {
            let row = n * Amx::ROWS + i;
            let row = if row < x.rows { x.row(row) } else { &[] };
            let (steps, rest) = row.as_chunks::<STEP>();
            for (tile, numbers) in tiles.iter_mut().zip(steps) {
                bf16::convert(numbers, &mut tile[i * STEP..][..STEP]);
            }
            for tile in &mut tiles[steps.len()..] {
                tile[i * STEP..][..STEP].fill(0);
            }
            if !rest.is_empty() {
                bf16::convert(rest, &mut tiles[steps.len()][i * STEP..][..rest.len()]);
            }
        }
    }
}
