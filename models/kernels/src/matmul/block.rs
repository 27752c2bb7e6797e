//! A block of rows times packed weights, tile by tile.

use super::packed::{PackedMatrix, Store};
use super::rows::Rows;
use crate::aligned::Aligned;
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
    type Stored: Stored;
    /// Numbers that the micro-kernel reads from a panel.
    type Right: Copy;

    /// Packs rows into strips of `ROWS`, `depth` (padded) each; rows that are not there are zero.
    fn pack(self, x: Rows<'_>, depth: usize, out: &mut [Self::Left]);

    /// Puts some numbers of one row, from a column on, to their places among packed rows.
    fn put(self, left: &mut [Self::Left], depth: usize, row: usize, column: usize, numbers: &[f32]);

    /// Part of a panel in the form that the micro-kernel reads.
    fn panel<'a>(self, stored: &'a [Self::Stored], scratch: &'a mut Aligned<f32>) -> &'a [Self::Right];

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

/// Numbers of packed weights.
pub(super) trait Stored: Copy {
    /// The panels that consist of such numbers.
    fn of(store: &Store) -> &[Self];
}

impl Stored for f32 {
    fn of(store: &Store) -> &[Self] {
        let Store::F32(data) = store else { unreachable!("weights are stored as their kernel reads them") };
        data.as_slice()
    }
}

impl Stored for u16 {
    fn of(store: &Store) -> &[Self] {
        let Store::Bf16(data) = store else { unreachable!("weights are stored as their kernel reads them") };
        data.as_slice()
    }
}

/// Buffers that one thread uses again for every block.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) left: Buffers,
    /// Packed rows between two products.
    pub(super) between: Buffers,
    pub(super) tiles: Tiles,
}

/// Working space of a product.
#[derive(Default)]
pub(super) struct Tiles {
    right: Aligned<f32>,
    sums: Aligned<f32>,
}

/// Packed rows, as numbers of either size.
#[derive(Default)]
pub(super) struct Buffers {
    f32: Aligned<f32>,
    bf16: Aligned<u16>,
}

/// Numbers that packed rows consist of.
pub(super) trait Element: Copy + Default {
    /// The buffer of such numbers.
    fn buffer(buffers: &mut Buffers) -> &mut Aligned<Self>;
}

impl Element for f32 {
    fn buffer(buffers: &mut Buffers) -> &mut Aligned<Self> {
        &mut buffers.f32
    }
}

impl Element for u16 {
    fn buffer(buffers: &mut Buffers) -> &mut Aligned<Self> {
        &mut buffers.bf16
    }
}

/// Numbers of so many packed rows.
pub(super) fn packed_len<T: Tile>(rows: usize, depth: usize) -> usize {
    rows.next_multiple_of(T::ROWS) * depth
}

/// Rows as the micro-kernel reads them, for weights of a padded depth.
#[inline(always)]
pub(super) fn pack<'a, T: Tile>(
    tile: T,
    x: Rows<'_>,
    depth: usize,
    buffers: &'a mut Buffers,
) -> &'a [T::Left] {
    let left = T::Left::buffer(buffers);
    left.resize(packed_len::<T>(x.rows, depth));
    tile.pack(x, depth, left);
    left
}

/// A finished tile: where it stands and its numbers, rows `stride` apart.
pub(super) struct Finished<'a> {
    pub(super) row: usize,
    pub(super) rows: usize,
    pub(super) column: usize,
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
}

/// What takes finished tiles.
pub(super) trait Sink {
    /// Told of a tile that is about to be computed, so that where it goes can be fetched meanwhile.
    #[inline(always)]
    fn expect(&mut self, _rows: Range<usize>, _column: usize, _columns: usize) {}

    /// Takes it.
    fn finish(&mut self, tile: Finished<'_>);
}

impl<F: FnMut(Finished<'_>)> Sink for F {
    #[inline(always)]
    fn finish(&mut self, tile: Finished<'_>) {
        self(tile);
    }
}

/// Depths that are summed before the next panel is taken: a panel of so many stays in the first cache level.
const DEPTH: usize = 512;
/// A depth up to this is summed in one go.
const DEPTH_AT_ONCE: usize = 1024;
/// Panels whose unfinished tiles are kept at once when the depth is cut.
const PANELS: usize = 8;

/// Multiplies packed rows by some panels and hands every finished tile to `finish`.
#[inline(always)]
pub(super) fn multiply<T: Tile>(
    tile: T,
    left: &[T::Left],
    rows: usize,
    weights: &PackedMatrix,
    panels: Range<usize>,
    scratch: &mut Tiles,
    mut sink: impl Sink,
) {
    let stored = T::Stored::of(weights.store());
    let depth = weights.padded_depth();
    let strips = rows.div_ceil(T::ROWS);
    let size = T::ROWS * T::COLUMNS;
    assert_eq!(left.len(), packed_len::<T>(rows, depth), "rows packed for other weights");
    let (step, group) = if depth <= DEPTH_AT_ONCE { (depth.max(1), 1) } else { (DEPTH, PANELS) };
    scratch.sums.resize(group * strips * size);
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
                    let values = &mut scratch.sums[(n * strips + strip) * size..][..size];
                    if k.end == depth {
                        let row = strip * T::ROWS;
                        sink.expect(row..rows.min(row + T::ROWS), (first + n) * T::COLUMNS, T::COLUMNS);
                    }
                    // SAFETY: the slices were cut to the lengths that `multiply` asks for just now.
                    unsafe { tile.multiply(left, depth, k.clone(), panel, values, k.start > 0, ahead) };
                    if k.end == depth {
                        let row = strip * T::ROWS;
                        let rows = T::ROWS.min(rows - row);
                        let column = (first + n) * T::COLUMNS;
                        sink.finish(Finished { row, rows, column, values, stride: T::COLUMNS });
                    }
                }
            }
        }
        first += group;
    }
}
