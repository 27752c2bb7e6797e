//! MPCache (Zeng et al. 2025): most of the keys go after the prompt, and of the rest each step reads the clusters whose boxes
//! promise most. What the paper does it for, secure computation, is not done here.

use super::{join, top};
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};
use std::ops::Range;

/// How many of the last queries of a prompt decide which keys stay: a fifth.
pub fn voters(tokens: usize) -> usize {
    tokens.div_ceil(5)
}

/// Boxes around stretches of keys: the largest and smallest number of each dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Boxes {
    dim: usize,
    stretches: Vec<Range<usize>>,
    /// `[boxes, 2, dim]`: largest, then smallest.
    corners: Vec<f32>,
}

impl Boxes {
    /// Around stretches of `[tokens, dim]` keys.
    ///
    /// # Panics
    /// If a stretch is empty or not among the keys.
    pub fn around(keys: &[f32], dim: usize, stretches: Vec<Range<usize>>) -> Self {
        let mut boxes = Self { dim, stretches: Vec::new(), corners: Vec::new() };
        for stretch in stretches {
            boxes.push(&keys[stretch.start * dim..stretch.end * dim], stretch.start);
        }
        boxes
    }

    /// One more, around the keys of the tokens from `first` on.
    fn push(&mut self, keys: &[f32], first: usize) {
        assert!(!keys.is_empty(), "a box around no keys");
        let (dim, rows) = (self.dim, || keys.chunks_exact(self.dim));
        self.corners.extend((0..dim).map(|d| rows().map(|key| key[d]).fold(f32::NEG_INFINITY, f32::max)));
        self.corners.extend((0..dim).map(|d| rows().map(|key| key[d]).fold(f32::INFINITY, f32::min)));
        self.stretches.push(first..first + keys.len() / dim);
    }

    /// The largest product that a key of box `i` can have with the query, and more if no key is in that corner.
    pub fn bound(&self, i: usize, query: &[f32]) -> f32 {
        let (largest, smallest) = self.corners(i);
        query.iter().zip(largest).zip(smallest).map(|((q, l), s)| (q * l).max(q * s)).sum()
    }

    /// A linear stand-in for the bound: the product with a point between the corners, `alpha` of the largest.
    pub fn linear(&self, i: usize, query: &[f32], alpha: f32) -> f32 {
        let (largest, smallest) = self.corners(i);
        let point = largest.iter().zip(smallest).map(|(l, s)| alpha * l + (1.0 - alpha) * s);
        query.iter().zip(point).map(|(q, p)| q * p).sum()
    }

    fn corners(&self, i: usize) -> (&[f32], &[f32]) {
        self.corners[i * 2 * self.dim..][..2 * self.dim].split_at(self.dim)
    }

    /// [`Boxes::linear`] of some boxes, summed over the queries.
    fn scores(&self, boxes: impl Iterator<Item = usize>, queries: &[f32], alpha: f32) -> Vec<f32> {
        let score = |i| queries.chunks_exact(self.dim).map(|query| self.linear(i, query, alpha)).sum();
        boxes.map(score).collect()
    }
}

/// How many clusters of which size are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MpCache {
    /// Tokens of a coarse cluster.
    pub coarse: usize,
    /// Tokens of the fine clusters that it is cut into.
    pub fine: usize,
    /// Coarse clusters that are looked into.
    pub n_coarse: usize,
    /// Fine clusters that are read.
    pub n_fine: usize,
    /// See [`Boxes::linear`]; 0.6 in the paper.
    pub alpha: f32,
}

/// Coarse and fine boxes of the keys of one head.
#[derive(Clone, Debug, PartialEq)]
pub struct Clustered {
    sizes: MpCache,
    coarse: Boxes,
    fine: Boxes,
}

impl MpCache {
    /// The tokens that the group's queries read of the first `whole` coarse clusters.
    ///
    /// # Panics
    /// If there are fewer clusters.
    pub fn select(&self, queries: &[f32], clusters: &Clustered, whole: usize) -> Vec<Range<usize>> {
        let Clustered { coarse, fine, .. } = clusters;
        let scores = coarse.scores(0..whole, queries, self.alpha);
        // Only the last coarse cluster is shorter than the others.
        let parts = self.coarse.div_ceil(self.fine);
        let inside = |cluster: usize| cluster * parts..fine.stretches.len().min((cluster + 1) * parts);
        let looked_into: Vec<usize> = top(&scores, self.n_coarse).into_iter().flat_map(inside).collect();
        let scores = fine.scores(looked_into.iter().copied(), queries, self.alpha);
        let read = top(&scores, self.n_fine).into_iter().map(|i| fine.stretches[looked_into[i]].clone());
        join(read)
    }
}

impl Clustered {
    /// The boxes of no keys.
    ///
    /// # Panics
    /// If a cluster has no tokens.
    pub fn new(sizes: MpCache, dim: usize) -> Self {
        assert!(sizes.coarse > 0 && sizes.fine > 0, "clusters of no tokens");
        let none = Boxes { dim, stretches: Vec::new(), corners: Vec::new() };
        Self { sizes, coarse: none.clone(), fine: none }
    }

    /// Takes the next keys, `[tokens, dim]`.
    ///
    /// # Panics
    /// If the last coarse cluster is not whole.
    pub fn append(&mut self, keys: &[f32]) {
        let MpCache { coarse, fine, .. } = self.sizes;
        let mut first = self.coarse.stretches.last().map_or(0, |last| last.end);
        assert!(first.is_multiple_of(coarse), "a cluster that ended early");
        for keys in keys.chunks(coarse * self.coarse.dim) {
            self.coarse.push(keys, first);
            for keys in keys.chunks(fine * self.fine.dim) {
                self.fine.push(keys, first);
                first += keys.len() / self.fine.dim;
            }
        }
    }

    /// The coarse boxes.
    pub fn coarse(&self) -> &Boxes {
        &self.coarse
    }

    /// Number of coarse clusters.
    pub fn clusters(&self) -> usize {
        self.coarse.stretches.len()
    }

    /// Tokens of a whole coarse cluster.
    pub(in crate::cache) fn stride(&self) -> usize {
        self.sizes.coarse
    }

    pub(in crate::cache) fn save(&self, out: &mut Encoder<'_>) {
        out.f32s(&self.coarse.corners);
        out.f32s(&self.fine.corners);
    }

    /// Fills an empty one with the boxes of so many tokens.
    pub(in crate::cache) fn load(&mut self, input: &mut Decoder<'_>, tokens: usize) -> Result<(), FileFault> {
        let MpCache { coarse, fine, .. } = self.sizes;
        let fault = || FileFault::Corrupt("a number of clusters");
        let corners = [input.f32s()?, input.f32s()?];
        // Every cluster has corners in the file, so that no more is made than was read.
        if tokens / coarse > corners[0].len() {
            return Err(fault());
        }
        for first in (0..tokens).step_by(coarse) {
            let end = tokens.min(first + coarse);
            self.coarse.stretches.push(first..end);
            self.fine.stretches.extend((first..end).step_by(fine).map(|i| i..end.min(i + fine)));
        }
        for (boxes, corners) in [&mut self.coarse, &mut self.fine].into_iter().zip(corners) {
            if corners.len() != boxes.stretches.len() * 2 * boxes.dim {
                return Err(fault());
            }
            boxes.corners = corners;
        }
        Ok(())
    }
}
