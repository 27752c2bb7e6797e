//! Parity with the reference implementation on tiny random weights.
//!
//! Runs over the project's own copy of the fixture, over the shared one where it exists, and over every directory
//! named in `KILOBASE_EXTRA_FIXTURES` (separated by colons) that has the same layout: `config.json`, weights,
//! `inputs.json` (cases), `expected.safetensors` (keys `case/what`) and, if there are heads, `heads.safetensors`.
//! Numbers were made by the original PyTorch code in f32 on a CPU.
#![cfg(feature = "cpu")]
#![allow(clippy::print_stdout, reason = "a test says what it compared and what it skipped")]

mod dnabert2_parity {
    pub(crate) mod gradients;
}

use burn::tensor::Device;
use dnabert2_parity::gradients;
use kilobase_data::batch::PackedBatch;
use kilobase_data::tokenize;
use kilobase_models::checkpoint::{Checkpoint, Precision, write_safetensors};
use kilobase_models::family::{Model, dnabert2, values};
use kilobase_models::run::loss::{Counted, cross_entropy};
use kilobase_models::run::{Embedder, Pooling, mlm};
use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The fixture states f32 against f64 at 3e-6; these are its stated tolerances for states and logits.
const ABSOLUTE: f64 = 2e-4;
const RELATIVE: f64 = 1e-4;
/// Losses.
const LOSS: f64 = 1e-5;

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut directories = vec![root.join("tests/fixtures/dnabert2-tiny")];
    let shared = root.join("../shared/fixtures/dnabert2-tiny");
    if shared.is_dir() {
        directories.push(shared);
    } else {
        println!("SKIPPED: no shared fixtures beside the project; its own copy is tested");
    }
    if let Ok(extra) = std::env::var("KILOBASE_EXTRA_FIXTURES") {
        for directory in extra.split(':').filter(|d| !d.is_empty()).map(PathBuf::from) {
            let config = fs::read_to_string(directory.join("config.json"))
                .unwrap_or_else(|e| panic!("KILOBASE_EXTRA_FIXTURES: {}: {e}", directory.display()));
            if config.contains("alibi_starting_size") {
                directories.push(directory);
            } else {
                println!("SKIPPED: {} is not of the DNABERT-2 family", directory.display());
            }
        }
    }
    directories
}

struct Fixture {
    directory: PathBuf,
    inputs: Value,
    expected: Vec<u8>,
}

impl Fixture {
    fn open(directory: &Path) -> Self {
        let read = |name: &str| {
            fs::read(directory.join(name)).unwrap_or_else(|e| panic!("{}/{name}: {e}", directory.display()))
        };
        Self {
            directory: directory.into(),
            inputs: serde_json::from_slice(&read("inputs.json")).expect("inputs.json is JSON"),
            expected: read("expected.safetensors"),
        }
    }

    fn keys(&self) -> BTreeSet<String> {
        let expected = SafeTensors::deserialize(&self.expected).expect("expected.safetensors");
        expected.names().into_iter().map(String::from).collect()
    }

    fn expected(&self, key: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        let expected = SafeTensors::deserialize(&self.expected).expect("expected.safetensors");
        let tensor = expected.tensor(key).ok()?;
        assert_eq!(tensor.dtype(), safetensors::Dtype::F32, "{key}");
        let floats = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Some((tensor.shape().to_vec(), floats.collect()))
    }

    /// The checkpoint of one of the two formats as it stands.
    fn checkpoint(&self, weights: &str) -> Checkpoint {
        if weights.ends_with(".index.json") {
            return Checkpoint::open(&self.directory).expect("a checkpoint of shards");
        }
        let scratch = tempfile::tempdir().expect("a temporary folder");
        for name in ["config.json", weights] {
            fs::copy(self.directory.join(name), scratch.path().join(name)).expect("copied");
        }
        // The files are mapped or open: on Unix they outlive their folder.
        Checkpoint::open(scratch.path()).expect("a checkpoint")
    }

