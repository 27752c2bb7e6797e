//! A small random decoder that drives a cache, and the same decoder over dense attention in f64.

use std::ops::Range;
use std::sync::Arc;

use kilobase_kernels::attention::{AttnSpec, Heads, KeyForm, PosRule, Sequence, Strided, dense, forward};
use kilobase_kernels::rotary::{RopeStyle, Rotary};
use kilobase_models::cache::policy::{self, CachePolicy, Queries, Settings};
use kilobase_models::cache::{Config, KvCache, PagePool, Pipeline, Store};

pub const LAYERS: usize = 3;
pub const HEADS: usize = 4;
pub const KEY_DIM: usize = 16;
pub const VALUE_DIM: usize = 12;
/// Size of the states between layers.
const MODEL_DIM: usize = 24;

/// How positions enter, and whether stored keys are rotated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Positions {
    Rotated,
    Raw,
    Alibi,
}

/// Weights and inputs of the decoder, all random.
pub struct Decoder {
    pub kv_heads: usize,
    weights: Vec<[Vec<f32>; 4]>,
    inputs: Vec<f32>,
}

/// Numbers in -1..1.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(next).collect()
}

/// `[rows, columns_in]` times `[columns_in, columns_out]`.
fn product(x: &[f32], weights: &[f32], columns: usize) -> Vec<f32> {
    let out = weights.len() / columns;
    let row = |row: &[f32]| {
        let mut sums = vec![0.0; out];
        for (x, weights) in row.iter().zip(weights.chunks_exact(out)) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += x * weight);
        }
        sums
    };
    x.chunks_exact(columns).flat_map(row).collect()
}

fn normed(x: &[f32]) -> Vec<f32> {
    let row = |row: &[f32]| {
        let mean = row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
        row.iter().map(|x| x / (mean + 1e-6).sqrt()).collect::<Vec<_>>()
    };
    x.chunks_exact(MODEL_DIM).flat_map(row).collect()
}

impl Decoder {
    /// For sequences of at most `length` tokens.
    pub fn new(kv_heads: usize, length: usize, seed: u64) -> Self {
        let layer = |layer: usize| {
            let matrix = |which: u64, rows: usize, columns: usize| {
                let mut numbers = noise(rows * columns, seed + 10 * layer as u64 + which);
                for x in &mut numbers {
                    *x *= 2.0 / (rows as f32).sqrt();
                }
                numbers
            };
            [
                matrix(1, MODEL_DIM, HEADS * KEY_DIM),
                matrix(2, MODEL_DIM, kv_heads * KEY_DIM),
                matrix(3, MODEL_DIM, kv_heads * VALUE_DIM),
                matrix(4, HEADS * VALUE_DIM, MODEL_DIM),
            ]
        };
        let weights = (0..LAYERS).map(layer).collect();
        Self { kv_heads, weights, inputs: noise(length * MODEL_DIM, seed) }
    }

    /// The same function with every key/value head written out for each of its query heads.
    pub fn with_repeated_heads(&self) -> Self {
        let repeat = |weights: &[f32], dim: usize| -> Vec<f32> {
            let head = |row: &[f32], h: usize| row[h / (HEADS / self.kv_heads) * dim..][..dim].to_vec();
            let rows = weights.chunks_exact(self.kv_heads * dim);
            rows.flat_map(|row| (0..HEADS).flat_map(move |h| head(row, h))).collect()
        };
        let layer =
            |[q, k, v, o]: &[Vec<f32>; 4]| [q.clone(), repeat(k, KEY_DIM), repeat(v, VALUE_DIM), o.clone()];
        let weights = self.weights.iter().map(layer).collect();
        Self { kv_heads: HEADS, weights, inputs: self.inputs.clone() }
    }

