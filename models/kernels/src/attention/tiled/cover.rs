//! The tiles of keys that one tile of queries visits.

use super::sight::Seen;
use std::ops::Range;

/// Tiles of slots, in order.
#[derive(Default)]
pub(super) struct Cover {
    pieces: Vec<Range<usize>>,
    /// First and last piece of each tile, and whether every query sees every slot.
    tiles: Vec<(Range<usize>, bool)>,
}

/// One tile of a cover.
#[derive(Clone, Copy)]
pub(super) struct KeyTile<'a> {
    pub(super) pieces: &'a [Range<usize>],
    /// Every query of the tile of queries sees every slot.
    pub(super) fully: bool,
}

impl KeyTile<'_> {
    pub(super) fn slots(self) -> usize {
        self.pieces.iter().map(Range::len).sum()
    }
}

impl Cover {
    /// Adds a tile, unless nothing sees it.
    pub(super) fn push(&mut self, pieces: impl IntoIterator<Item = Range<usize>>, seen: Seen) {
        let start = self.pieces.len();
        self.pieces.extend(pieces);
        if seen == Seen::No {
            self.pieces.truncate(start);
        } else if self.pieces.len() > start {
            self.tiles.push((start..self.pieces.len(), seen == Seen::Fully));
        }
    }

    /// Number of tiles.
    pub(super) fn len(&self) -> usize {
        self.tiles.len()
    }

    /// Some of the tiles.
    pub(super) fn tiles(&self, which: Range<usize>) -> impl Iterator<Item = KeyTile<'_>> {
        self.tiles[which]
            .iter()
            .map(|(pieces, fully)| KeyTile { pieces: &self.pieces[pieces.clone()], fully: *fully })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = KeyTile<'_>> {
        self.tiles(0..self.len())
    }
}

/// Slots in both of two ascending lists of ranges.
pub(super) fn intersection(a: &[Range<usize>], b: &[Range<usize>]) -> Vec<Range<usize>> {
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < a.len() && j < b.len() {
        let both = a[i].start.max(b[j].start)..a[i].end.min(b[j].end);
        if !both.is_empty() {
            out.push(both);
        }
        if a[i].end <= b[j].end {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}
