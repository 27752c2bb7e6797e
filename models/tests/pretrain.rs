//! Pretraining on small made-up sequences: what a run leaves, that it goes on with the same bits, and how it ends when it fails.
#![cfg(feature = "cpu")]

use burn::tensor::Device;
use kilobase_models::checkpoint::Precision;
use kilobase_models::train::log::Line;
use kilobase_models::train::pretrain::{self, Setup, Trainer};
use kilobase_models::train::recipe::Recipe;
use kilobase_models::train::{Error, gradient::Keep};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Two records with structure: a motif with changes that look random and are the same each time.
fn fasta() -> String {
    let mut seed = 7_u32;
    let mut next = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 16
    };
    let mut record = |length: usize| -> String {
        let motif = b"ATTGCAACGGATTTACC";
        let mut letter = |n: usize| match next() % 8 {
            0 => b"ACGT"[next() as usize % 4],
            _ => motif[n % 17],
        };
        (0..length).map(|n| char::from(letter(n))).collect()
    };
    format!(">a\n{}\n>b\n{}NNNN{}\n", record(3000), record(500), record(1500))
}

const DECODER: &str = r#"
goal = "causal"
[model]
model_type = "llama"
hidden_size = 16
num_hidden_layers = 2
num_attention_heads = 2
num_key_value_heads = 1
intermediate_size = 24
tie_word_embeddings = true
[tokenizer]
kmer = 3
[[data]]
name = "made"
files = ["in.fa"]
[batch]
window = 96
windows = 6
accumulate = 2
[optimizer]
learning_rate = 5e-3
[schedule]
steps = 12
warmup = 2
[held_out]
share = 0.1
every = 5
markov = 4
[checkpoint]
every = 4
"#;

/// A folder with the input and a recipe.
fn folder(recipe: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("in.fa"), fasta()).expect("written");
    fs::write(folder.path().join("recipe.toml"), recipe).expect("written");
    folder
}

fn setup(folder: &TempDir, seed: u64) -> Result<Setup, Error> {
    Setup::read(Recipe::read(&folder.path().join("recipe.toml"))?, seed)
}

fn open(folder: &TempDir, out: &str) -> Result<Box<dyn Trainer>, Error> {
    pretrain::open(setup(folder, 1)?, &folder.path().join(out), &Device::flex(), false, &mut |_| {})
}

/// Steps up to a number.
fn train(trainer: &mut dyn Trainer, last: u64) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    while trainer.done() < last {
        lines.extend(trainer.step()?);
    }
    Ok(lines)
}

fn losses(lines: &[Line]) -> Vec<f64> {
    lines.iter().filter_map(|line| if let Line::Step(step) = line { Some(step.loss) } else { None }).collect()
}

fn newest(out: &Path) -> PathBuf {
    let names = fs::read_dir(out).expect("a folder").map(|entry| entry.expect("an entry").path());
    names.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("step-")).max().expect("one")
}

/// The files of a checkpoint.
fn content(checkpoint: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = fs::read_dir(checkpoint)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).expect("a file"))
        })
        .collect();
    all.sort();
    all
}

/// A recipe with products in bf16.
fn bf16(recipe: &str) -> String {
    recipe.replace("goal = \"causal\"", "goal = \"causal\"\ncompute = \"bf16\"")
}

#[test]
fn products_in_bf16_train_as_those_in_f32_do() {
    let losses = [DECODER.to_owned(), bf16(DECODER)].map(|recipe| {
        let folder = folder(&recipe);
        losses(&train(&mut *open(&folder, "out").expect("a run"), 12).expect("steps"))
    });
    let [f32, bf16] = &losses;
    assert_ne!(f32, bf16, "they are other numbers");
    for (f32, bf16) in f32.iter().zip(bf16) {
        assert!((f32 - bf16).abs() < 0.02 * f32, "{bf16} in bf16, {f32} in f32");
    }
}

#[test]
fn a_run_that_was_cut_goes_on_with_the_same_bits() {
    let plateau = DECODER.replace("warmup = 2", "warmup = 2\nshape = \"plateau\"\nfactor = 0.7");
    for recipe in [DECODER.to_owned(), plateau, bf16(DECODER)] {
        let folder = folder(&recipe);
        let mut whole = open(&folder, "whole").expect("a run");
        train(&mut *whole, 12).expect("steps");
        // Cut twice: at a checkpoint, and after steps that no checkpoint holds.
        for stop in [4, 7] {
            train(&mut *open(&folder, "cut").expect("a run"), stop).expect("steps");
        }
        let mut cut = open(&folder, "cut").expect("a run");
        assert_eq!(cut.done(), 4, "steps after the last checkpoint are done again");
        train(&mut *cut, 12).expect("steps");
        let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
        let (a, b) = (content(&newest(&whole)), content(&newest(&cut)));
        assert_eq!(a.len(), b.len());
        for ((name, a), (_, b)) in a.iter().zip(&b) {
            assert!(a == b, "{name} differs");
        }
        let log = |out: &Path| {
            let text = fs::read_to_string(out.join("log.jsonl")).expect("a log");
            let strip = |line: &str| {
                let mut line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                line.as_object_mut().expect("an object").remove("seconds");
                line
            };
            text.lines().map(strip).collect::<Vec<_>>()
        };
        assert_eq!(log(&whole), log(&cut));
    }
}

