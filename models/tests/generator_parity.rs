//! Parity of GENERator with transformers' Llama on tiny random weights.
//!
//! Fixtures as in `dnabert2_parity`. Numbers were made by the original PyTorch code in f32 on a CPU.
#![cfg(feature = "cpu")]
#![allow(clippy::print_stdout, reason = "a test says what it compared and what it skipped")]

mod generator_parity {
    pub(crate) mod gradients;
}
mod parity;

use generator_parity::gradients;
use kilobase_data::batch::PackedBatch;
use kilobase_data::tokenize::{self, Tokenizer};
use kilobase_models::cache::{KvCache, PagePool, Pipeline, Store};
use kilobase_models::checkpoint::Checkpoint;
use kilobase_models::decode::sample::{Rule, Sampler, Sampling, base_marginals, generator};
use kilobase_models::decode::vocabulary::Vocabulary;
use kilobase_models::family::generator::Generator;
use kilobase_models::family::{Model, values};
use kilobase_models::run::kmers::{Kmers, law};
use kilobase_models::run::loss::log_probability;
use kilobase_models::run::score::Scorer;
use kilobase_models::run::variants::author_score;
use kilobase_models::run::{Embedder, Pooling, Reading};
use parity::{Case, Fixture, Report, fixtures, load, rows};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

fn network(model: &Model) -> &Generator {
    let Model::Generator { model, .. } = model else { panic!("a decoder") };
    model
}

/// The last states of one sequence, in chunks over a cache.
fn chunked(network: &Generator, ids: &[u32], chunk: usize) -> (KvCache, Vec<f32>) {
    let cache = network.cache(&PagePool::new(16), Pipeline::none(), Store::F32, "fixture");
    let mut caches = [cache.expect("a cache")];
    let mut states = Vec::new();
    for ids in ids.chunks(chunk) {
        states.extend(values(network.extend(&mut caches, &[ids]).expect("room")));
    }
    let [cache] = caches;
    (cache, states)
}

/// A state and the tokens of each sequence without its padding.
fn unpadded(case: &Case) -> Vec<Vec<u32>> {
    case.batch.sequences().map(<[u32]>::to_vec).collect()
}

fn check_case(fixture: &Fixture, model: &Model, name: &str, input: &Value, report: &mut Report) {
    let network = network(model);
    let case = Case::new(input);
    let width = model.hidden_size();
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
    let logits = values(network.logits(last.clone()).expect("an output matrix"));
    let vocabulary = model.vocab_size();
    for key in fixture.keys().into_iter().filter(|key| key.starts_with(&format!("{name}/logits"))) {
        let (shape, theirs) = fixture.expected(&key).expect("numbers");
        let (columns, first) = (shape[1], case.columns - shape[1]);
        for s in 0..case.at.len() {
            for column in 0..columns {
                let Some(row) = case.row(s, first + column) else { continue };
                let theirs = &theirs[(s * columns + column) * vocabulary..][..vocabulary];
                report.close(
                    &format!("{key} [{s},{column}]"),
                    &logits[row * vocabulary..][..vocabulary],
                    theirs,
                );
            }
        }
        report.compared.push(key);
    }
    let host = values(last);
    for (what, pooling) in [("mean_mask", Pooling::Mean), ("last_token", Pooling::Last)] {
        let key = format!("{name}/{what}");
        let Some((_, theirs)) = fixture.expected(&key) else { continue };
        for (s, span) in case.batch.spans().enumerate() {
            let special = vec![false; span.len()];
            let ours = pooling.pool(&host[span.start * width..span.end * width], width, &special);
            report.close(&format!("{key} [{s}]"), &ours.expect("tokens"), &theirs[s * width..][..width]);
        }
        report.compared.push(key);
    }
    // Over a cache, in any chunks, the same states.
    for (sequence, span) in unpadded(&case).iter().zip(case.batch.spans()) {
        for chunk in [1, 7, sequence.len()] {
            let (_, states) = chunked(network, sequence, chunk);
            let together = &host[span.start * width..span.end * width];
            report.close(&format!("{name} in chunks of {chunk}"), &states, together);
        }
    }
}