    /// The last states of some tokens (numbers of inputs), with `attend` called as `(layer, q, k, v, out)` for each layer.
    pub fn states(
        &self,
        tokens: &[usize],
        mut attend: impl FnMut(usize, Heads<'_>, Heads<'_>, Heads<'_>, &mut [f32]),
    ) -> Vec<f32> {
        let input = |&token: &usize| &self.inputs[token * MODEL_DIM..][..MODEL_DIM];
        let mut x: Vec<f32> = tokens.iter().flat_map(input).copied().collect();
        for (layer, [wq, wk, wv, wo]) in self.weights.iter().enumerate() {
            let input = normed(&x);
            let [q, k, v] = [wq, wk, wv].map(|weights| product(&input, weights, MODEL_DIM));
            let rows = tokens.len();
            let mut out = vec![f32::NAN; rows * HEADS * VALUE_DIM];
            attend(
                layer,
                Heads::contiguous(&q, rows, HEADS, KEY_DIM),
                Heads::contiguous(&k, rows, self.kv_heads, KEY_DIM),
                Heads::contiguous(&v, rows, self.kv_heads, VALUE_DIM),
                &mut out,
            );
            let change = product(&out, wo, HEADS * VALUE_DIM);
            x.iter_mut().zip(&change).for_each(|(x, change)| *x += change);
        }
        x
    }

    /// Dense attention in f64 over all tokens at once.
    pub fn dense(&self, length: usize, spec: &AttnSpec) -> Vec<f32> {
        let positions: Vec<u32> = (0..length as u32).collect();
        let tokens: Vec<usize> = (0..length).collect();
        self.states(&tokens, |_, q, k, v, out| {
            let kv = Strided { k, v, positions: &positions, form: KeyForm::Raw };
            let sequence = [Sequence { rows: 0..length, kv: &kv }];
            let (exact, _) = dense::forward(q, &positions, &sequence, spec, None);
            out.iter_mut().zip(exact).for_each(|(out, exact)| *out = exact as f32);
        })
    }

    /// Runs some tokens through a cache, in one call a layer.
    pub fn step(&self, cache: &mut KvCache, tokens: Range<usize>, spec: &AttnSpec) -> Vec<f32> {
        let positions: Vec<u32> = tokens.clone().map(|token| token as u32).collect();
        self.step_at(cache, &tokens.collect::<Vec<_>>(), &positions, spec)
    }

    /// The same for any tokens at any positions.
    pub fn step_at(
        &self,
        cache: &mut KvCache,
        tokens: &[usize],
        positions: &[u32],
        spec: &AttnSpec,
    ) -> Vec<f32> {
        let mut lse = vec![f32::NAN; tokens.len() * HEADS];
        self.states(tokens, |layer, q, k, v, out| {
            cache.attend(layer, q, k, v, positions, spec, out, &mut lse).expect("memory for it");
        })
    }

    /// The same with the new slots stored in another order.
    pub fn shuffled_step(&self, cache: &mut KvCache, tokens: Range<usize>, spec: &AttnSpec) -> Vec<f32> {
        let positions: Vec<u32> = tokens.clone().map(|token| token as u32).collect();
        let order: Vec<usize> = {
            let mut order: Vec<usize> = (0..tokens.len()).collect();
            order.sort_by_key(|&row| (row * 7919 + 13) % 101);
            order
        };
        let mut lse = vec![f32::NAN; tokens.len() * HEADS];
        self.states(&tokens.collect::<Vec<_>>(), |layer, q, k, v, out| {
            let rows = |x: Heads<'_>| -> Vec<f32> {
                let rows = order.iter().flat_map(|&row| (0..x.heads).map(move |head| (row, head)));
                rows.flat_map(|(row, head)| x.row(row, head).to_vec()).collect()
            };
            let (keys, values) = (rows(k), rows(v));
            let places: Vec<u32> = order.iter().map(|&row| positions[row]).collect();
            let keys = Heads::contiguous(&keys, k.rows, k.heads, k.dim);
            let values = Heads::contiguous(&values, v.rows, v.heads, v.dim);
            cache.append(layer, keys, values, &places).expect("memory for it");
            let spec = cache.policy().attention(spec.clone());
            let queries = Queries { q, positions: &positions, spec: &spec };
            let selection = cache.select(layer, queries);
            let sequence = [Sequence { rows: 0..q.rows, kv: cache.layer(layer) }];
            forward(q, &positions, &sequence, &spec, selection.as_ref(), out, &mut lse);
            cache.update(layer, queries, selection.is_none().then_some(&lse)).expect("memory for it");
        })
    }