#[test]
fn a_finished_run_is_a_model_that_has_learnt() {
    let folder = folder(&DECODER.replace("steps = 12", "steps = 150").replace("5e-3", "1e-2"));
    let mut run = open(&folder, "out").expect("a run");
    let lines = train(&mut *run, 150).expect("steps");
    let losses = losses(&lines);
    // 96 tokens know nothing at first.
    assert!((losses[0] - 96_f64.ln()).abs() < 0.2, "{}", losses[0]);
    assert!(losses[149] < 0.65 * losses[0], "{losses:?}");
    let report = run.finish(Precision::Bf16).expect("a report");
    let held_out = &report.held_out[0];
    assert!(held_out.bits_per_base < 1.6, "{held_out:?}");
    assert!(held_out.markov_own.expect("counted") < 1.9 && held_out.markov_own == held_out.markov_all);
    assert!(pretrain::is_finished(&folder.path().join("out")));
    let svg = fs::read_to_string(folder.path().join("out/loss.svg")).expect("a picture");
    assert!(svg.contains("made, held out"));
    // Two checkpoints are kept.
    let kept = fs::read_dir(folder.path().join("out")).unwrap();
    assert_eq!(
        kept.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("step-")).count(),
        2
    );
    // Begun anew it is not finished, so that it can be gone on with.
    drop(run);
    let out = folder.path().join("out");
    let setup = setup(&folder, 1).expect("a recipe");
    let run = pretrain::open(setup, &out, &Device::flex(), true, &mut |_| {}).expect("a run");
    assert_eq!((run.done(), pretrain::is_finished(&out)), (0, false));
}

#[test]
fn what_the_backward_pass_keeps_and_how_batches_are_added_changes_rounding_only() {
    let first = |recipe: &str| {
        let folder = folder(recipe);
        let mut run = open(&folder, "out").expect("a run");
        losses(&train(&mut *run, 6).expect("steps"))
    };
    let expected = first(DECODER);
    let keep = serde_json::to_string(&Keep::Layers).unwrap();
    let layers = first(&DECODER.replace("accumulate = 2", &format!("accumulate = 2\nkeep = {keep}")));
    for (a, b) in expected.iter().zip(&layers) {
        assert!((a - b).abs() < 1e-4, "{expected:?} {layers:?}");
    }
}

#[test]
fn goals_of_encoders_and_of_bases_are_learnt() {
    let factorised = DECODER.replace("\"causal\"", "\"factorised\"").replace("steps = 12", "steps = 40");
    let encoder = factorised
        .replace("\"factorised\"", "\"mlm\"")
        .replace(
            "model_type = \"llama\"",
            "alibi_starting_size = 512\ntype_vocab_size = 2\nlayer_norm_eps = 1e-12",
        )
        .replace("num_key_value_heads = 1\n", "")
        .replace("tie_word_embeddings = true\n", "");
    for recipe in [factorised, encoder] {
        let folder = folder(&recipe);
        let mut run = open(&folder, "out").expect("a run");
        let losses = losses(&train(&mut *run, 40).expect("steps"));
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        assert!(mean(&losses[35..]) < 0.9 * losses[0], "{losses:?}");
        run.finish(Precision::F32).expect("a report");
    }
}

#[test]
fn numbers_that_are_none_end_the_run_and_keep_the_checkpoint() {
    let wild = DECODER
        .replace("learning_rate = 5e-3", "learning_rate = 900.0\nclip = 0.0")
        .replace("warmup = 2", "warmup = 0");
    let folder = folder(&wild.replace("steps = 12", "steps = 400").replace("every = 4", "every = 1"));
    let mut run = open(&folder, "out").expect("a run");
    let error = train(&mut *run, 400).expect_err("training diverges");
    let text = error.to_string();
    assert!(matches!(error, Error::NotFinite { .. } | Error::Diverged { .. }), "{text}");
    assert!(
        text.contains("the last good checkpoint is ") && text.contains("a lower learning rate"),
        "{text}"
    );
    drop(run);
    // What is kept can be gone on from.
    let step = open(&folder, "out").expect("a run").done();
    assert!(step < 400);
}

#[test]
fn another_recipe_seed_or_input_is_refused() {
    let folder = folder(DECODER);
    train(&mut *open(&folder, "out").expect("a run"), 4).expect("steps");
    let out = folder.path().join("out");
    let other = |what: &str| {
        let setup = setup(&folder, if what == "seed" { 2 } else { 1 }).expect("a setup");
        let Err(error) = pretrain::open(setup, &out, &Device::flex(), false, &mut |_| {}) else {
            panic!("refused")
        };
        error.to_string()
    };
    assert!(other("seed").contains("another seed (1 in place of 2)"));
    fs::write(folder.path().join("recipe.toml"), DECODER.replace("5e-3", "4e-3")).unwrap();
    assert!(other("recipe").contains("learning_rate 0.005"), "{}", other("recipe"));
    fs::write(folder.path().join("recipe.toml"), DECODER).unwrap();
    fs::write(folder.path().join("in.fa"), fasta().replace("ATTGC", "ATTGG")).unwrap();
    assert!(other("data").contains("another data"), "{}", other("data"));
}

#[test]
fn damaged_checkpoints_are_left_out_and_said() {
    let folder = folder(DECODER);
    train(&mut *open(&folder, "out").expect("a run"), 8).expect("steps");
    let out = folder.path().join("out");
    fs::write(newest(&out).join("training.json"), "{").unwrap();
    let mut said = Vec::new();
    let run =
        pretrain::open(setup(&folder, 1).unwrap(), &out, &Device::flex(), false, &mut |line| said.push(line));
    assert_eq!(run.expect("the one before").done(), 4);
    assert!(said[0].contains("training.json") && said[1].contains("after step 4"), "{said:?}");
}