fn check_likelihood(fixture: &Fixture, model: &Model, tokenizer: &dyn Tokenizer, report: &mut Report) {
    let Some((_, theirs)) = fixture.expected("loglik/token_logprobs") else { return };
    // The case whose tokens these are: the one of that length.
    let cases = fixture.inputs["cases"].as_object().expect("cases");
    let case = cases.values().find(|case| {
        case["input_ids"]
            .as_array()
            .is_some_and(|r| r.len() == 1 && r[0].as_array().map(Vec::len) == Some(theirs.len() + 1))
    });
    let case = Case::new(case.expect("a case of that length"));
    let sequence = &unpadded(&case)[0];
    let network = network(model);
    let (_, states) = chunked(network, sequence, 5);
    let states = burn::tensor::Tensor::from_data(
        burn::tensor::TensorData::new(states, [sequence.len(), model.hidden_size()]),
        &network.device(),
    );
    let logits = values(network.logits(states).expect("an output matrix"));
    let ours: Vec<f32> = logits
        .chunks_exact(model.vocab_size())
        .zip(&sequence[1..])
        .map(|(row, &next)| log_probability(row, next as usize) as f32)
        .collect();
    report.close("loglik/token_logprobs", &ours, &theirs);
    report.compared.push("loglik/token_logprobs".into());
    let (_, sum) = fixture.expected("loglik/sum").expect("a sum");
    let text = tokenizer.decode(sequence).expect("bases");
    for chunk in [4, 1000] {
        let scorer =
            Scorer { model: network, tokenizer, reading: Reading { context: 1000, ..Reading::exact(chunk) } };
        let scored = scorer.score(&[text.as_bytes()]).expect("a score").remove(0);
        report.loss("loglik/sum", scored.log_likelihood, &sum);
        let track: f64 = scored.track.iter().sum();
        assert!((track - scored.log_likelihood).abs() < 1e-9, "the letters sum to the sequence");
    }
}

fn check_variants(fixture: &Fixture, model: &Model, tokenizer: &dyn Tokenizer, report: &mut Report) {
    let input = &fixture.inputs["cases"]["vep"];
    let input = if input.is_object() { input } else { &fixture.inputs["vep"] };
    let Some((_, marginals)) = fixture.expected("vep/marginals_6x4_ATCG") else { return };
    let ids: Vec<u32> = rows(&input["input_ids"])[0].iter().map(|&id| id as u32).collect();
    let network = network(model);
    let batch = PackedBatch::new(ids.clone(), None, vec![0, ids.len()]).expect("one sequence");
    let state = network.state(&batch, network.layers()).narrow(0, ids.len() - 1, 1);
    let kmers = Kmers::new(tokenizer).expect("k-mers");
    let logits = values(network.logits(state).expect("an output matrix"));
    let law = kmers.law(&law(&logits));
    // Ours are of k-mers alone; in theirs special tokens have their share.
    let share: f64 = law.iter().sum();
    let scores: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
    let ours: Vec<f32> = base_marginals(&scores, &vocabulary(tokenizer))
        .iter()
        .flat_map(|[a, c, g, t]| [a, t, c, g].map(|p| (p * share) as f32))
        .collect();
    report.close("vep/marginals_6x4_ATCG", &ours, &marginals);
    report.compared.push("vep/marginals_6x4_ATCG".into());
    let (_, theirs) = fixture.expected("vep/p_acgt").expect("probabilities");
    let ours: Vec<f32> = b"ACGT".iter().map(|base| kmers.beginnings(&law, &[*base])[0] as f32).collect();
    report.close("vep/p_acgt", &ours, &theirs);
    report.compared.push("vep/p_acgt".into());
    let letter = |name: &str| input[name].as_str().expect("a base").as_bytes()[0];
    let context = input["context"].as_str().expect("text").trim_start_matches("<s>");
    let ours = author_score(network, tokenizer, context.as_bytes(), letter("ref"), &[letter("alt")]);
    let (_, theirs) = fixture.expected("vep/score").expect("a score");
    report.loss("vep/score", ours.expect("a score")[0], &theirs);
}

