//! How fast this machine is with this model, measured in a moment.

use super::{Pricer, Shape};
use crate::cache::{self, CacheError, KvCache, PagePool, Pipeline, Store};
use crate::family::Model;
use crate::family::generator::Generator;
use crate::family::values;
use crate::nn::Precision;
use crate::run::reading::PAGE;
use crate::run::{Error, Reading};
use kilobase_data::batch::PackedBatch;
use kilobase_kernels::attention::{AttnSpec, Heads, Sequence, forward};
use std::time::{Duration, Instant};

/// Operations a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Of the loaded weights: the first layer over a few hundred tokens.
    pub linear: f64,
    /// Of attention over a cache of two thousand tokens.
    pub attention: f64,
}

/// Rows of the layer that is timed: enough for the kernels' full speed.
const ROWS: usize = 256;
/// Keys and queries of the attention that is timed.
const KEYS: usize = 2048;
const QUERIES: usize = 128;
/// A measurement is repeated for so long, and the fastest counts.
const PATIENCE: Duration = Duration::from_millis(100);

impl Rates {
    /// Times the model, `reading.chunk` tokens at most at once.
    pub fn measure(model: &Model, reading: &Reading) -> Result<Self, Error> {
        let rows = reading.chunk.clamp(1, ROWS);
        let vocabulary = model.vocab_size().max(1);
        let ids = (0..rows).map(|i| (i * 7 % vocabulary) as u32).collect();
        let batch = PackedBatch::new(ids, None, vec![0, rows]).expect("borders made from the length");
        let seconds = fastest(|| {
            std::hint::black_box(model.state(&batch, 1));
        });
        // The attention of so few tokens is a small part, and as fast as the rest as far as is known here.
        let cost = Pricer::states(model, &Reading::exact(rows), 1).sequence(rows);
        let linear = (cost.linear_flop + cost.attention_flop) / seconds;
        Ok(Self { linear, attention: attention(&Shape::of(model), model.precision(), reading.store)? })
    }
}

fn attention(shape: &Shape, precision: Precision, store: Store) -> Result<f64, Error> {
    let Shape { heads, kv_heads, head_dim: dim, .. } = *shape;
    let config = cache::Config {
        model: String::new(),
        layers: 1,
        query_heads: heads,
        kv_heads,
        key_dim: dim,
        value_dim: dim,
        store,
        rotary: None,
        causal: true,
    };
    let mut cache = KvCache::new(config, &PagePool::new(PAGE), Pipeline::none())?;
    let numbers = |count: usize| -> Vec<f32> { (0..count).map(|i| (i as f32 * 0.37).sin()).collect() };
    let (kv, q) = (numbers(KEYS * kv_heads * dim), numbers(QUERIES * heads * dim));
    let kv = Heads::contiguous(&kv, KEYS, kv_heads, dim);
    let q = Heads::contiguous(&q, QUERIES, heads, dim);
    cache.append(0, kv, kv, &(0..KEYS as u32).collect::<Vec<_>>())?;
    // Every query sees every key.
    let positions: Vec<u32> = (KEYS as u32..).take(QUERIES).collect();
    let spec = AttnSpec { causal: true, precision, ..AttnSpec::new((dim as f32).sqrt().recip()) };
    let (mut out, mut lse) = (vec![0.0; QUERIES * heads * dim], vec![0.0; QUERIES * heads]);
    let sequence = [Sequence { rows: 0..QUERIES, kv: cache.layer(0) }];
    let seconds = fastest(|| forward(q, &positions, &sequence, &spec, None, &mut out, &mut lse));
    Ok((QUERIES * KEYS) as f64 * shape.pair_flop() / seconds)
}

/// Seconds of a step that adds a token to each of `count` sequences, the attention over what they hold not counted. So few rows
/// are as slow as the weights can be read, whatever the operations.
pub fn step_seconds(model: &Generator, store: Store, count: usize) -> Result<f64, Error> {
    let cache = model.cache(&PagePool::new(PAGE), Pipeline::none(), store, "")?;
    let mut caches = vec![cache; count.max(1)];
    let tokens: Vec<&[u32]> = caches.iter().map(|_| &[0][..]).collect();
    let mut outcome: Result<(), CacheError> = Ok(());
    let seconds = fastest(|| {
        let states = model.extend(&mut caches, &tokens);
        match states.map(|states| model.logits(states).map(values)) {
            Ok(logits) => drop(std::hint::black_box(logits)),
            Err(error) => outcome = Err(error),
        }
    });
    outcome?;
    Ok(seconds)
}

/// Seconds of the fastest of several runs, after one to warm up.
fn fastest(mut run: impl FnMut()) -> f64 {
    let begin = Instant::now();
    run();
    let mut fastest = f64::INFINITY;
    loop {
        let start = Instant::now();
        run();
        fastest = fastest.min(start.elapsed().as_secs_f64());
        if begin.elapsed() > PATIENCE {
            return fastest.max(1e-9);
        }
    }
}
