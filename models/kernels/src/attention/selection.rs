//! Chosen slots, by key/value head and block of queries.

use std::ops::Range;

/// Which slots each block of queries sees in each key/value head. Other slots are never visited, so the work is that
/// of the listed ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Query rows that share a list: row `i` of the call reads list `i / query_block`.
    pub query_block: usize,
    /// `[kv heads][blocks of queries]`, each a list of disjoint slot ranges in ascending order.
    pub slots: Vec<Vec<Vec<Range<usize>>>>,
}

impl Selection {
    /// The slots that query row `row` of the sequence sees in `kv_head`.
    pub fn ranges(&self, kv_head: usize, row: usize) -> &[Range<usize>] {
        &self.slots[kv_head][row / self.query_block]
    }
}
