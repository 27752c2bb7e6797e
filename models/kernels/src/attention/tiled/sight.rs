//! Which slots a query sees, decided for whole tiles where possible.

use super::cover::{Cover, KeyTile, intersection};
use crate::attention::{KvView, MaskRule, Selection};
use std::ops::Range;

/// Slots in a tile of keys.
pub(super) const KEY_TILE: usize = 128;
/// Slots at the end of a tile that are left out together: the columns of a micro-kernel.
const TRIM: usize = 32;
/// Tiles that are ruled out by one look.
const BLOCK: usize = 64;

/// Smallest and largest of some positions or segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) low: u32,
    pub(super) high: u32,
}

impl Bounds {
    /// Of nothing: neutral to [`Bounds::join`].
    pub(super) const EMPTY: Self = Self { low: u32::MAX, high: 0 };

    pub(super) fn of(values: &[u32]) -> Self {
        values.iter().fold(Self::EMPTY, |bounds, &value| bounds.join(Self { low: value, high: value }))
    }

    pub(super) fn join(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Largest distance of two of them; 0 of none.
    pub(super) fn span(self) -> u32 {
        self.high.saturating_sub(self.low)
    }

    /// Smallest distance of one of these and one of those.
    pub(super) fn distance(self, other: Self) -> u32 {
        self.low.saturating_sub(other.high).max(other.low.saturating_sub(self.high))
    }
}

/// How much of a tile of keys a tile of queries sees.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    No,
    Partly,
    Fully,
}

/// Compares a number of the query with a number of the key.
#[derive(Clone, Copy, Debug)]
enum Test {
    /// Positions: a window around the query, and the first positions.
    Near { left: u32, right: u32, sink: u32 },
    /// Segments: the same.
    Same,
}

impl Test {
    fn tile(self, query: Bounds, key: Bounds) -> Seen {
        let (no, fully) = match self {
            Self::Near { left, right, sink } => {
                let before = query.low.saturating_sub(key.high) > left;
                let after = key.low.saturating_sub(query.high) > right;
                let inside =
                    query.high.saturating_sub(key.low) <= left && key.high.saturating_sub(query.low) <= right;
                ((before || after) && key.low >= sink, inside || key.high < sink)
            }
            Self::Same => {
                let disjoint = query.high < key.low || key.high < query.low;
                (disjoint, query.low == key.high && query.high == key.low)
            }
        };
        if no {
            Seen::No
        } else if fully {
            Seen::Fully
        } else {
            Seen::Partly
        }
    }

    /// Sets the scores of the keys that fail to minus infinity.
    #[inline(always)]
    #[allow(clippy::needless_bitwise_bool, reason = "a loop without branches is vectorised")]
    fn hide(self, query: u32, keys: &[u32], scores: &mut [f32]) {
        let (low, high, sink) = match self {
            Self::Near { left, right, sink } => {
                (query.saturating_sub(left), query.saturating_add(right), sink)
            }
            Self::Same => (query, query, 0),
        };
        for (score, &key) in scores.iter_mut().zip(keys) {
            let seen = ((low <= key) & (key <= high)) | (key < sink);
            *score = if seen { *score } else { f32::NEG_INFINITY };
        }
    }
}

/// A test with its numbers, by query row and by slot.
struct Rule<'a> {
    test: Test,
    queries: &'a [u32],
    keys: &'a [u32],
    /// Bounds of each tile of keys, and of each block of tiles.
    tiles: Vec<Bounds>,
    blocks: Vec<Bounds>,
}

impl<'a> Rule<'a> {
    fn new(test: Test, queries: &'a [u32], keys: &'a [u32]) -> Self {
        let tiles: Vec<Bounds> = keys.chunks(KEY_TILE).map(Bounds::of).collect();
        let blocks =
            tiles.chunks(BLOCK).map(|b| b.iter().copied().fold(Bounds::EMPTY, Bounds::join)).collect();
        Self { test, queries, keys, tiles, blocks }
    }
}

