//! MPCache (Zeng et al. 2025): half of the keys go after the prompt, and of the rest each step reads the clusters whose boxes
//! promise most. What the paper does it for, secure computation, is not done here.

use super::{join, top};
use std::ops::Range;

/// How many of the last queries of a prompt decide which keys stay: a fifth.
pub fn voters(tokens: usize) -> usize {
    tokens.div_ceil(5)
}

/// The keys that stay after the prompt: those with most attention from the last [`voters`], by what
/// [`Collect::ColumnMass`](kilobase_kernels::attention::Collect::ColumnMass) sums.
pub fn keep(mass: &[f32], budget: usize) -> Vec<usize> {
    top(mass, budget)
}

/// Whether a layer reads what the layer before it reads: pairs do, except the first.
pub fn shares_with_previous(layer: usize) -> bool {
    layer > 2 && layer % 2 == 1
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
        let mut corners = Vec::with_capacity(stretches.len() * 2 * dim);
        for stretch in &stretches {
            assert!(!stretch.is_empty(), "a box around no keys");
            let rows = || keys[stretch.start * dim..stretch.end * dim].chunks_exact(dim);
            corners.extend((0..dim).map(|d| rows().map(|key| key[d]).fold(f32::NEG_INFINITY, f32::max)));
            corners.extend((0..dim).map(|d| rows().map(|key| key[d]).fold(f32::INFINITY, f32::min)));
        }
        Self { dim, stretches, corners }
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
    coarse: Boxes,
    fine: Boxes,
}

impl MpCache {
    /// The boxes of `[tokens, dim]` keys.
    ///
    /// # Panics
    /// If a cluster has no tokens.
    pub fn cluster(&self, keys: &[f32], dim: usize) -> Clustered {
        let cut = |whole: Range<usize>, size: usize| {
            let end = whole.end;
            whole.step_by(size).map(move |first| first..end.min(first + size))
        };
        let coarse: Vec<_> = cut(0..keys.len() / dim, self.coarse).collect();
        let fine = coarse.iter().cloned().flat_map(|stretch| cut(stretch, self.fine)).collect();
        Clustered { coarse: Boxes::around(keys, dim, coarse), fine: Boxes::around(keys, dim, fine) }
    }

    /// The tokens that the group's queries read.
    pub fn select(&self, queries: &[f32], clusters: &Clustered) -> Vec<Range<usize>> {
        let Clustered { coarse, fine } = clusters;
        let scores = coarse.scores(0..coarse.stretches.len(), queries, self.alpha);
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
    /// The coarse boxes.
    pub fn coarse(&self) -> &Boxes {
        &self.coarse
    }

    /// The fine boxes.
    pub fn fine(&self) -> &Boxes {
        &self.fine
    }
}
