//! A block of rows times packed weights, tile by tile.

use super::packed::PackedMatrix;
use super::rows::Rows;
use std::ops::Range;

/// A micro-kernel's view of its operands. Numbers of a tile are f32, `[ROWS, COLUMNS]`.
pub(super) trait Tile: Copy {
    /// Rows of a tile.
    const ROWS: usize;
    /// Columns of a tile, those of a panel.
    const COLUMNS: usize;
    /// Numbers of the packed rows.
    type Left: Element;
    /// Numbers of the stored panels.
    type Stored: Copy;
    /// Numbers that the micro-kernel reads from a panel.
    type Right: Copy;

    /// Packs rows into strips of `ROWS`, `depth` (padded) each; rows that are not there are zero.
    fn pack(self, x: Rows<'_>, depth: usize, out: &mut [Self::Left]);

    /// Part of a panel in the form that the micro-kernel reads.
    fn panel<'a>(self, stored: &'a [Self::Stored], scratch: &'a mut Vec<f32>) -> &'a [Self::Right];

    /// `tile (+)= strip * panel` over the depths `k` of a strip that is `depth` deep; `panel` starts at `k.start`. `ahead` are
    /// weights that are needed soon.
    ///
    /// # Safety
    /// `strip` holds `ROWS * depth` numbers, `panel` `COLUMNS * k.len()`, `tile` `ROWS * COLUMNS`.
    #[allow(clippy::too_many_arguments, reason = "the operands of the innermost loop")]
    unsafe fn multiply(
        self,
        strip: &[Self::Left],
        depth: usize,
        k: Range<usize>,
        panel: &[Self::Right],
        tile: &mut [f32],
        accumulate: bool,
        ahead: &[Self::Stored],
    );
}

/// Buffers that one thread uses again for every block.
#[derive(Default)]
pub(super) struct Scratch {
    left: Buffers,
    right: Vec<f32>,
    tiles: Vec<f32>,
}

/// Packed rows, as numbers of either size.
#[derive(Default)]
pub(super) struct Buffers {
    f32: Vec<f32>,
    bf16: Vec<u16>,
}

/// Numbers that packed rows consist of.
pub(super) trait Element: Copy + Default {
    /// The buffer of such numbers.
    fn buffer(buffers: &mut Buffers) -> &mut Vec<Self>;
}

impl Element for f32 {
    fn buffer(buffers: &mut Buffers) -> &mut Vec<Self> {
        &mut buffers.f32
    }
}

impl Element for u16 {
    fn buffer(buffers: &mut Buffers) -> &mut Vec<Self> {
        &mut buffers.bf16
    }
}

/// A finished tile: where it stands and its numbers, rows `stride` apart.
pub(super) struct Finished<'a> {
    pub(super) row: usize,
    pub(super) rows: usize,
    pub(super) column: usize,
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
}

/// Depths that are summed before the next panel is taken: a panel of so many stays in the first cache level.
const DEPTH: usize = 512;
/// A depth up to this is summed in one go.
const DEPTH_AT_ONCE: usize = 1024;
/// Panels whose unfinished tiles are kept at once when the depth is cut.
const PANELS: usize = 8;

/// Multiplies rows by some panels and hands every finished tile to `finish`.
#[inline(always)]
pub(super) fn multiply<T: Tile>(
    tile: T,
    x: Rows<'_>,
    weights: &PackedMatrix,
    stored: &[T::Stored],
    panels: Range<usize>,
    scratch: &mut Scratch,
    mut finish: impl FnMut(Finished<'_>),
) {
    let depth = weights.padded_depth();
    let strips = x.rows.div_ceil(T::ROWS);
    let size = T::ROWS * T::COLUMNS;
    let left = T::Left::buffer(&mut scratch.left);
    left.resize(strips * T::ROWS * depth, T::Left::default());
    tile.pack(x, depth, left);
    let (step, group) = if depth <= DEPTH_AT_ONCE { (depth.max(1), 1) } else { (DEPTH, PANELS) };
    scratch.tiles.resize(group * strips * size, 0.0);
    let mut first = panels.start;
    while first < panels.end {
        let group = group.min(panels.end - first);
        for start in (0..depth.max(1)).step_by(step) {
            let k = start..(start + step).min(depth);
            for n in 0..group {
                let part =
                    |panel: usize| &stored[(panel * depth + k.start) * T::COLUMNS..][..k.len() * T::COLUMNS];
                let panel = tile.panel(part(first + n), &mut scratch.right);
                // Weights come from far away; each strip fetches its share of the next panel.
                let next = if first + n + 1 < panels.end { part(first + n + 1) } else { &[] };
                let share = next.len().div_ceil(strips);
                for strip in 0..strips {
                    let ahead = &next[(strip * share).min(next.len())..((strip + 1) * share).min(next.len())];
                    let left = &left[strip * T::ROWS * depth..][..T::ROWS * depth];
                    let values = &mut scratch.tiles[(n * strips + strip) * size..][..size];
                    // SAFETY: the slices were cut to the lengths that `multiply` asks for just now.
                    unsafe { tile.multiply(left, depth, k.clone(), panel, values, k.start > 0, ahead) };
                    if k.end == depth {
                        let row = strip * T::ROWS;
                        let rows = T::ROWS.min(x.rows - row);
                        let column = (first + n) * T::COLUMNS;
                        finish(Finished { row, rows, column, values, stride: T::COLUMNS });
                    }
                }
            }
        }
        first += group;
    }
}
