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
mod parity;

use dnabert2_parity::gradients;
use kilobase_data::batch::PackedBatch;
use kilobase_data::tokenize;
use kilobase_models::family::{Model, dnabert2, values};
use kilobase_models::run::loss::{Counted, cross_entropy};
use kilobase_models::run::{Embedder, Pooling, Reading, mlm};
use parity::{Case, Fixture, Report, fixtures, load, numbers, rows};
use serde_json::Value;
use std::collections::BTreeSet;

fn check_case(fixture: &Fixture, model: &Model, name: &str, input: &Value, report: &mut Report) {
    let Model::DnaBert2 { model: network, .. } = model else { panic!("an encoder") };
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
    let Model::DnaBert2 { model: network, .. } = model else { panic!("an encoder") };
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
            reading: Reading::exact(64),
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
    for directory in fixtures("dnabert2-tiny", |config| config.contains("alibi_starting_size")) {
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
                let Model::DnaBert2 { model: network, .. } = &model else { panic!("an encoder") };
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
                // What may be left: heads where there are none, and the pseudo-log-likelihood where the directory has no
                // tokenizer.
                for key in left {
                    let head = !(heads && network.has_pooler())
                        && ["/pooler", "/class_logits", "classify/"].iter().any(|part| key.contains(part));
                    let text = !tokenizer && key.starts_with("pll/");
                    assert!(head || text, "{key} was not compared");
                }
            }
        }
    }
}