/// What the rows of one sequence see of one key/value head.
pub(super) struct Sight<'a> {
    slots: usize,
    rules: Vec<Rule<'a>>,
    /// Lists of slots by block of queries, and rows in a block.
    lists: Vec<(&'a [Vec<Range<usize>>], usize)>,
}

impl<'a> Sight<'a> {
    pub(super) fn new(
        query_positions: &'a [u32],
        kv: &'a dyn KvView,
        kv_head: usize,
        causal: bool,
        masks: &[&'a MaskRule],
        selections: &[&'a Selection],
    ) -> Self {
        let key_positions = kv.positions(kv_head);
        let near =
            |left, right, sink| Rule::new(Test::Near { left, right, sink }, query_positions, key_positions);
        let mut rules: Vec<_> = causal.then(|| near(u32::MAX, 0, 0)).into_iter().collect();
        for mask in masks {
            match mask {
                MaskRule::Window { left, right, sink } => rules.push(near(*left, *right, *sink)),
                MaskRule::Segments { queries, slots } => rules.push(Rule::new(Test::Same, queries, slots)),
                MaskRule::Full | MaskRule::Slots(_) | MaskRule::And(_) => {}
            }
        }
        let lists = selections.iter().map(|s| (&s.slots[kv_head][..], s.query_block)).collect();
        Self { slots: key_positions.len(), rules, lists }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// The tiles of slots that some rows see; the rows lie in one block of every list.
    pub(super) fn cover(&self, rows: Range<usize>) -> Cover {
        let bounds: Vec<Bounds> = self.rules.iter().map(|r| Bounds::of(&r.queries[rows.clone()])).collect();
        let mut cover = Cover::default();
        match self.listed(rows.start) {
            None => self.cover_all(&bounds, &mut cover),
            Some(list) => self.cover_listed(&bounds, &list, &mut cover),
        }
        cover
    }

    fn cover_all(&self, queries: &[Bounds], cover: &mut Cover) {
        let tiles = self.slots.div_ceil(KEY_TILE);
        for block in 0..tiles.div_ceil(BLOCK) {
            if self.seen(queries, |rule| rule.blocks[block]) == Seen::No {
                continue;
            }
            for tile in block * BLOCK..tiles.min((block + 1) * BLOCK) {
                let seen = self.seen(queries, |rule| rule.tiles[tile]);
                let start = tile * KEY_TILE;
                let mut slots = start..self.slots.min(start + KEY_TILE);
                if seen == Seen::Partly {
                    slots.end = self.last_seen(queries, slots.clone());
                }
                cover.push((!slots.is_empty()).then_some(slots), seen);
            }
        }
    }

    /// Where the last slots of a tile begin that no query sees.
    fn last_seen(&self, queries: &[Bounds], mut slots: Range<usize>) -> usize {
        while !slots.is_empty() {
            let last = slots.start + (slots.len() - 1) / TRIM * TRIM;
            if self.seen(queries, |rule| Bounds::of(&rule.keys[last..slots.end])) != Seen::No {
                break;
            }
            slots.end = last;
        }
        slots.end
    }

    fn cover_listed(&self, queries: &[Bounds], list: &[Range<usize>], cover: &mut Cover) {
        let mut pieces = Vec::new();
        let mut room = KEY_TILE;
        for range in list {
            let mut start = range.start;
            while start < range.end {
                let end = range.end.min(start + room);
                pieces.push(start..end);
                (room, start) = (room - (end - start), end);
                if room == 0 {
                    self.push_pieces(queries, &mut pieces, cover);
                    room = KEY_TILE;
                }
            }
        }
        self.push_pieces(queries, &mut pieces, cover);
    }

    fn push_pieces(&self, queries: &[Bounds], pieces: &mut Vec<Range<usize>>, cover: &mut Cover) {
        let seen = self.seen(queries, |rule| {
            let bounds = pieces.iter().map(|piece| Bounds::of(&rule.keys[piece.clone()]));
            bounds.fold(Bounds::EMPTY, Bounds::join)
        });
        cover.push(pieces.drain(..), seen);
    }

    /// What all rules say to one tile.
    fn seen(&self, queries: &[Bounds], keys: impl Fn(&Rule<'_>) -> Bounds) -> Seen {
        let each = self.rules.iter().zip(queries).map(|(rule, &query)| rule.test.tile(query, keys(rule)));
        each.min().unwrap_or(Seen::Fully)
    }

    /// The slots that all lists give a row; none if there are no lists.
    fn listed(&self, row: usize) -> Option<Vec<Range<usize>>> {
        let mut lists = self.lists.iter().map(|(blocks, size)| &blocks[row / size]);
        let first = lists.next()?.clone();
        Some(lists.fold(first, |a, b| intersection(&a, b)))
    }

    /// Sets the scores of the slots that a row does not see to minus infinity, one score a slot of `pieces`.
    #[inline(always)]
    pub(super) fn hide(&self, row: usize, pieces: &[Range<usize>], scores: &mut [f32]) {
        for rule in &self.rules {
            let mut rest = &mut scores[..];
            for piece in pieces {
                let (these, others) = rest.split_at_mut(piece.len());
                rule.test.hide(rule.queries[row], &rule.keys[piece.clone()], these);
                rest = others;
            }
        }
    }

    /// How many slots of a tile a row sees.
    pub(super) fn seen_by(&self, row: usize, tile: KeyTile<'_>) -> u32 {
        if tile.fully { tile.slots() as u32 } else { self.marks(row, tile).map(u32::from).sum() }
    }

    /// How many of some rows see each slot of a tile.
    pub(super) fn votes(&self, rows: Range<usize>, tile: KeyTile<'_>) -> Vec<u32> {
        if tile.fully {
            return vec![rows.len() as u32; tile.slots()];
        }
        let mut votes = vec![0; tile.slots()];
        for row in rows {
            votes.iter_mut().zip(self.marks(row, tile)).for_each(|(votes, seen)| *votes += u32::from(seen));
        }
        votes
    }

    /// Whether a row sees each slot of a tile.
    fn marks(&self, row: usize, tile: KeyTile<'_>) -> impl Iterator<Item = bool> {
        let mut marks = [0.0; KEY_TILE];
        self.hide(row, tile.pieces, &mut marks[..tile.slots()]);
        marks.into_iter().take(tile.slots()).map(|mark| mark == 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tile_says_holds_for_each_of_its_pairs() {
        let ranges = || (0..6_u32).flat_map(|low| (low..6).map(move |high| Bounds { low, high }));
        let windows = (0..4).flat_map(|l| (0..3).flat_map(move |r| (0..5).map(move |s| (l, r, s))));
        let windows = windows.map(|(left, right, sink)| Test::Near { left, right, sink });
        for test in windows.chain([Test::Same, Test::Near { left: u32::MAX, right: 0, sink: 0 }]) {
            for (query, key) in ranges().flat_map(|query| ranges().map(move |key| (query, key))) {
                let pairs = (query.low..=query.high).flat_map(|i| (key.low..=key.high).map(move |j| (i, j)));
                let seen: Vec<bool> = pairs
                    .map(|(i, j)| {
                        let mut score = [0.0];
                        test.hide(i, &[j], &mut score);
                        score[0] == 0.0
                    })
                    .collect();
                match test.tile(query, key) {
                    Seen::No => assert!(!seen.contains(&true), "{test:?} of {query:?} and {key:?}"),
                    Seen::Fully => assert!(!seen.contains(&false), "{test:?} of {query:?} and {key:?}"),
                    Seen::Partly => assert!(seen.len() > 1, "{test:?} of {query:?} and {key:?}"),
                }
            }
        }
    }
}