    /// Runs tokens in the given chunks, the last one over and over.
    pub fn run(
        &self,
        cache: &mut KvCache,
        tokens: Range<usize>,
        chunks: &[usize],
        spec: &AttnSpec,
    ) -> Vec<f32> {
        let mut out = Vec::new();
        for chunk in cut(tokens, chunks) {
            out.append(&mut self.step(cache, chunk, spec));
        }
        out
    }
}

/// A range in pieces of the given sizes, the last size over and over.
pub fn cut(range: Range<usize>, sizes: &[usize]) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = range.start;
    let mut sizes = sizes.iter().copied().peekable();
    while start < range.end {
        let size = if sizes.len() > 1 { sizes.next() } else { sizes.peek().copied() };
        let end = (start + size.expect("some size")).min(range.end);
        pieces.push(start..end);
        start = end;
    }
    pieces
}

fn rotary() -> Arc<Rotary> {
    Arc::new(Rotary::plain(10_000.0, KEY_DIM, RopeStyle::Half))
}

pub fn spec(positions: Positions) -> AttnSpec {
    let pos = match positions {
        Positions::Alibi => PosRule::Alibi { slopes: Arc::new([0.5, 0.25, 0.125, 0.0625]), cap: None },
        _ => PosRule::Rope { rotary: rotary(), cap: None },
    };
    AttnSpec { causal: true, pos, ..AttnSpec::new((KEY_DIM as f32).sqrt().recip()) }
}

pub fn config(kv_heads: usize, positions: Positions, store: Store) -> Config {
    Config {
        model: "random decoder".to_owned(),
        layers: LAYERS,
        query_heads: HEADS,
        kv_heads,
        key_dim: KEY_DIM,
        value_dim: VALUE_DIM,
        store,
        rotary: (positions == Positions::Rotated).then(rotary),
        causal: true,
    }
}

/// Every registered policy, none, and one that drops before one that chooses.
pub fn names() -> Vec<&'static str> {
    let all = policy::REGISTRY.iter().map(|(name, _)| *name);
    ["none", "mpcache-static | mpcache"].into_iter().chain(all).collect()
}

pub fn stages(name: &str, budget: usize) -> Vec<Box<dyn CachePolicy>> {
    if name == "none" {
        return Vec::new();
    }
    let settings = Settings { layers: LAYERS, budget, seed: 7 };
    name.split(" | ").map(|name| policy::by_name(name, &settings).expect("a registered policy")).collect()
}

/// The ways in which a policy can be used with positions.
pub fn positions(name: &str) -> Vec<Positions> {
    match stages(name, 8).iter().find_map(|stage| stage.needs().key_form) {
        Some(KeyForm::Raw) => vec![Positions::Raw, Positions::Alibi],
        Some(KeyForm::Rotated) => vec![Positions::Rotated],
        None => vec![Positions::Rotated, Positions::Raw, Positions::Alibi],
    }
}

pub fn cache(name: &str, budget: usize, kv_heads: usize, positions: Positions, store: Store) -> KvCache {
    let policy = Pipeline::new(stages(name, budget)).expect("one stage");
    KvCache::new(config(kv_heads, positions, store), &PagePool::new(16), policy).expect("it suits")
}

/// The largest difference.
pub fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().chain(b).all(|x| x.is_finite()), "a number that is none");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
