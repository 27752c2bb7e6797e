//! HiP attention (Lee et al. 2024): the blocks of keys with the largest products, found by halving groups of blocks.
//!
//! A group is judged by its first block, so what is found depends on neighbouring keys being alike. A motif that is one token
//! is easily missed.

use super::top;
use std::ops::Range;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hip {
    /// Tokens of a block of keys.
    pub block: usize,
    /// Blocks that are read.
    pub keep: usize,
}

impl Hip {
    /// Those of so many blocks that a block of queries reads: at most `keep`, of which each group of blocks that was not
    /// dropped has one. `score` is the largest product of one of the queries with a key of a block; `keep log(blocks / keep)`
    /// blocks are asked for.
    pub fn blocks(&self, blocks: usize, score: impl Fn(usize) -> f32) -> Vec<usize> {
        let keep = self.keep.min(blocks);
        let mut groups: Vec<Range<usize>> =
            (0..keep).map(|i| blocks * i / keep..blocks * (i + 1) / keep).collect();
        while groups.iter().any(|group| group.len() > 1) {
            let halves: Vec<Range<usize>> = groups
                .into_iter()
                .flat_map(|group| {
                    let middle = group.start + group.len().div_ceil(2);
                    [group.start..middle, middle..group.end]
                })
                .filter(|half| !half.is_empty())
                .collect();
            let scores: Vec<f32> = halves.iter().map(|half| score(half.start)).collect();
            groups = top(&scores, keep).into_iter().map(|i| halves[i].clone()).collect();
        }
        groups.into_iter().map(|group| group.start).collect()
    }
}
