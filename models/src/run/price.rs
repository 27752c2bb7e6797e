//! What reading sequences will cost, counted before any work: operations, and bytes as the cache policy leaves them.
//!
//! Operations over [`Rates`], which are measured in a moment on this machine, are an estimate of the time.

use super::reading::PAGE;
use super::score::LOGIT_ROWS;
use super::{Long, Reading};
use crate::cache;
use crate::family::Model;
use kilobase_kernels::attention::Collect;
use std::collections::HashMap;
use std::ops::{Add, AddAssign};

mod rates;

pub use rates::{Rates, step_seconds};

/// What some work costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Tokens that go through the layers.
    pub tokens: f64,
    /// Operations of matrix products: two for each weight that a token meets.
    pub linear_flop: f64,
    /// Operations of attention: for each query head and each key that a query reads, two for each number of the key and of the
    /// value. What a policy does to find those keys is not counted, but for the sums of attention that it asks for.
    pub attention_flop: f64,
    /// The most bytes of key/value pages at once.
    pub cache_bytes: u64,
    /// The most bytes of activations at once.
    pub activation_bytes: u64,
    /// The most bytes of sequences at once: letters, tokens, and what is told of them.
    pub sequence_bytes: u64,
}

impl Cost {
    /// The same work so many times, one after the other.
    #[must_use]
    pub fn times(self, count: f64) -> Self {
        Self {
            tokens: self.tokens * count,
            linear_flop: self.linear_flop * count,
            attention_flop: self.attention_flop * count,
            ..self
        }
    }

    /// Bytes beside the weights.
    pub fn bytes(&self) -> u64 {
        self.cache_bytes + self.activation_bytes + self.sequence_bytes
    }

    /// Seconds at these rates.
    pub fn seconds(&self, rates: &Rates) -> f64 {
        self.linear_flop / rates.linear + self.attention_flop / rates.attention
    }
}

/// One after the other: operations add up, memory is that of the largest.
impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            tokens: self.tokens + other.tokens,
            linear_flop: self.linear_flop + other.linear_flop,
            attention_flop: self.attention_flop + other.attention_flop,
            cache_bytes: self.cache_bytes.max(other.cache_bytes),
            activation_bytes: self.activation_bytes.max(other.activation_bytes),
            sequence_bytes: self.sequence_bytes.max(other.sequence_bytes),
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

/// Sizes that operations follow from.
#[derive(Clone, Copy, Debug)]
struct Shape {
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    /// Weights of a layer's matrices.
    layer_weights: f64,
    /// Weights of the output matrix.
    head_weights: f64,
    causal: bool,
}

impl Shape {
    fn of(model: &Model) -> Self {
        match model {
            Model::Generator { config: c, .. } => {
                let (h, q) = (c.hidden_size, c.num_attention_heads * c.head_dim);
                let kv = c.num_key_value_heads * c.head_dim;
                Self {
                    layers: c.num_hidden_layers,
                    heads: c.num_attention_heads,
                    kv_heads: c.num_key_value_heads,
                    head_dim: c.head_dim,
                    layer_weights: (h * (2 * q + 2 * kv) + 3 * h * c.intermediate_size) as f64,
                    head_weights: (h * c.vocab_size) as f64,
                    causal: true,
                }
            }
            Model::DnaBert2 { config: c, .. } => {
                let h = c.hidden_size;
                Self {
                    layers: c.num_hidden_layers,
                    heads: c.num_attention_heads,
                    kv_heads: c.num_attention_heads,
                    head_dim: h / c.num_attention_heads,
                    layer_weights: (4 * h * h + 3 * h * c.intermediate_size) as f64,
                    head_weights: (h * (h + c.vocab_size)) as f64,
                    causal: false,
                }
            }
        }
    }

    /// Of a pair of a token and a key, in one layer.
    fn pair_flop(&self) -> f64 {
        (4 * self.heads * self.head_dim) as f64
    }

    /// Pairs of a sequence that is read whole.
    fn pairs(&self, tokens: usize) -> f64 {
        let n = tokens as f64;
        if self.causal { n * (n + 1.0) / 2.0 } else { n * n }
    }
}

/// Counts what a model costs that reads sequences in some way.
#[derive(Debug)]
pub struct Pricer<'a> {
    model: &'a Model,
    reading: &'a Reading,
    shape: Shape,
    /// Layers that are computed.
    layers: usize,
    /// Whether every token is predicted as well.
    predicts: bool,
}

impl<'a> Pricer<'a> {
    /// For the states after a layer.
    pub fn states(model: &'a Model, reading: &'a Reading, layer: usize) -> Self {
        let shape = Shape::of(model);
        Self { model, reading, shape, layers: layer.min(shape.layers), predicts: false }
    }

    /// For the probabilities of all tokens.
    pub fn predictions(model: &'a Model, reading: &'a Reading) -> Self {
        let shape = Shape::of(model);
        Self { model, reading, shape, layers: shape.layers, predicts: true }
    }

    /// Sequences of these numbers of tokens, with how many there are of each.
    pub fn job(&self, sequences: impl IntoIterator<Item = (usize, u64)>) -> Cost {
        let mut cost = Cost::default();
        let mut packed = 0;
        for (tokens, count) in sequences {
            cost += self.sequence(tokens).times(count as f64);
            if self.reading.is_packed(tokens) {
                packed = (packed as u64).saturating_add(count.saturating_mul(tokens as u64)) as usize;
            }
        }
        let batch = self.activation_bytes(packed.min(self.reading.chunk));
        Cost { activation_bytes: cost.activation_bytes.max(batch), ..cost }
    }

