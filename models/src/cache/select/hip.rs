//! HiP attention (Lee et al. 2024): the blocks of keys with the largest products, found by halving groups of blocks.
//!
//! A group is judged by its first block, so what is found depends on neighbouring keys being alike. A motif that is one token
//! is easily missed.

use super::{dot, join, top};
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
    /// The blocks of `[tokens, dim]` keys that a block of queries reads: at most `keep`, of which each group of blocks that
    /// was not dropped has one. Takes `keep log(blocks / keep)` products of blocks.
    pub fn blocks(&self, queries: &[f32], keys: &[f32], dim: usize) -> Vec<usize> {
        let blocks = keys.len().div_ceil(self.block * dim);
        let keep = self.keep.min(blocks);
        let score = |block: usize| {
            let keys = &keys[block * self.block * dim..keys.len().min((block + 1) * self.block * dim)];
            let pairs =
                queries.chunks_exact(dim).flat_map(|q| keys.chunks_exact(dim).map(move |k| dot(q, k)));
            pairs.fold(f32::NEG_INFINITY, f32::max)
        };
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

    /// The tokens that a block of queries reads.
    pub fn select(&self, queries: &[f32], keys: &[f32], dim: usize) -> Vec<Range<usize>> {
        let tokens = keys.len() / dim;
        let blocks = self.blocks(queries, keys, dim).into_iter();
        join(blocks.map(|block| block * self.block..tokens.min((block + 1) * self.block)))
    }
}
