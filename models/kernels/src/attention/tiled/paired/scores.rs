//! Scores of a tile of keys, for as many queries at a time as a tile of sums has rows.

use super::pack;
use crate::aligned::Aligned;
use crate::amx::{self, COLUMNS, ROWS, STEP};
use crate::attention::tiled::Call;
use crate::attention::tiled::cover::KeyTile;
use crate::attention::tiled::keys::Loaded;
use crate::attention::tiled::queries::{Queries, Reach};
use crate::attention::tiled::sight::KEY_TILE;

/// A tile of keys as the unit reads them, and the scores of a block of queries.
pub(super) struct Scores {
    /// Of a key, padded to [`STEP`].
    pub(super) depth: usize,
    pub(super) count: usize,
    /// Padded to [`STEP`], a multiple of [`COLUMNS`].
    pub(super) slots: usize,
    pub(super) positions: Vec<u32>,
    rounded: Aligned<u32>,
    /// `[slots / COLUMNS][depth / 2][COLUMNS]` pairs
    keys: Aligned<u32>,
    /// `[ROWS, slots]`, in units of ln 2.
    pub(super) numbers: Aligned<f32>,
}

impl Scores {
    pub(super) fn new(key_dim: usize) -> Self {
        let depth = key_dim.next_multiple_of(STEP);
        Self {
            depth,
            count: 0,
            slots: 0,
            positions: Vec::new(),
            rounded: Aligned::zeroed(KEY_TILE * depth / 2),
            keys: Aligned::zeroed(KEY_TILE * depth / 2),
            numbers: Aligned::zeroed(ROWS * KEY_TILE),
        }
    }

    pub(super) fn load(&mut self, loaded: &Loaded<'_>) {
        self.count = loaded.count;
        self.slots = loaded.count.next_multiple_of(COLUMNS);
        self.positions.clone_from(&loaded.positions);
        self.positions.resize(self.slots, 0);
        // SAFETY: `serves` looked for the instructions.
        unsafe {
            pack::keys(loaded.of(Reach::Near), self.slots, self.depth, &mut self.rounded, &mut self.keys);
        }
    }

    /// Scores of a block of queries, packed, whose first one is `first` among the stacked ones. What they do not see is minus
    /// infinity.
    ///
    /// # Safety
    /// The tiles are configured.
    pub(super) unsafe fn compute(
        &mut self,
        call: &Call<'_>,
        queries: &Queries<'_>,
        (first, packed): (usize, &[u16]),
        tile: KeyTile<'_>,
    ) {
        let slots = self.slots;
        // SAFETY: by the caller's word.
        unsafe { products(packed, &self.keys, self.depth, &mut self.numbers, slots) };
        let sight = &call.sights[queries.tile.sequence][queries.first_head / call.group];
        let (stacked, seen) = (first..queries.count.min(first + ROWS), tile.slots());
        for (stacked, row) in stacked.zip(self.numbers.chunks_exact_mut(slots)) {
            if !tile.fully {
                let (_, at) = queries.place(stacked);
                sight.hide(queries.tile.rows.start + at, tile.pieces, &mut row[..seen]);
            }
            row[seen..].fill(f32::NEG_INFINITY);
        }
    }
}

/// `out = left right^T`, `[ROWS, slots]`; `left` is `[depth / STEP][ROWS][STEP]`, `right` panels of pairs of depths.
///
/// # Safety
/// The tiles are configured.
pub(super) unsafe fn products(left: &[u16], right: &[u32], depth: usize, out: &mut [f32], slots: usize) {
    assert!(left.len() == ROWS * depth && out.len() >= ROWS * slots);
    for (n, panel) in right[..slots * depth / 2].chunks_exact(COLUMNS * depth / 2).enumerate() {
        let out = &mut out[n * COLUMNS..];
        // SAFETY: both operands are `depth` deep, the slice reaches to the last of 32 rows.
        unsafe {
            let (left, right) = (left.as_ptr(), panel.as_ptr().cast());
            amx::multiply(left, depth / STEP, right, out.as_mut_ptr(), slots, false, &[]);
        }
    }
}
