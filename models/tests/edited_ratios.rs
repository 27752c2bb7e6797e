//! Ratios by edits of the cache against what they stand for.
#![cfg(feature = "cpu")]

use burn::tensor::Device;
use kilobase_data::tokenize::{self, Tokenizer};
use kilobase_models::cache::Store;
use kilobase_models::checkpoint::{CONFIG, Checkpoint, Precision as Stored, write_safetensors};
use kilobase_models::family::generator::{self, Generator};
use kilobase_models::family::{Model, random};
use kilobase_models::nn::Precision;
use kilobase_models::run::Reading;
use kilobase_models::run::score::Scorer;
use kilobase_models::run::variants::{Edit, Pie, Ratio};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::path::{Path, PathBuf};

const K: usize = 6;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/generator-tiny")
}

/// The fixture's sizes with so many layers, and random weights.
fn model(layers: usize) -> (Model, Box<dyn Tokenizer>) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = std::fs::read_to_string(fixture().join(CONFIG)).expect("a configuration");
    let mut config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    config["num_hidden_layers"] = layers.into();
    let sizes = generator::Config::from_json(&config).expect("sizes");
    let tensors = random(generator::expected(&sizes, 0, |_| false), 3);
    write_safetensors(&folder.path().join("model.safetensors"), tensors, Stored::F32).expect("written");
    std::fs::write(folder.path().join(CONFIG), config.to_string()).expect("written");
    let checkpoint = Checkpoint::open(folder.path()).expect("a checkpoint");
    let model = Model::load(checkpoint, &Device::flex(), Precision::F32).expect("a model");
    (model, tokenize::from_dir(fixture()).expect("a tokenizer"))
}

fn network(model: &Model) -> &Generator {
    let Model::Generator { model, .. } = model else { panic!("a decoder") };
    model
}

fn dna(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| b"ACGT"[rng.random_range(0..4)]).collect()
}

/// A substitution, and an insertion and a deletion of two whole tokens, all in token 20 of the sequence.
fn edits(sequence: &[u8], right: usize) -> Vec<Edit> {
    let at = 20 * K + 2;
    let other = if sequence[at] == b'A' { b'C' } else { b'A' };
    vec![
        Edit { at, length: 1, alternate: vec![other], right },
        Edit { at, length: 1, alternate: [&sequence[at..=at], &dna(2 * K, 5)[..]].concat(), right },
        Edit { at, length: 2 * K + 1, alternate: sequence[at..=at].to_vec(), right },
    ]
}

#[test]
fn in_one_layer_every_prediction_over_an_edited_cache_is_that_of_the_changed_sequence() {
    let (model, tokenizer) = model(1);
    for store in [Store::F32, Store::Bf16] {
        let reading = Reading { store, ..Reading::exact(64) };
        let scorer = Scorer { model: network(&model), tokenizer: &*tokenizer, reading };
        let (sequence, right) = (dna(K * 140 + 4, 1), K * 90);
        let edits = edits(&sequence, right);
        let (refresh, stride) = (3, 5);
        let ratios = scorer.edited_ratios(&sequence, &edits, Pie { refresh, stride }).expect("ratios");
        for (edit, ratio) in edits.iter().zip(&ratios) {
            assert!(!ratio.is_exact() && ratio.run < ratio.own / 2, "{ratio:?}");
            let after = edit.at + edit.length;
            let end = sequence.len().min(after + right);
            let changed = [&sequence[..edit.at], &edit.alternate, &sequence[after..end]].concat();
            let track = |text: &[u8]| scorer.score(&[text]).expect("a score").remove(0).track;
            let (own, other) = (track(&sequence[..end]), track(&changed));
            let token = |track: &[f64], token: usize| -> f64 {
                track[token * K..track.len().min((token + 1) * K)].iter().sum()
            };
            let (tokens, own_tokens) = (changed.len().div_ceil(K), end.div_ceil(K));
            let shift = tokens as i64 - own_tokens as i64;
            // What is new or different starts in token `first`, which may not be 20 where bases repeat; then 3 tokens more.
            let first = ratio.shared - 1;
            let same = (0..tokens.min(own_tokens) - first)
                .take_while(|back| {
                    let of = |text: &[u8], tokens: usize| {
                        let token = tokens - 1 - back;
                        text[token * K..text.len().min((token + 1) * K)].to_vec()
                    };
                    of(&changed, tokens) == of(&sequence[..end], own_tokens)
                })
                .count();
            let exact = tokens - same + refresh;
            let moved = |token: usize| (token as i64 - shift) as usize;
            let mut expected = (first..=exact).map(|t| token(&other, t)).sum::<f64>()
                - (first..=moved(exact)).map(|t| token(&own, t)).sum::<f64>();
            for group in (exact + 1..tokens).collect::<Vec<_>>().chunks(stride) {
                let at = group[group.len() / 2];
                expected += group.len() as f64 * (token(&other, at) - token(&own, moved(at)));
            }
            let tolerance = if store == Store::F32 { 1e-5 } else { 5e-4 };
            assert!(
                (ratio.log_ratio - expected).abs() < tolerance,
                "{store:?}: {} and {expected}",
                ratio.log_ratio
            );
        }
    }
}

#[test]
fn what_leaves_little_as_it_was_is_exact() {
    let (model, tokenizer) = model(3);
    let scorer = Scorer { model: network(&model), tokenizer: &*tokenizer, reading: Reading::exact(64) };
    let sequence = dna(K * 100, 2);
    let right = K * 60;
    let mut all = edits(&sequence, right);
    let at = 30 * K;
    // Another frame; the last tokens; nothing after.
    all.push(Edit { at, length: 1, alternate: b"ACG".to_vec(), right });
    all.push(Edit { at: sequence.len() - 20, length: 1, alternate: b"T".to_vec(), right });
    all.push(Edit { at, length: 2, alternate: b"CC".to_vec(), right: 0 });
    let exact = scorer.ratios(&sequence, &all).expect("ratios");
    let edited = scorer.edited_ratios(&sequence, &all, Pie { refresh: 8, stride: 4 }).expect("ratios");
    let which: Vec<bool> = edited.iter().map(Ratio::is_exact).collect();
    assert_eq!(which, [false, false, false, true, true, true]);
    for (a, b) in exact.iter().zip(&edited) {
        assert!(a.is_exact() && (a.own, a.shared) == (b.own, b.shared));
        assert!(!b.is_exact() || (a.log_ratio - b.log_ratio).abs() < 1e-3, "{a:?} {b:?}");
    }
    let everything = scorer.edited_ratios(&sequence, &all, Pie { refresh: 1000, stride: 4 }).expect("ratios");
    assert!(everything.iter().all(Ratio::is_exact));
    assert!(scorer.edited_ratios(&sequence, &[], Pie { refresh: 1, stride: 1 }).expect("none").is_empty());
}