/// Greedy continuation over a cache; `choose` picks from the logits of a row.
fn generate(
    network: &Generator,
    prompts: &[Vec<u32>],
    tokens: usize,
    choose: impl Fn(&[f32]) -> u32,
) -> Vec<Vec<u32>> {
    let pool = PagePool::new(16);
    let cache = || network.cache(&pool, Pipeline::none(), Store::F32, "fixture").expect("a cache");
    let mut caches: Vec<KvCache> = prompts.iter().map(|_| cache()).collect();
    let mut next: Vec<Vec<u32>> = prompts.to_vec();
    let mut out = vec![Vec::new(); prompts.len()];
    for _ in 0..tokens {
        let rows: Vec<&[u32]> = next.iter().map(Vec::as_slice).collect();
        let states = network.extend(&mut caches, &rows).expect("room");
        let mut end = 0;
        for s in 0..prompts.len() {
            end += next[s].len();
            let logits = network.logits(states.clone().narrow(0, end - 1, 1)).expect("an output matrix");
            out[s].push(choose(&values(logits)));
        }
        next = out.iter().map(|ids| vec![*ids.last().expect("a token")]).collect();
    }
    out
}

fn vocabulary(tokenizer: &dyn Tokenizer) -> Vocabulary {
    Vocabulary::new((0..tokenizer.vocab_size() as u32).map(|id| tokenizer.token(id)))
}

fn check_generation(fixture: &Fixture, model: &Model, tokenizer: &dyn Tokenizer, report: &mut Report) {
    let input = &fixture.inputs["cases"]["generate"];
    let input = if input.is_object() { input } else { &fixture.inputs["generate"] };
    let Some(name) = input["case"].as_str() else { return };
    let prompts = unpadded(&Case::new(&fixture.inputs["cases"][name]));
    let vocabulary = Arc::new(vocabulary(tokenizer));
    let special: Vec<u32> =
        (0..tokenizer.vocab_size() as u32).filter(|&id| vocabulary.bases(id).is_none()).collect();
    for (key, rule, suppress) in [
        ("generate/greedy_ids", Rule::Token, &[][..]),
        ("generate/greedy_suppress_special_ids", Rule::Token, &special),
        ("generate/base_marginal_greedy_ids", Rule::BaseMarginal, &special),
    ] {
        let Some(theirs) = fixture.integers(key) else { continue };
        let sampling = Sampling { temperature: 0.0, rule, ..Sampling::default() };
        let sampler = Sampler::new(sampling, vocabulary.clone(), suppress).expect("settings");
        let choose = |row: &[f32]| sampler.choose(row, None, &mut generator(0, 0)).expect("a token").token;
        let ours = generate(network(model), &prompts, theirs[0].len(), choose);
        assert_eq!(ours, theirs, "{key}");
        report.compared.push(key.into());
    }
}

fn check_classes(fixture: &Fixture, model: &Model, pad: u32, report: &mut Report) {
    let input = &fixture.inputs["cases"]["classify"];
    let input = if input.is_object() { input } else { &fixture.inputs["classify"] };
    let network = network(model);
    let Some((_, pooled)) = fixture.expected("classify/pooled") else { return };
    let case = Case::new(input);
    let states = network.state(&case.batch, network.layers());
    let ends: Vec<_> = case.batch.spans().map(|span| states.clone().narrow(0, span.end - 1, 1)).collect();
    let ends = burn::tensor::Tensor::cat(ends, 0);
    report.close("classify/pooled", &values(ends.clone()), &pooled);
    report.compared.push("classify/pooled".into());
    let columns: Vec<_> =
        unpadded(&case).iter().map(|ids| network.padded_state(ids, pad, case.columns)).collect();
    let columns = burn::tensor::Tensor::cat(columns, 0);
    for (key, states) in [("classify/logits", ends), ("classify/logits_last_column", columns)] {
        let Some(logits) = network.class_logits(states) else { continue };
        report.close(key, &values(logits), &fixture.expected(key).expect("logits").1);
        report.compared.push(key.into());
    }
}

