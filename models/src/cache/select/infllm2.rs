//! InfLLM-V2 (Zhao et al. 2025): blocks of keys, chosen for every query by attention to means of short stretches.

use super::{dot, join, top};
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};
use std::ops::Range;

/// Which blocks are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfLlmV2 {
    /// Tokens of a block, a multiple of 4.
    pub block: usize,
    /// First blocks, always read.
    pub init: usize,
    /// Last blocks up to the query's own, always read.
    pub local: usize,
    /// Blocks read beside those.
    pub topk: usize,
    /// Queries with at most so many tokens up to their own read them all.
    pub dense: usize,
}

impl Default for InfLlmV2 {
    /// The paper's settings.
    fn default() -> Self {
        Self { block: 64, init: 1, local: 33, topk: 64, dense: 8192 }
    }
}

/// Means of half a block of keys, one a quarter of a block: what blocks are chosen by.
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    block: usize,
    dim: usize,
    means: Vec<f32>,
    /// Keys from the start of the first unit that is not whole.
    tail: Vec<f32>,
}

impl Units {
    /// Those of no keys.
    ///
    /// # Panics
    /// If a block is not a multiple of 4 tokens.
    pub fn new(block: usize, dim: usize) -> Self {
        assert!(block > 0 && block.is_multiple_of(4), "blocks of {block} tokens have no quarters");
        Self { block, dim, means: Vec::new(), tail: Vec::new() }
    }

    /// Takes the next keys, `[tokens, dim]`.
    pub fn append(&mut self, keys: &[f32]) {
        self.tail.extend_from_slice(keys);
        let (length, stride) = (self.block / 2, self.block / 4);
        let mut done = 0;
        while self.tail.len() - done >= length * self.dim {
            let mut mean = vec![0.0; self.dim];
            for key in self.tail[done..][..length * self.dim].chunks_exact(self.dim) {
                mean.iter_mut().zip(key).for_each(|(mean, x)| *mean += x);
            }
            self.means.extend(mean.iter().map(|x| x / length as f32));
            done += stride * self.dim;
        }
        self.tail.drain(..done);
    }

    /// `[units, dim]`
    pub fn means(&self) -> &[f32] {
        &self.means
    }

    pub(in crate::cache) fn save(&self, out: &mut Encoder<'_>) {
        out.f32s(&self.means);
        out.f32s(&self.tail);
    }

    /// Fills an empty one with the units of so many tokens.
    pub(in crate::cache) fn load(&mut self, input: &mut Decoder<'_>, tokens: usize) -> Result<(), FileFault> {
        (self.means, self.tail) = (input.f32s()?, input.f32s()?);
        let (length, stride) = (self.block / 2, self.block / 4);
        let units = tokens.checked_sub(length).map_or(0, |rest| rest / stride + 1);
        let rest = tokens - units * stride;
        let is = |list: &[f32], rows| list.len().is_multiple_of(self.dim) && list.len() / self.dim == rows;
        if is(&self.means, units) && is(&self.tail, rest) {
            Ok(())
        } else {
            Err(FileFault::Corrupt("a number of units"))
        }
    }

    /// Score of each block up to that of `position`: the attention that the best unit touching it gets, summed over the
    /// queries of the group. Units that end after the position are not seen.
    pub fn scores(&self, queries: &[f32], position: usize, scale: f32) -> Vec<f32> {
        let (length, stride) = (self.block / 2, self.block / 4);
        let past = (position + 1).checked_sub(length).map_or(0, |rest| rest / stride + 1);
        let seen = &self.means[..past.min(self.means.len() / self.dim) * self.dim];
        let mut total = vec![0.0; seen.len() / self.dim];
        for query in queries.chunks_exact(self.dim) {
            let scores: Vec<f32> = seen.chunks_exact(self.dim).map(|mean| scale * dot(query, mean)).collect();
            let max = scores.iter().copied().fold(f32::MIN, f32::max);
            let weights: Vec<f32> = scores.iter().map(|score| (score - max).exp()).collect();
            let sum: f32 = weights.iter().sum();
            total.iter_mut().zip(weights).for_each(|(total, weight)| *total += weight / sum);
        }
        let of_block = |block: usize| {
            let units = (4 * block).saturating_sub(1).min(total.len())..(4 * block + 4).min(total.len());
            total[units].iter().copied().fold(0.0, f32::max)
        };
        (0..=position / self.block).map(of_block).collect()
    }
}

impl InfLlmV2 {
    /// The blocks that the query at `position` reads, given the scores of the blocks up to its own.
    ///
    /// # Panics
    /// If there are fewer scores than blocks.
    pub fn blocks(&self, scores: &[f32], position: usize) -> Vec<usize> {
        let own = position / self.block;
        let local = (own + 1).saturating_sub(self.local).max(self.init.min(own + 1));
        let init = self.init.min(local);
        let far = top(&scores[init..local], self.topk).into_iter().map(|block| block + init);
        (0..init).chain(far).chain(local..=own).collect()
    }

    /// The tokens that the group's queries at `position` read.
    pub fn select(&self, queries: &[f32], position: usize, units: &Units, scale: f32) -> Vec<Range<usize>> {
        let end = position + 1;
        if end <= self.dense {
            return std::iter::once(0..end).collect();
        }
        let blocks = self.blocks(&units.scores(queries, position, scale), position);
        join(blocks.into_iter().map(|block| block * self.block..end.min((block + 1) * self.block)))
    }
}