    /// The same with pooler and classifier, which lie in a file of their own, as two shards of one checkpoint.
    fn with_heads(&self, weights: &Checkpoint) -> Option<Checkpoint> {
        let heads = fs::read(self.directory.join("heads.safetensors")).ok()?;
        let scratch = tempfile::tempdir().expect("a temporary folder");
        fs::copy(self.directory.join("config.json"), scratch.path().join("config.json")).expect("copied");
        let tensors = weights.weights();
        let read = |name: &str| {
            let shape = tensors.shape(name).expect("a shape").to_vec();
            (name.to_owned(), shape, tensors.read_f32(name).expect("values"))
        };
        let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
        write_safetensors(&scratch.path().join(first), tensors.names().map(read), Precision::F32)
            .expect("written");
        fs::write(scratch.path().join(second), &heads).expect("written");
        let heads = SafeTensors::deserialize(&heads).expect("heads.safetensors");
        let names = tensors.names().map(|name| (name.to_owned(), Value::from(first)));
        let names = names.chain(heads.names().into_iter().map(|name| (name.to_owned(), Value::from(second))));
        let index = serde_json::json!({ "metadata": {}, "weight_map": Value::Object(names.collect()) });
        fs::write(scratch.path().join("model.safetensors.index.json"), index.to_string()).expect("written");
        Some(Checkpoint::open(scratch.path()).expect("a checkpoint of two shards"))
    }
}

fn load(checkpoint: Checkpoint) -> Model {
    Model::load(checkpoint, &Device::flex(), kilobase_models::nn::Precision::F32).expect("a model")
}

fn numbers(value: &Value) -> Vec<i64> {
    value.as_array().expect("an array").iter().map(|v| v.as_i64().expect("an integer")).collect()
}

fn rows(value: &Value) -> Vec<Vec<i64>> {
    value.as_array().expect("an array").iter().map(numbers).collect()
}

/// One case, packed: `at[s]` are the columns of the padded matrix that sequence `s` occupies.
struct Case {
    batch: PackedBatch,
    columns: usize,
    at: Vec<Vec<usize>>,
    special: Vec<Vec<bool>>,
}

impl Case {
    fn new(case: &Value) -> Self {
        let ids = rows(&case["input_ids"]);
        let mask = rows(&case["attention_mask"]);
        let types = case.get("token_type_ids").map(rows);
        let mut batch = PackedBatch::new(vec![], None, vec![0]).expect("an empty batch");
        let (mut at, mut special) = (Vec::new(), Vec::new());
        for (row, (ids, mask)) in ids.iter().zip(&mask).enumerate() {
            let real: Vec<usize> = (0..ids.len()).filter(|&c| mask[c] != 0).collect();
            let pick = |values: &[i64]| -> Vec<u32> { real.iter().map(|&c| values[c] as u32).collect() };
            let types = types.as_ref().map(|types| pick(&types[row]));
            batch.push(&pick(ids), types.as_deref()).expect("one type a token");
            // [CLS] and [SEP] of the DNABERT-2 vocabulary.
            special.push(real.iter().map(|&c| ids[c] == 1 || ids[c] == 2).collect());
            at.push(real);
        }
        Self { batch, columns: ids[0].len(), at, special }
    }

    /// Row of the packed batch for a column of sequence `s`, if it is a real token.
    fn row(&self, s: usize, column: usize) -> Option<usize> {
        self.at[s].iter().position(|&c| c == column).map(|i| self.batch.cu_seqlens()[s] + i)
    }
}

#[derive(Default)]
struct Report {
    compared: Vec<String>,
    worst: f64,
}

