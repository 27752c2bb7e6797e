//! Squeezed attention (Hooper et al. 2024): a fixed context at the start of the sequence, say a reference locus, is
//! clustered once; what comes after it reads the clusters that would get enough attention. See
//! [`select::squeezed`](crate::cache::select::squeezed).
//!
//! The last keys of the fixed context are not clustered but always read, and their queries set the threshold. In the paper
//! one threshold holds for the whole model; here a layer is asked before the next one has seen the context, so each has its
//! own, over its heads. Clustering takes `iterations * tokens^2 / cluster` products of keys for each layer and head:
//! save the cache and use it for many queries.

use std::collections::BTreeMap;

use kilobase_kernels::attention::{KeyForm, KvView, Selection};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rayon::prelude::*;

use super::random::mix;
use super::tokens::{Group, Tokens, rotated, select};
use super::{CachePolicy, Kind, Needs, Queries, Settings};
use crate::cache::Config;
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};
use crate::cache::select::join;
use crate::cache::select::squeezed::{Clusters, seeds, threshold};

/// Sizes of the method, in tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Length of the fixed context. Queries inside it read everything.
    pub fixed: u32,
    /// Its last tokens, which are not clustered and set the threshold; 100 in the paper.
    pub window: u32,
    /// Tokens of a cluster on average; 20 in the paper.
    pub cluster: usize,
    /// Steps of k-means, at most; 300 in the paper.
    pub iterations: usize,
    /// The share of the clustered tokens that the queries of the window would not read; 0.5 to 0.9 in the paper.
    pub quantile: f64,
}

/// The clusters of all layers, once there is something after the fixed context.
#[derive(Clone, Debug)]
pub struct Policy {
    sizes: Sizes,
    seed: u64,
    layers: Vec<Context>,
}

/// The fixed context of one layer.
#[derive(Clone, Debug, Default)]
struct Context {
    /// Queries of the window, by position, `[query heads, key_dim]`, rotated.
    observed: BTreeMap<u32, Vec<f32>>,
    /// One a key/value head; empty until something follows the context.
    heads: Vec<Clustered>,
    /// Tokens whose score is not above it are not read.
    threshold: f32,
}

/// The clustered keys of one head.
#[derive(Clone, Debug)]
struct Clustered {
    /// Position of each token of `clusters`, ascending.
    positions: Vec<u32>,
    clusters: Clusters,
}

impl Policy {
    /// For a model of so many layers. The seed is that of the first centres.
    ///
    /// # Panics
    /// If clusters have no tokens, or the window is longer than the context.
    pub fn new(layers: usize, sizes: Sizes, seed: u64) -> Self {
        assert!(sizes.cluster > 0 && sizes.window <= sizes.fixed, "sizes {sizes:?}");
        Self { sizes, seed, layers: vec![Context::default(); layers] }
    }

    /// Clusters a layer, whose window must have been observed.
    fn fit(&mut self, layer: usize, view: &dyn KvView, scale: f32) {
        let Sizes { fixed, window, cluster, iterations, quantile } = self.sizes;
        let context = &mut self.layers[layer];
        let dim = view.key_dim();
        let fit = |head| {
            let tokens = Tokens::of(view, head);
            let count = tokens.positions.partition_point(|&position| position < fixed - window);
            let keys = tokens.keys(view, head, 0..count);
            let draw = mix(mix(self.seed) ^ (layer as u64) << 32 ^ head as u64);
            let first = seeds(&keys, dim, count.div_ceil(cluster), &mut ChaCha8Rng::seed_from_u64(draw));
            let clusters = Clusters::fit(&keys, dim, &first, iterations);
            Clustered { positions: tokens.positions[..count].to_vec(), clusters }
        };
        context.heads = (0..view.heads()).into_par_iter().map(fit).collect();
        let scores = context.heads.iter().enumerate().flat_map(|(head, Clustered { clusters, .. })| {
            let group = |queries: &Vec<f32>| {
                let size = queries.len() / view.heads();
                queries[head * size..][..size].to_vec()
            };
            let queries: Vec<f32> = context.observed.values().flat_map(group).collect();
            clusters.token_scores(&clusters.scores(&queries, scale, None))
        });
        context.threshold = threshold(scores.collect(), quantile).unwrap_or(0.0);
    }
}

