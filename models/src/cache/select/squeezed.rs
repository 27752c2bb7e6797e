//! Squeezed attention (Hooper et al. 2024): for a fixed context that many queries read, clusters of its keys.
//!
//! Queries are compared with the clusters' means, and read all keys of the clusters that would get enough attention. Keys
//! after the fixed context are not part of it; they are attended apart and merged.

use super::{dot, join};
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};
use rand::{Rng, RngExt};
use rayon::prelude::*;
use std::ops::Range;

/// Clusters of the keys of one head.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    dim: usize,
    labels: Vec<usize>,
    centroids: Vec<f32>,
    sizes: Vec<usize>,
}

/// What is kept of a fixed context, to choose from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Squeezed {
    /// Clusters of tokens, about one for 20 of them.
    pub fine: Clusters,
    /// Tokens whose score is not above it are not read.
    pub threshold: f32,
    /// Clusters of the clusters, and the threshold of their scores: only what passes is compared further.
    pub coarse: Option<(Clusters, f32)>,
}

impl Squeezed {
    /// The tokens that the queries read; their scores are averaged.
    pub fn select(&self, queries: &[f32], scale: f32) -> Vec<Range<usize>> {
        let alive: Option<Vec<bool>> = self.coarse.as_ref().map(|(coarse, threshold)| {
            let scores = coarse.scores(queries, scale, None);
            coarse.labels.iter().map(|&cluster| scores[cluster] > *threshold).collect()
        });
        let scores = self.fine.scores(queries, scale, alive.as_deref());
        let tokens = self.fine.token_scores(&scores).into_iter().enumerate();
        join(tokens.filter(|(_, score)| *score > self.threshold).map(|(token, _)| token..token + 1))
    }
}

impl Clusters {
    /// K-means of `[tokens, dim]` keys by the direction they point in. The keys `seeds` are the first centres; an empty
    /// cluster keeps its centre. Ends after `iterations`, or when nothing changes.
    ///
    /// # Panics
    /// If a seed is no token, or there are keys and no seeds.
    pub fn fit(keys: &[f32], dim: usize, seeds: &[usize], iterations: usize) -> Self {
        let unit = normalised(keys, dim);
        let mut centres: Vec<f32> =
            seeds.iter().flat_map(|&seed| unit[seed * dim..][..dim].iter().copied()).collect();
        let mut labels = nearest(&unit, &centres, dim);
        for _ in 0..iterations {
            centres = means(&unit, &labels, &vec![1; labels.len()], centres, dim).0;
            let next = nearest(&unit, &centres, dim);
            if next == labels {
                break;
            }
            labels = next;
        }
        let (centroids, sizes) = means(keys, &labels, &vec![1; labels.len()], centres, dim);
        Self { dim, labels, centroids, sizes }
    }

    /// Clusters of these clusters' means; sizes count tokens.
    ///
    /// # Panics
    /// As [`Clusters::fit`].
    #[must_use]
    pub fn coarser(&self, seeds: &[usize], iterations: usize) -> Self {
        let of_means = Self::fit(&self.centroids, self.dim, seeds, iterations);
        let (centroids, sizes) =
            means(&self.centroids, &of_means.labels, &self.sizes, of_means.centroids, self.dim);
        Self { dim: self.dim, labels: of_means.labels, centroids, sizes }
    }

    pub(in crate::cache) fn save(&self, out: &mut Encoder<'_>) {
        let narrow = |list: &[usize]| list.iter().map(|&x| x as u32).collect::<Vec<_>>();
        out.u32s(&narrow(&self.labels));
        out.u32s(&narrow(&self.sizes));
        out.f32s(&self.centroids);
    }

    pub(in crate::cache) fn load(input: &mut Decoder<'_>, dim: usize) -> Result<Self, FileFault> {
        let wide = |list: Vec<u32>| list.into_iter().map(|x| x as usize).collect::<Vec<_>>();
        let (labels, sizes) = (wide(input.u32s()?), wide(input.u32s()?));
        let centroids = input.f32s()?;
        if centroids.len() != sizes.len() * dim || labels.iter().any(|&label| label >= sizes.len()) {
            return Err(FileFault::Corrupt("a list of clusters"));
        }
        Ok(Self { dim, labels, centroids, sizes })
    }

    /// The cluster of each token.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Mean key of each cluster, `[clusters, dim]`.
    pub fn centroids(&self) -> &[f32] {
        &self.centroids
    }