/// The same weights with another configuration of positions.
fn check_yarn(fixture: &Fixture, report: &mut Report) {
    let input = &fixture.inputs["cases"]["yarn"];
    let input = if input.is_object() { input } else { &fixture.inputs["yarn"] };
    let Some((shape, hidden)) = fixture.expected("yarn/hidden.last") else { return };
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let config = fs::read_to_string(fixture.directory.join("config.json")).expect("config.json");
    let mut config: Value = serde_json::from_str(&config).expect("JSON");
    config["rope_scaling"] = input["rope_scaling"].clone();
    fs::write(scratch.path().join("config.json"), config.to_string()).expect("written");
    for entry in fs::read_dir(&fixture.directory).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        if name.starts_with("model") {
            fs::copy(fixture.directory.join(&name), scratch.path().join(&name)).expect("copied");
        }
    }
    let model = load(Checkpoint::open(scratch.path()).expect("a checkpoint"));
    let network = network(&model);
    let case = Case::new(input);
    let states = network.state(&case.batch, network.layers());
    let rows = shape[1];
    report.close("yarn/hidden.last", &values(states.clone()), &hidden);
    report.compared.push("yarn/hidden.last".into());
    let logits = network.logits(states.narrow(0, rows - 3, 3)).expect("an output matrix");
    report.close(
        "yarn/logits_last3",
        &values(logits),
        &fixture.expected("yarn/logits_last3").expect("logits").1,
    );
    report.compared.push("yarn/logits_last3".into());
}

/// From text: the tokens of each case, and pooled rows.
fn check_text(fixture: &Fixture, model: &Model, tokenizer: &dyn Tokenizer, report: &mut Report) {
    for (name, case) in fixture.inputs["cases"].as_object().expect("cases") {
        let Some(sequences) = case["sequences"].as_array() else { continue };
        let texts: Vec<&[u8]> = sequences.iter().map(|s| s.as_str().expect("text").as_bytes()).collect();
        for (pooling, key) in [(Pooling::Mean, "mean_mask"), (Pooling::Last, "last_token")] {
            let Some((_, theirs)) = fixture.expected(&format!("{name}/{key}")) else { continue };
            // Whole, and over a cache that grows by five tokens.
            for chunk in [64, 5] {
                let (layer, reading) = (model.layers(), Reading::exact(chunk));
                let embedder = Embedder { model, tokenizer, layer, pooling, reading, memory_limit: None };
                let ours = embedder.embed(&texts).expect("embeddings");
                for (ours, ids) in ours.iter().zip(unpadded(&Case::new(case))) {
                    assert_eq!(ours.encoding.ids, ids, "{name}");
                }
                let ours: Vec<f32> = ours.into_iter().flat_map(|e| e.rows).collect();
                report.close(&format!("{name}/{key} from text by {chunk}"), &ours, &theirs);
            }
        }
    }
}

#[test]
fn every_case_and_key_agrees_with_the_reference() {
    for directory in fixtures("generator-tiny", |config| config.contains("\"llama\"")) {
        let fixture = Fixture::open(&directory);
        let forms = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"];
        let forms: Vec<_> = forms.into_iter().filter(|weights| directory.join(weights).is_file()).collect();
        assert!(!forms.is_empty(), "{} has no weights", directory.display());
        let tokenizer = tokenize::from_dir(&directory).expect("a tokenizer");
        for weights in forms {
            let mut report = Report::default();
            let open = || fixture.checkpoint(weights);
            gradients::check(&fixture, open(), &*tokenizer, &mut report);
            let classifier = fixture.with_heads(&open());
            let heads = classifier.is_some();
            let model = load(classifier.unwrap_or_else(open));
            for (name, input) in fixture.inputs["cases"].as_object().expect("cases") {
                let states = fixture.keys().iter().any(|key| key.starts_with(&format!("{name}/hidden.0")));
                if states {
                    check_case(&fixture, &model, name, input, &mut report);
                }
            }
            check_text(&fixture, &model, &*tokenizer, &mut report);
            check_likelihood(&fixture, &model, &*tokenizer, &mut report);
            check_variants(&fixture, &model, &*tokenizer, &mut report);
            check_generation(&fixture, &model, &*tokenizer, &mut report);
            check_classes(&fixture, &model, tokenizer.special().pad.expect("a padding token"), &mut report);
            check_yarn(&fixture, &mut report);
            let compared: BTreeSet<String> = report.compared.iter().cloned().collect();
            let left: Vec<String> = fixture.keys().difference(&compared).cloned().collect();
            println!(
                "{}/{weights}: {} keys agree, largest difference {:.1e}; not compared: {left:?}",
                directory.display(),
                compared.len(),
                report.worst
            );
            for key in left {
                let head = !heads && key.starts_with("classify/logits");
                assert!(head, "{key} was not compared");
            }
        }
    }
}