impl Report {
    fn close(&mut self, what: &str, ours: &[f32], theirs: &[f32]) {
        assert_eq!(ours.len(), theirs.len(), "{what}: other shape");
        assert!(!ours.is_empty(), "{what}: nothing compared");
        for (i, (&a, &b)) in ours.iter().zip(theirs).enumerate() {
            let (a, b) = (f64::from(a), f64::from(b));
            let allowed = ABSOLUTE + RELATIVE * b.abs();
            assert!((a - b).abs() <= allowed, "{what}[{i}]: {a} instead of {b}");
            self.worst = self.worst.max((a - b).abs());
        }
    }

    fn loss(&mut self, key: &str, ours: f64, theirs: &[f32]) {
        let theirs = f64::from(theirs[0]);
        assert!((ours - theirs).abs() <= LOSS * theirs.abs().max(1.0), "{key}: {ours} instead of {theirs}");
        self.compared.push(key.into());
    }
}

fn check_case(fixture: &Fixture, model: &Model, name: &str, input: &Value, report: &mut Report) {
    let Model::DnaBert2 { model: network, .. } = model;
    let case = Case::new(input);
    let width = network.hidden_size();
    let mut states = Vec::new();
    network.states(&case.batch, network.layers(), |_, state| states.push(state));
    let last = states.last().expect("a state").clone();
    for (layer, state) in states.iter().enumerate() {
        let key = format!("{name}/hidden.{layer}");
        let Some((shape, theirs)) = fixture.expected(&key) else { continue };
        assert_eq!(shape, [case.at.len(), case.columns, width], "{key}");
        let ours = values(state.clone());
        for s in 0..case.at.len() {
            for &column in &case.at[s] {
                let row = case.row(s, column).expect("a real token");
                let theirs = &theirs[(s * case.columns + column) * width..][..width];
                report.close(&format!("{key} [{s},{column}]"), &ours[row * width..][..width], theirs);
            }
        }
        report.compared.push(key);
    }
    // `logits` hold the first columns, or all; `logits_firstN` and `logits_lastN` say so in their name.
    for key in fixture.keys().into_iter().filter(|key| key.starts_with(&format!("{name}/logits"))) {
        let Some((shape, theirs)) = fixture.expected(&key) else { continue };
        let (columns, vocabulary) = (shape[1], shape[2]);
        let first = if key.contains("logits_last") { case.columns - columns } else { 0 };
        for s in 0..case.at.len() {
            for column in 0..columns {
                let Some(row) = case.row(s, first + column) else { continue };
                let ours = network.mlm_logits(&last, &[row]).expect("an MLM head");
                let theirs = &theirs[(s * columns + column) * vocabulary..][..vocabulary];
                report.close(&format!("{key} [{s},{column}]"), &values(ours), theirs);
            }
        }
        report.compared.push(key);
    }
    let host = values(last.clone());
    for (what, pooling) in [
        ("mean_mask", Pooling::Mean),
        ("mean_nospecial", Pooling::MeanNoSpecial),
        ("max_mask", Pooling::Max),
        ("cls", Pooling::Cls),
    ] {
        let key = format!("{name}/{what}");
        let Some((_, theirs)) = fixture.expected(&key) else { continue };
        for (s, span) in case.batch.cu_seqlens().windows(2).enumerate() {
            let ours = pooling.pool(&host[span[0] * width..span[1] * width], width, &case.special[s]);
            report.close(&format!("{key} [{s}]"), &ours.expect("tokens"), &theirs[s * width..][..width]);
        }
        report.compared.push(key);
    }
    if let Some(pooled) = network.pooled(&last, &case.batch) {
        let key = format!("{name}/pooler");
        if let Some((_, theirs)) = fixture.expected(&key) {
            report.close(&key, &values(pooled), &theirs);
            report.compared.push(key);
        }
    }
    if let Some(logits) = network.class_logits(&last, &case.batch) {
        let key = format!("{name}/class_logits");
        if let Some((_, theirs)) = fixture.expected(&key) {
            report.close(&key, &values(logits), &theirs);
            report.compared.push(key);
        }
    }
    batch_equals_single(network, &case, &host, name, report);
}

