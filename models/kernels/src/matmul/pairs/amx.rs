//! Products by the tile unit of AMX.

use super::super::block::Tile;
use super::super::rows::Rows;
use crate::amx::{self, STEP};
use std::ops::Range;

/// Two by two tiles of 16 x 16 sums. Exists only where [`amx::available`].
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
        pack(x, depth, out);
    }

    #[inline(always)]
    fn put(self, left: &mut [u16], depth: usize, row: usize, column: usize, numbers: &[f32]) {
        let (strip, i) = (row / Self::ROWS, row % Self::ROWS);
        let mut first = column;
        for numbers in numbers.chunks(STEP - column % STEP) {
            let at = (strip * depth + first / STEP * STEP) * Self::ROWS + i * STEP + first % STEP;
            super::round(numbers, &mut left[at..]);
            first += numbers.len();
        }
    }

    #[inline(always)]
    fn panel<'a>(self, stored: &'a [u16], _scratch: &'a mut Vec<f32>) -> &'a [u16] {
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
#[inline(always)]
fn pack(x: Rows<'_>, depth: usize, out: &mut [u16]) {
    for (n, strip) in out.chunks_exact_mut((Amx::ROWS * depth).max(1)).enumerate() {
        for i in 0..Amx::ROWS {
            let row = n * Amx::ROWS + i;
            let row = if row < x.rows { x.row(row) } else { &[] };
            let whole = row.len() / STEP;
            for (step, tile) in strip.chunks_exact_mut(Amx::ROWS * STEP).enumerate() {
                let target = &mut tile[i * STEP..][..STEP];
                if step < whole {
                    super::round(&row[step * STEP..][..STEP], target);
                } else {
                    target.fill(0);
                    let rest = &row[(step * STEP).min(row.len())..];
                    super::round(rest, target);
                }
            }
        }
    }
}