impl Context {
    fn observe(&mut self, sizes: &Sizes, queries: Queries<'_>) {
        let size = queries.q.heads * queries.q.dim;
        let rotated = rotated(queries);
        for (&position, queries) in queries.positions.iter().zip(rotated.chunks_exact(size)) {
            if (sizes.fixed - sizes.window..sizes.fixed).contains(&position) {
                self.observed.insert(position, queries.to_vec());
            }
        }
    }
}

impl CachePolicy for Policy {
    fn name(&self) -> String {
        format!("squeezed {:?} of seed {}", self.sizes, self.seed)
    }

    fn needs(&self) -> Needs {
        let key_form = Some(KeyForm::Rotated);
        Needs { key_form, fixed_positions: true, ..Needs::new(Kind::Select) }
    }

    /// As far as later queries are like those of the window.
    fn reads(&self, slots: usize) -> usize {
        let Sizes { fixed, window, quantile, .. } = self.sizes;
        let dropped = (f64::from(fixed - window) * quantile) as usize;
        if slots <= fixed as usize { slots } else { slots - dropped }
    }

    fn select(&mut self, layer: usize, queries: Queries<'_>, view: &dyn KvView) -> Option<Selection> {
        let fixed = self.sizes.fixed;
        if self.layers[layer].heads.is_empty() {
            self.layers[layer].observe(&self.sizes, queries);
            let follows = queries.positions.iter().any(|&position| position >= fixed);
            if !follows || self.layers[layer].observed.is_empty() {
                return None;
            }
            self.fit(layer, view, queries.spec.scale);
        }
        let context = &self.layers[layer];
        select(queries, view, 1, 0, |group| {
            let Group { head, tokens, queries, seen, scale } = &group;
            if tokens.positions[seen.end - 1] < fixed {
                return group.all();
            }
            let Clustered { positions, clusters } = &context.heads[*head];
            let scores = clusters.scores(queries, *scale, None);
            let mut next = 0;
            let is_read = |&token: &usize| {
                let position = tokens.positions[token];
                next += positions[next..].iter().take_while(|&&p| p < position).count();
                positions.get(next) != Some(&position) || scores[clusters.labels()[next]] > context.threshold
            };
            join((0..seen.end).filter(is_read).map(|token| token..token + 1))
        })
    }

    fn on_move(&mut self, layer: usize, view: &dyn KvView, _moves: &[Vec<usize>]) {
        let last = (0..view.heads()).flat_map(|head| view.positions(head)).max();
        let end = last.map_or(0, |last| last + 1);
        if end < self.sizes.fixed {
            self.layers[layer].heads.clear();
            self.layers[layer].observed.split_off(&end);
        }
    }

    fn save(&self, out: &mut Encoder<'_>) {
        for context in &self.layers {
            out.u32s(&context.observed.keys().copied().collect::<Vec<_>>());
            context.observed.values().for_each(|queries| out.f32s(queries));
            out.u32(context.threshold.to_bits());
            out.u32(context.heads.len() as u32);
            for Clustered { positions, clusters } in &context.heads {
                out.u32s(positions);
                clusters.save(out);
            }
        }
    }

    fn load(&mut self, input: &mut Decoder<'_>, config: &Config) -> Result<(), FileFault> {
        for context in &mut self.layers {
            *context = Context::default();
            for position in input.u32s()? {
                let queries = input.f32s()?;
                if queries.len() != config.query_heads * config.key_dim {
                    return Err(FileFault::Corrupt("a number of queries"));
                }
                context.observed.insert(position, queries);
            }
            context.threshold = f32::from_bits(input.u32()?);
            let heads = input.u32()? as usize;
            if heads != 0 && heads != config.kv_heads {
                return Err(FileFault::Corrupt("a number of heads"));
            }
            for _ in 0..heads {
                let positions = input.u32s()?;
                let clusters = Clusters::load(input, config.key_dim)?;
                if positions.len() != clusters.labels().len() || !positions.is_sorted() {
                    return Err(FileFault::Corrupt("a list of clustered tokens"));
                }
                context.heads.push(Clustered { positions, clusters });
            }
        }
        Ok(())
    }
}

/// The fixed context is twice the budget long, and so much of it is read that the budget is met by the queries that set the
/// threshold. Keys after it are read beside that.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    let budget = settings.budget.clamp(8, 1 << 30) as u32;
    let fixed = 2 * budget;
    let window = (fixed / 8).min(100);
    let quantile = f64::from(fixed - budget) / f64::from(fixed - window);
    let sizes = Sizes { fixed, window, cluster: 20, iterations: 20, quantile };
    Box::new(Policy::new(settings.layers, sizes, settings.seed))
}