/// A sequence gives the same states alone as among others.
fn batch_equals_single(
    network: &dnabert2::DnaBert2,
    case: &Case,
    together: &[f32],
    name: &str,
    report: &mut Report,
) {
    let width = network.hidden_size();
    for (s, span) in case.batch.cu_seqlens().windows(2).enumerate().filter(|_| case.at.len() > 1) {
        let ids = case.batch.ids()[span[0]..span[1]].to_vec();
        let alone = PackedBatch::new(ids, None, vec![0, span[1] - span[0]]).expect("one sequence");
        let alone = values(network.state(&alone, network.layers()));
        let together = &together[span[0] * width..span[1] * width];
        report.close(&format!("{name}: sequence {s} alone"), &alone, together);
        let worst = alone.iter().zip(together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-5, "{name}: sequence {s} alone differs by {worst:e}");
    }
}

fn check_losses(fixture: &Fixture, model: &Model, report: &mut Report) {
    let Model::DnaBert2 { model: network, .. } = model;
    let cases = &fixture.inputs["cases"];
    let mlm_input = fixture.inputs.get("mlm").unwrap_or(&cases["mlm"]);
    if mlm_input.is_object() {
        let case = Case::new(mlm_input);
        let last = network.state(&case.batch, network.layers());
        for (key, counted) in
            [("mlm/loss", Counted::AboveZero), ("mlm/loss_including_label0", Counted::NotIgnored)]
        {
            let Some((_, theirs)) = fixture.expected(key) else { continue };
            let (mut positions, mut labels) = (Vec::new(), Vec::new());
            for (s, row) in rows(&mlm_input["labels"]).iter().enumerate() {
                for (column, &label) in row.iter().enumerate().filter(|(_, label)| counted.counts(**label)) {
                    positions.push(case.row(s, column).expect("labels stand on real tokens"));
                    labels.push(label as usize);
                }
            }
            let logits = values(network.mlm_logits(&last, &positions).expect("an MLM head"));
            let loss = cross_entropy(&logits, model.vocab_size(), &labels).expect("labels");
            report.loss(key, loss, &theirs);
        }
    }
    let classify = fixture.inputs.get("classify").unwrap_or(&cases["classify"]);
    if let (Some((_, theirs)), Some(name)) = (fixture.expected("classify/loss"), classify["case"].as_str()) {
        let case = Case::new(&cases[name]);
        let last = network.state(&case.batch, network.layers());
        if let Some(logits) = network.class_logits(&last, &case.batch) {
            let labels: Vec<usize> = numbers(&classify["labels"]).iter().map(|&l| l as usize).collect();
            let classes = logits.dims()[1];
            let loss = cross_entropy(&values(logits), classes, &labels).expect("labels");
            report.loss("classify/loss", loss, &theirs);
        }
    }
}

