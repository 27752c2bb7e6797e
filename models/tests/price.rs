//! Prices of a tiny decoder against what it then takes.
#![cfg(feature = "cpu")]

use burn::tensor::Device;
use kilobase_models::cache::policy::{self, REGISTRY, Settings};
use kilobase_models::cache::{PagePool, Pipeline, Store};
use kilobase_models::checkpoint::Checkpoint;
use kilobase_models::family::Model;
use kilobase_models::family::generator::{Config, Generator};
use kilobase_models::nn::Precision;
use kilobase_models::run::price::{Cost, Pricer, Rates, step_seconds};
use kilobase_models::run::{Long, Reading};
use std::path::Path;

fn model() -> Model {
    model_of(Precision::F32)
}

fn model_of(precision: Precision) -> Model {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/generator-tiny");
    let checkpoint = Checkpoint::open(&directory).expect("a checkpoint");
    Model::load(checkpoint, &Device::flex(), precision).expect("a model")
}

fn parts(model: &Model) -> (&Config, &Generator) {
    let Model::Generator { config, model } = model else { panic!("a decoder") };
    (config, model)
}

fn policy(name: &str, budget: usize) -> Pipeline {
    let settings = Settings { layers: 3, budget, seed: 1 };
    Pipeline::new(vec![policy::by_name(name, &settings).expect("a policy")]).expect("one stage")
}

fn states(model: &Model, reading: &Reading, tokens: usize) -> Cost {
    Pricer::states(model, reading, model.layers()).sequence(tokens)
}

fn same(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-9 * b.abs(), "{a} and {b}");
}

#[test]
fn pairs_are_those_of_the_triangle_however_it_is_cut() {
    let model = model();
    let (config, _) = parts(&model);
    let pair = (4 * config.num_attention_heads * config.head_dim * config.num_hidden_layers) as f64;
    let whole = states(&model, &Reading::exact(1000), 100);
    same(whole.attention_flop, pair * 5050.0);
    assert_eq!(whole.cache_bytes, 0);
    let chunked = states(&model, &Reading::exact(7), 100);
    same(chunked.attention_flop, whole.attention_flop);
    same(chunked.linear_flop, whole.linear_flop);
    same(chunked.tokens, 100.0);
    assert!(chunked.activation_bytes < whole.activation_bytes && chunked.cache_bytes > 0);
    // 41 and 41 tokens of which 20 are read again, and the 38 that are left: 99 without the start token.
    let windows = Reading { context: 41, long: Long::Windows { overlap: 20 }, ..Reading::exact(1000) };
    let windows = states(&model, &windows, 100);
    let [first, last] = [41.0, 40.0];
    same(windows.tokens, 3.0 * first + last);
    same(windows.attention_flop, pair * (3.0 * first * (first + 1.0) + last * (last + 1.0)) / 2.0);
    // Two for each weight of the matrices; norms and the table of embeddings multiply nothing that counts.
    let predicted = Pricer::predictions(&model, &Reading::exact(1000)).sequence(1);
    let (h, kv) = (72, 24);
    same(predicted.linear_flop, 2.0 * f64::from(3 * (h * (2 * 72 + 2 * kv) + 3 * h * 100) + h * 4128));
}