    /// Tokens of each cluster.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The attention that a token of each cluster would get if its key were the cluster's mean, averaged over the queries.
    /// Clusters that are not `alive` get none.
    pub fn scores(&self, queries: &[f32], scale: f32, alive: Option<&[bool]>) -> Vec<f32> {
        let mut total = vec![0.0_f64; self.sizes.len()];
        let counts = |cluster: usize| self.sizes[cluster] > 0 && alive.is_none_or(|alive| alive[cluster]);
        for query in queries.chunks_exact(self.dim) {
            let products =
                self.centroids.chunks_exact(self.dim).map(|mean| f64::from(scale * dot(query, mean)));
            let products: Vec<f64> = products
                .enumerate()
                .map(|(cluster, score)| if counts(cluster) { score } else { f64::NEG_INFINITY })
                .collect();
            let max = products.iter().copied().fold(f64::MIN, f64::max);
            let weights: Vec<f64> = products.iter().map(|score| (score - max).exp()).collect();
            let sum: f64 = weights.iter().zip(&self.sizes).map(|(weight, &size)| weight * size as f64).sum();
            for (total, weight) in total.iter_mut().zip(weights) {
                *total += if sum > 0.0 { weight / sum } else { 0.0 };
            }
        }
        let count = (queries.len() / self.dim) as f64;
        total.into_iter().map(|score| (score / count) as f32).collect()
    }

    /// The score of each token's cluster.
    pub fn token_scores(&self, scores: &[f32]) -> Vec<f32> {
        self.labels.iter().map(|&cluster| scores[cluster]).collect()
    }
}

/// First centres for [`Clusters::fit`] by k-means++ (Arthur and Vassilvitskii 2007): each with the probability of its
/// squared distance to those before it. Fewer than `count` if there are not so many different keys.
pub fn seeds(keys: &[f32], dim: usize, count: usize, rng: &mut impl Rng) -> Vec<usize> {
    let unit = normalised(keys, dim);
    let key = |token: usize| &unit[token * dim..][..dim];
    let tokens = unit.len() / dim;
    let mut seeds = Vec::with_capacity(count);
    let mut far = vec![1.0_f64; tokens];
    while seeds.len() < count {
        let mut left = rng.random::<f64>() * far.iter().sum::<f64>();
        let Some(last) = far.iter().rposition(|&weight| weight > 0.0) else { break };
        let seed = far.iter().position(|&weight| {
            left -= weight;
            weight > 0.0 && left < 0.0
        });
        seeds.push(seed.unwrap_or(last));
        let newest = key(seeds[seeds.len() - 1]);
        let first = seeds.len() == 1;
        far.par_iter_mut().enumerate().for_each(|(token, far)| {
            let distance = f64::from(squared_distance(key(token), newest));
            *far = if first { distance } else { far.min(distance) };
        });
    }
    seeds
}

/// The threshold below which the share `quantile` of the tokens lies. One number for all layers and heads, whose token scores
/// are given together, so that heads that attend widely read more.
pub fn threshold(mut token_scores: Vec<f32>, quantile: f64) -> Option<f32> {
    let last = token_scores.len().checked_sub(1)?;
    token_scores.sort_unstable_by(f32::total_cmp);
    let place = quantile.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (token_scores[place.floor() as usize], token_scores[place.ceil() as usize]);
    Some(below + (above - below) * place.fract() as f32)
}

/// Every key at length 1; a key of length 0 stays.
fn normalised(keys: &[f32], dim: usize) -> Vec<f32> {
    let unit = |key: &[f32]| {
        let length = dot(key, key).sqrt().max(f32::MIN_POSITIVE);
        key.iter().map(|x| x / length).collect::<Vec<_>>()
    };
    keys.chunks_exact(dim).flat_map(unit).collect()
}

/// The nearest centre of each row, the first of equal ones.
fn nearest(rows: &[f32], centres: &[f32], dim: usize) -> Vec<usize> {
    let nearest = |row: &[f32]| {
        let distances = centres.chunks_exact(dim).map(|centre| squared_distance(row, centre));
        distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).expect("a centre").0
    };
    rows.par_chunks_exact(dim).map(nearest).collect()
}

/// Means of the rows by label, each row counting so many times, and how often a label counts in all. A label without rows has
/// the row of `otherwise`.
fn means(
    rows: &[f32],
    labels: &[usize],
    counts: &[usize],
    otherwise: Vec<f32>,
    dim: usize,
) -> (Vec<f32>, Vec<usize>) {
    let mut sums = vec![0.0_f64; otherwise.len()];
    let mut sizes = vec![0; otherwise.len() / dim];
    for ((row, &label), &count) in rows.chunks_exact(dim).zip(labels).zip(counts) {
        sizes[label] += count;
        for (sum, &x) in sums[label * dim..].iter_mut().zip(row) {
            *sum += count as f64 * f64::from(x);
        }
    }
    let mut means = otherwise;
    for (i, (mean, sum)) in means.iter_mut().zip(sums).enumerate() {
        if sizes[i / dim] > 0 {
            *mean = (sum / sizes[i / dim] as f64) as f32;
        }
    }
    (means, sizes)
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