/// From text: what the tokenizer makes of each case's sequences, and the pseudo-log-likelihood.
fn check_text(fixture: &Fixture, model: &Model, report: &mut Report) {
    if !fixture.directory.join("tokenizer.json").is_file() {
        println!("SKIPPED: {} has no tokenizer.json: ids are taken as given", fixture.directory.display());
        return;
    }
    let tokenizer = tokenize::from_dir(&fixture.directory).expect("a tokenizer");
    let cases = &fixture.inputs["cases"];
    for (name, case) in cases.as_object().expect("cases") {
        let Some(sequences) = case["sequences"].as_array().filter(|s| s.iter().all(Value::is_string)) else {
            continue;
        };
        let texts: Vec<&[u8]> = sequences.iter().map(|s| s.as_str().expect("text").as_bytes()).collect();
        let Some((_, theirs)) = fixture.expected(&format!("{name}/mean_mask")) else { continue };
        let embedder = Embedder {
            model,
            tokenizer: &*tokenizer,
            layer: model.layers(),
            pooling: Pooling::Mean,
            batch_tokens: 64,
            memory_limit: None,
        };
        let ours = embedder.embed(&texts).expect("embeddings");
        let packed = Case::new(case);
        for (s, span) in packed.batch.cu_seqlens().windows(2).enumerate() {
            assert_eq!(ours[s].encoding.ids, packed.batch.ids()[span[0]..span[1]], "{name} [{s}]");
        }
        let ours: Vec<f32> = ours.into_iter().flat_map(|e| e.rows).collect();
        report.close(&format!("{name}/mean_mask from text"), &ours, &theirs);
    }
    let pll = fixture.inputs.get("pll").unwrap_or(&cases["pll"]);
    let mask = tokenizer.special().mask.expect("a mask token");
    let mut score = 0.0;
    for (allele, sign) in [("ref", -1.0), ("alt", 1.0)] {
        let Some((_, theirs)) = fixture.expected(&format!("pll/{allele}")) else { return };
        let encoding =
            tokenizer.encode(pll[allele].as_str().expect("text").as_bytes(), true).expect("tokens");
        let positions: Vec<usize> = (0..encoding.ids.len()).filter(|&i| !encoding.special[i]).collect();
        let ours = mlm::pseudo_log_likelihood(model, &encoding.ids, &positions, mask, 64).expect("a head");
        report.loss(&format!("pll/{allele}"), ours, &theirs);
        score += sign * ours;
    }
    if let Some((_, theirs)) = fixture.expected("pll/score_alt_minus_ref") {
        // A difference of two sums of about 160 nats, each given in f32.
        assert!((score - f64::from(theirs[0])).abs() < 1e-4, "pll score {score} instead of {}", theirs[0]);
        report.compared.push("pll/score_alt_minus_ref".into());
    }
}

#[test]
fn every_case_and_key_agrees_with_the_reference() {
    for directory in fixtures() {
        let fixture = Fixture::open(&directory);
        let tokenizer = directory.join("tokenizer.json").is_file();
        let forms = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];
        let forms: Vec<_> = forms.into_iter().filter(|weights| directory.join(weights).is_file()).collect();
        assert!(!forms.is_empty(), "{} has no weights", directory.display());
        for weights in forms {
            let open = |heads: bool| {
                let base = fixture.checkpoint(weights);
                if heads { fixture.with_heads(&base) } else { Some(base) }
            };
            let heads = open(true).is_some();
            for complete in [true, false] {
                let Some(checkpoint) = open(complete) else { continue };
                let mut report = Report::default();
                gradients::check(&fixture, open(complete).expect("opened just now"), &mut report);
                let model = load(checkpoint);
                let Model::DnaBert2 { model: network, .. } = &model;
                for (name, input) in fixture.inputs["cases"].as_object().expect("cases") {
                    if input.get("attention_mask").is_some() && input.get("labels").is_none() {
                        check_case(&fixture, &model, name, input, &mut report);
                    }
                }
                check_losses(&fixture, &model, &mut report);
                check_text(&fixture, &model, &mut report);
                let compared: BTreeSet<String> = report.compared.iter().cloned().collect();
                let left: Vec<String> = fixture.keys().difference(&compared).cloned().collect();
                println!(
                    "{}/{weights}: {} keys agree, largest difference {:.1e}; not compared: {left:?}",
                    directory.display(),
                    compared.len(),
                    report.worst
                );
                // What may be left: optimiser steps (training), heads where there are none, and the
                // pseudo-log-likelihood where the directory has no tokenizer.
                for key in left {
                    let training = key.contains("/adamw");
                    let head = !(heads && network.has_pooler())
                        && ["/pooler", "/class_logits", "classify/"].iter().any(|part| key.contains(part));
                    let text = !tokenizer && key.starts_with("pll/");
                    assert!(training || head || text, "{key} was not compared");
                }
            }
        }
    }
}