#[test]
fn the_cache_takes_what_was_told() {
    let model = model();
    let (_, network) = parts(&model);
    let (tokens, chunk) = (420, 60);
    let ids: Vec<u32> = (0..tokens as u32).map(|i| 32 + i * 17 % 4096).collect();
    for store in [Store::F32, Store::Int8] {
        let run = |policy: Pipeline| {
            let reading = Reading { context: 10, long: Long::Cache(policy.clone()), store, chunk };
            let told = states(&model, &reading, tokens);
            let mut cache = [network.cache(&PagePool::new(64), policy, store, "").expect("it suits")];
            let mut most = 0;
            for ids in ids.chunks(chunk) {
                network.extend(&mut cache, &[ids]).expect("memory for it");
                most = most.max(cache[0].bytes() as u64);
            }
            (told, most)
        };
        let (full, most) = run(Pipeline::none());
        assert_eq!(full.cache_bytes, most, "{store:?}");
        for (name, _) in REGISTRY {
            let (told, most) = run(policy(name, 80));
            // Between two chunks a layer holds a chunk more than at their ends.
            assert!(told.cache_bytes >= most, "{name} {store:?}: {} told, {most} taken", told.cache_bytes);
            assert!(
                told.cache_bytes <= most + full.cache_bytes / 6,
                "{name} {store:?}: {} told, {most} taken",
                told.cache_bytes
            );
            same(told.linear_flop, full.linear_flop);
            let keeps_all = ["infllm", "infllm2", "hip", "mpcache", "squeezed"].contains(name);
            assert_eq!(told.cache_bytes == full.cache_bytes, keeps_all, "{name} {store:?}");
            // The sums of attention that these ask for are work as well, more than they save of so short a sequence.
            if !["think", "h2o", "kvcrush", "kvcrush-page", "mpcache-static"].contains(name) {
                assert!(told.attention_flop < full.attention_flop, "{name} reads everything");
            }
        }
    }
}

#[test]
fn weights_and_logits_are_in_the_price() {
    let (h, kv, vocabulary, layers) = (72, 24, 4128, 3);
    let matrices = layers * (h * (2 * h + 2 * kv) + 3 * h * 100) + h * vocabulary;
    let others = h * vocabulary + (2 * layers + 1) * h;
    for (precision, bytes) in [(Precision::F32, 4), (Precision::Bf16, 2)] {
        let held = model_of(precision).weight_bytes();
        // The table of embeddings and the factors of norms stay f32 whatever the matrices are rounded to.
        let least = (bytes * matrices + 4 * others) as u64;
        // Panels are filled up: 72 columns to 96, say, and of so many rows.
        assert!((least..2 * least).contains(&held), "{precision:?}: {held} bytes, at least {least}");
    }
    let model = model();
    let reading = Reading::exact(4096);
    let of = |pricer: Pricer<'_>, tokens| pricer.sequence(tokens).activation_bytes;
    let last = |tokens: usize| (tokens * h + tokens.min(256) * (h + vocabulary)) as u64 * 4;
    for tokens in [10, 256, 2000] {
        let (states, predicted) = (
            of(Pricer::states(&model, &reading, layers), tokens),
            of(Pricer::predictions(&model, &reading), tokens),
        );
        assert_eq!(states, model.activation_bytes(tokens));
        assert!(predicted >= last(tokens).max(states), "{tokens} tokens: {predicted}");
        // Two laws of doubles on each thread.
        let laws = 2 * 8 * (vocabulary * rayon::current_num_threads()) as u64;
        assert!(predicted <= (last(tokens) + laws).max(states), "{tokens} tokens: {predicted}");
    }
    let one = Cost { cache_bytes: 5, activation_bytes: 7, sequence_bytes: 11, ..Cost::default() };
    let other = Cost { cache_bytes: 1, activation_bytes: 9, sequence_bytes: 4, ..Cost::default() };
    assert_eq!((one.bytes(), (one + other).bytes()), (23, 5 + 9 + 11));
}

#[test]
fn rates_make_seconds() {
    let model = model();
    let reading = Reading::exact(64);
    let rates = Rates::measure(&model, &reading).expect("rates");
    for rate in [rates.linear, rates.attention] {
        assert!(rate > 1e6 && rate < 1e15, "{rate} operations a second");
    }
    let (one, ten) = (states(&model, &reading, 500), states(&model, &reading, 5000));
    assert!(ten.seconds(&rates) > 10.0 * one.seconds(&rates), "attention grows with the square");
    assert!((one.times(3.0).seconds(&rates) / one.seconds(&rates) - 3.0).abs() < 1e-9);
    let step = step_seconds(parts(&model).1, Store::Bf16, 4).expect("a step");
    assert!(step > 0.0 && step < 10.0);
}
