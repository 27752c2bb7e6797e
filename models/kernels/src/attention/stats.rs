//! What an eviction method may ask the kernel to collect beside the output.

/// Which sums to collect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collect {
    /// Attention that each slot receives, summed over queries and averaged over the query heads of a group.
    ColumnMass {
        /// Only the last so many query rows vote; all of them if `None`.
        last: Option<usize>,
    },
    /// Squares of the (rotated) queries, averaged over the last rows and the query heads of a group.
    QuerySquares {
        /// The last so many query rows.
        last: usize,
    },
}

/// Sums of one call for one sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// `[kv heads][slots]`: mass by slot, if asked for.
    pub mass: Vec<Vec<f32>>,
    /// `[kv heads][slots]`: how many of the voting queries could see the slot.
    pub seen: Vec<Vec<u32>>,
    /// `[kv heads][key_dim]`: mean square of the queries by channel, if asked for.
    pub query_squares: Vec<Vec<f32>>,
}