    /// One sequence.
    pub fn sequence(&self, tokens: usize) -> Cost {
        if !self.shape.causal || self.reading.is_packed(tokens) {
            return self.whole(tokens);
        }
        // Windows are of two or three lengths, however many there are.
        let mut known = HashMap::new();
        let windows = self.reading.windows(tokens, 1).into_iter();
        windows
            .map(|(read, _)| {
                let tokens = read.len() + 1;
                *known.entry(tokens).or_insert_with(|| self.window(tokens))
            })
            .sum()
    }

    /// Tokens that go on from `context` others, whose keys and values are there: an allele, or what is generated.
    pub fn continuation(&self, context: usize, tokens: usize) -> Cost {
        let pairs = tokens as f64 * context as f64 + self.shape.pairs(tokens);
        self.cost(tokens, pairs * self.layers as f64)
    }

    /// A cache of so many tokens that nothing is dropped from.
    pub fn cache_bytes(&self, tokens: usize) -> u64 {
        (self.layers * self.cache_config().layer_bytes(PAGE, tokens, (0, self.shape.head_dim))) as u64
    }

    /// Of so many tokens at once: the layers', or the last states with the logits and laws of some rows.
    pub fn activation_bytes(&self, tokens: usize) -> u64 {
        let layers = self.model.activation_bytes(tokens);
        if !self.predicts {
            return layers;
        }
        let rows = tokens.min(LOGIT_ROWS);
        let (hidden, vocabulary) = (self.model.hidden_size(), self.model.vocab_size());
        // A law of doubles, of all tokens and of the k-mers among them, on each thread.
        let laws = 2 * vocabulary * rayon::current_num_threads() * size_of::<f64>();
        let last = (tokens * hidden + rows * (hidden + vocabulary)) * size_of::<f32>() + laws;
        layers.max(last as u64)
    }

    fn window(&self, tokens: usize) -> Cost {
        if self.layers < self.shape.layers && self.layers > 0 {
            return self.whole(tokens);
        }
        self.over_cache(tokens)
    }

    fn whole(&self, tokens: usize) -> Cost {
        let pairs = self.shape.pairs(tokens) * self.layers as f64;
        Cost { activation_bytes: self.activation_bytes(tokens), ..self.cost(tokens, pairs) }
    }

    fn cost(&self, tokens: usize, pairs: f64) -> Cost {
        let head = if self.predicts { self.shape.head_weights } else { 0.0 };
        let weights = self.layers as f64 * self.shape.layer_weights + head;
        Cost {
            tokens: tokens as f64,
            linear_flop: 2.0 * tokens as f64 * weights,
            attention_flop: pairs * self.shape.pair_flop(),
            ..Cost::default()
        }
    }

    /// Chunk by chunk, as the cache will go.
    fn over_cache(&self, tokens: usize) -> Cost {
        let none = cache::Pipeline::none();
        let policy = match &self.reading.long {
            Long::Windows { .. } => &none,
            Long::Cache(policy) => policy,
        };
        let (config, dim) = (self.cache_config(), self.shape.head_dim);
        let mut slots = vec![0_usize; self.layers];
        let mut bytes = vec![0_usize; self.layers];
        let (mut total, mut peak, mut pairs) = (0, 0, 0.0);
        let chunk = self.reading.chunk.max(1);
        for start in (0..tokens).step_by(chunk) {
            let rows = chunk.min(tokens - start);
            for layer in 0..self.layers {
                let seen = slots[layer] + rows;
                // The first query of the chunk sees what was kept and itself.
                let mean = |of: &dyn Fn(usize) -> usize| (of(slots[layer] + 1) + of(seen)) as f64 / 2.0;
                pairs += rows as f64 * mean(&|slots| policy.reads(slots));
                let kept = policy.kept(layer, seen, (start + rows) as u32);
                for stats in policy.stats() {
                    pairs += match stats {
                        // Scores once more.
                        Collect::ColumnMass { last: None } => 0.5 * rows as f64 * mean(&|slots| slots),
                        // Attention of the queries that vote, and their scores once more.
                        Collect::ColumnMass { last: Some(last) } if kept < seen => {
                            1.5 * (last.min(start + rows) * seen) as f64
                        }
                        _ => 0.0,
                    };
                }
                let narrowed = |slots| policy.narrowed(slots, dim);
                // What is old has lost its channels before the new rows come.
                let held = config.layer_bytes(PAGE, seen, (narrowed(slots[layer]).0, narrowed(seen).1));
                peak = peak.max(total - bytes[layer] + held);
                slots[layer] = kept;
                total -= bytes[layer];
                bytes[layer] = config.layer_bytes(PAGE, kept, narrowed(kept));
                total += bytes[layer];
            }
        }
        Cost {
            cache_bytes: peak as u64,
            activation_bytes: self.activation_bytes(chunk.min(tokens)),
            ..self.cost(tokens, pairs)
        }
    }

    fn cache_config(&self) -> cache::Config {
        let Shape { heads, kv_heads, head_dim, causal, .. } = self.shape;
        cache::Config {
            model: String::new(),
            layers: self.layers,
            query_heads: heads,
            kv_heads,
            key_dim: head_dim,
            value_dim: head_dim,
            store: self.reading.store,
            rotary: None,
            causal,
        }
    }
}
