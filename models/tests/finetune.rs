//! Fine-tuning on small made-up sequences: gradients and a step against what they are by hand, runs that are cut and go on with the
//! same bits, and how they end when they fail.
#![cfg(feature = "cpu")]

use burn::tensor::Device;
use kilobase_data::batch::PackedBatch;
use kilobase_models::checkpoint::{Checkpoint, Precision, Weights, write_safetensors};
use kilobase_models::family::dnabert2::DnaBert2;
use kilobase_models::family::generator::Generator;
use kilobase_models::family::values;
use kilobase_models::nn;
use kilobase_models::run::predict::task::{Scale, Task};
use kilobase_models::train::finetune::{self, Job, Labelled, Outcome, Progress, Settings, Trainer};
use kilobase_models::train::gradient::{answers, supervised};
use kilobase_models::train::lora::Lora;
use kilobase_models::train::metrics::{Criterion, Metrics};
use kilobase_models::train::recipe::{Compute, OptimizerRecipe};
use kilobase_models::train::schedule::Shape;
use kilobase_models::train::{Error, Network, Parameters, Targets};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ENCODER: &str = "dnabert2-tiny";
const DECODER: &str = "generator-tiny";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

/// Numbers that look random and are the same each time.
fn numbers(seed: u32) -> impl FnMut() -> u32 {
    let mut seed = seed;
    move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 8
    }
}

/// Sequences of 3 to 9 tokens; the first one says what is asked: which half of the vocabulary it is of, or where in it.
fn labelled(count: usize, seed: u32, classes: bool) -> Labelled {
    let mut next = numbers(seed);
    let ids: Vec<Vec<u32>> =
        (0..count).map(|_| (0..3 + next() % 7).map(|_| 40 + next() % 4000).collect()).collect();
    let targets = if classes {
        Targets::Classes(ids.iter().map(|ids| usize::from(ids[0] > 2040)).collect())
    } else {
        Targets::Values(ids.iter().map(|ids| 100.0 + f64::from(ids[0]) / 100.0).collect())
    };
    Labelled { ids, targets }
}

fn settings() -> Settings {
    Settings {
        compute: Compute::F32,
        optimizer: OptimizerRecipe {
            learning_rate: 1e-3,
            betas: [0.9, 0.999],
            weight_decay: 0.01,
            clip: 0.0,
            ..OptimizerRecipe::default()
        },
        shape: Shape::Linear,
        warmup: 0,
        epochs: 3,
        max_steps: 0,
        batch: 8,
        every: 0,
        best_by: Criterion::Loss,
        patience: 0,
        lora: None,
        seed: 1,
        save_every: 0,
    }
}

fn job(classes: bool, settings: Settings) -> Job {
    let train = labelled(30, 1, classes);
    let task = match &train.targets {
        Targets::Classes(_) => Task::Classes(vec!["low".into(), "high".into()]),
        Targets::Values(values) => Task::Value(Scale::of(values).expect("values that differ")),
    };
    let files = vec![("vocab.txt".to_owned(), b"a\n".to_vec())];
    let facts = serde_json::Map::new();
    let dev = labelled(12, 2, classes);
    Job { name: "tiny".into(), task, max_tokens: None, train, dev, settings, files, facts }
}

fn open(start: &str, job: Job, folder: &Path) -> Result<Box<dyn Trainer>, Error> {
    let checkpoint = Checkpoint::open(&fixture(start)).expect("a checkpoint");
    finetune::open(checkpoint, job, folder, &Device::flex(), false, &mut |_| {})
}

/// Steps up to a number, or the end.
fn train(trainer: &mut dyn Trainer, last: u64) -> Result<Vec<Progress>, Error> {
    let mut all = Vec::new();
    while !trainer.is_over() && trainer.done() < last {
        all.push(trainer.step()?);
    }
    Ok(all)
}

fn batch(ids: &[Vec<u32>]) -> PackedBatch {
    let mut batch = PackedBatch::default();
    for ids in ids {
        batch.push(ids, None).expect("no types");
    }
    batch
}

/// A checkpoint with a head of one number, and small weights below it, so that differences stand out of rounding.
fn with_head(start: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let checkpoint = Checkpoint::open(&fixture(start)).expect("a checkpoint");
    let mut config = checkpoint.config().clone();
    let hidden = config["hidden_size"].as_u64().expect("a size") as usize;
    Task::Value(Scale::NONE).write(config.as_object_mut().expect("an object"));
    let head: &[(&str, Vec<usize>)] = if start == ENCODER {
        &[
            ("bert.pooler.dense.weight", vec![hidden, hidden]),
            ("bert.pooler.dense.bias", vec![hidden]),
            ("classifier.weight", vec![1, hidden]),
            ("classifier.bias", vec![1]),
        ]
    } else {
        &[("score.weight", vec![1, hidden])]
    };
    let weights = checkpoint.weights();
    let mut tensors: Vec<(String, Vec<usize>, Vec<f32>)> = weights
        .names()
        .map(|name| (name.to_owned(), weights.shape(name).unwrap().to_vec(), weights.read_f32(name).unwrap()))
        .collect();
    let mut next = numbers(3);
    for (name, shape) in head {
        let mut draw = || (next() % 2001) as f32 / 1000.0 - 1.0;
        let count = shape.iter().product();
        let values = (0..count).map(|_| draw() * 2.0 / (hidden as f32).sqrt()).collect();
        tensors.push(((*name).to_owned(), shape.clone(), values));
    }
    fs::write(folder.path().join("config.json"), config.to_string()).expect("written");
    write_safetensors(&folder.path().join("model.safetensors"), tensors, Precision::F32).expect("written");
    folder
}

fn network<N: Network>(folder: &Path, device: &Device) -> N {
    N::open(Checkpoint::open(folder).expect("a checkpoint"), device, nn::Precision::F32).expect("a model")
}

/// The mean square error by its definition.
fn mse(answers: &[f32], values: &[f64]) -> f64 {
    let squares = answers.iter().zip(values).map(|(a, t)| (f64::from(*a) - t).powi(2));
    squares.sum::<f64>() / values.len() as f64
}

fn check_differences<N: Network>(start: &str) {
    let folder = with_head(start);
    let network: N = network(folder.path(), &Device::flex().autodiff());
    let ids = labelled(4, 5, false).ids;
    let batch = batch(&ids);
    let values = vec![0.4, -1.3, 2.0, 0.0];
    let weights = Parameters::of(&network);
    let mut gradients = weights.zeros();
    let loss = supervised(&network, &batch, &Targets::Values(values.clone()), &mut gradients);
    let plain = network.valid();
    assert!((loss - mse(&answers(&plain, &batch), &values)).abs() < 1e-5 * loss, "{loss}");
    let mut compared = 0;
    for (name, named) in gradients.iter() {
        // Where it is largest, and so stands out of rounding most.
        let (place, gradient) =
            named.values.iter().copied().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap();
        if gradient == 0.0 {
            // What the head does not read: heads of other tasks.
            assert!(name.starts_with("cls.") || name.starts_with("lm_head."), "{name} has no gradient");
            continue;
        }
        let at = |step: f32| {
            let mut moved = weights.clone();
            let value = &mut moved.get_mut(name).unwrap().values[place];
            let before = *value;
            *value += step;
            let moved_by = f64::from(*value) - f64::from(before);
            (mse(&answers(&moved.put(plain.clone()), &batch), &values), moved_by)
        };
        // A step that changes the loss by a thousandth of it: far above rounding, far below where it bends.
        let step = (1e-3 * loss / f64::from(gradient.abs())).min(1e-2) as f32;
        let ((above, right), (below, left)) = (at(step), at(-step));
        let difference = (above - below) / (right - left);
        let error = (difference - f64::from(gradient)).abs();
        assert!(
            error < 0.03 * f64::from(gradient.abs()),
            "{name}[{place}]: {gradient} instead of {difference}"
        );
        compared += 1;
    }
    assert!(compared >= 20, "{compared} tensors");
}

#[test]
fn gradients_of_the_square_error_are_differences_of_it() {
    check_differences::<DnaBert2>(ENCODER);
    check_differences::<Generator>(DECODER);
}

#[test]
fn a_first_step_of_regression_is_what_it_is_by_hand() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let one_step = |name: &str, learning_rate: f64| {
        let mut settings = Settings { epochs: 1, batch: 30, shape: Shape::Constant, ..settings() };
        settings.optimizer.learning_rate = learning_rate;
        let at = folder.path().join(name);
        let progress =
            train(&mut *open(DECODER, job(false, settings), &at).expect("a run"), 1).expect("a step");
        (progress[0].clone(), at.join("step-000000001"))
    };
    // At a rate of 0 weights stay what they were: the start, with its new head.
    let (before, start) = one_step("still", 0.0);
    let (after, stepped) = one_step("moved", 1e-2);
    let job = job(false, settings());
    let Targets::Values(values) = &job.train.targets else { panic!("values") };
    let mean = values.iter().sum::<f64>() / 30.0;
    let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 30.0).sqrt();
    let standard: Vec<f64> = values.iter().map(|v| (v - mean) / deviation).collect();
    // The head is a product with the last state of each sequence.
    let network: Generator = network(&start, &Device::flex());
    let batch = batch(&job.train.ids);
    let states = values_of(&network, &batch);
    let read = |folder: &Path| {
        let weights = Weights::open_file(&folder.join("model.safetensors")).expect("weights");
        weights.read_f32("score.weight").expect("a head")
    };
    let (w0, w1) = (read(&start), read(&stepped));
    let answer =
        |state: &[f32]| state.iter().zip(&w0).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>();
    let distances: Vec<f64> = states.iter().zip(&standard).map(|(state, t)| answer(state) - t).collect();
    let loss = distances.iter().map(|d| d * d).sum::<f64>() / 30.0;
    for progress in [&before, &after] {
        assert!((progress.loss - loss).abs() < 1e-4 * loss, "{} instead of {loss}", progress.loss);
    }
    for (i, (w0, w1)) in w0.iter().zip(&w1).enumerate() {
        let gradient: f64 =
            distances.iter().zip(&states).map(|(d, state)| 2.0 / 30.0 * d * f64::from(state[i])).sum();
        // AdamW: means of 0.1 g and 0.001 g^2, each divided by the same again; decay apart.
        let expected = f64::from(*w0) * (1.0 - 1e-2 * 0.01) - 1e-2 * gradient / (gradient.abs() + 1e-8);
        assert!((f64::from(*w1) - expected).abs() < 2e-5, "{i}: {w1} instead of {expected}");
    }
    // What is measured is in the values' unit, and the scale stands in the configuration.
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(start.join("config.json")).unwrap()).unwrap();
    assert_eq!((&config["problem_type"], &config["num_labels"]), (&"regression".into(), &1.into()));
    let Ok(Task::Value(scale)) = Task::from_config(&config) else { panic!("a regression") };
    assert!((scale.mean - mean).abs() < 1e-9 && (scale.deviation - deviation).abs() < 1e-9);
    let Some(Metrics::Values(dev)) = &before.dev else { panic!("measured at the end") };
    assert!(dev.rmse > 1.0 && dev.rmse < 100.0, "{dev:?}");
}

/// The last state of each sequence.
fn values_of(network: &Generator, batch: &PackedBatch) -> Vec<Vec<f32>> {
    let states = network.state(batch, network.layers());
    let width = states.dims()[1];
    let states = values(states);
    batch.spans().map(|span| states[(span.end - 1) * width..span.end * width].to_vec()).collect()
}

/// All files below a folder by name.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(
                content(&path)
                    .into_iter()
                    .map(|(name, bytes)| (path.file_name().unwrap().into(), name, bytes))
                    .map(|(folder, name, bytes): (PathBuf, PathBuf, Vec<u8>)| (folder.join(name), bytes)),
            );
        } else {
            all.push((path.file_name().unwrap().into(), fs::read(&path).expect("a file")));
        }
    }
    all.sort();
    all
}

#[test]
fn runs_that_were_cut_end_with_the_same_bits() {
    let lora = |targets: &[&str]| {
        let targets = targets.iter().map(|&target| target.to_owned()).collect();
        Some(Lora { rank: 2, alpha: 4.0, targets })
    };
    let cases = [
        (DECODER, false, Settings { save_every: 1, shape: Shape::Plateau, ..settings() }),
        (DECODER, true, Settings { lora: lora(&["q_proj", "down_proj"]), every: 3, ..settings() }),
        (ENCODER, false, Settings { lora: lora(&["Wqkv"]), best_by: Criterion::Spearman, ..settings() }),
        (
            ENCODER,
            true,
            Settings { save_every: 3, best_by: Criterion::Mcc, compute: Compute::Bf16, ..settings() },
        ),
    ];
    for (start, classes, settings) in cases {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut whole =
            open(start, job(classes, settings.clone()), &folder.path().join("whole")).expect("a run");
        let lines = train(&mut *whole, 100).expect("steps");
        assert_eq!((lines.len(), whole.steps()), (12, 12), "three passes over four batches");
        let outcome = whole.finish(&folder.path().join("a")).expect("a model");
        let run = folder.path().join("cut");
        for stop in [2, 5, 6, 11] {
            let mut cut = open(start, job(classes, settings.clone()), &run).expect("a run");
            assert!(cut.done() <= stop && (stop < 6 || cut.done() > 2), "after {} of {stop}", cut.done());
            train(&mut *cut, stop).expect("steps");
        }
        let mut cut = open(start, job(classes, settings), &run).expect("a run");
        train(&mut *cut, 100).expect("steps");
        let again = cut.finish(&folder.path().join("b")).expect("a model");
        assert_eq!(outcome.best_step, again.best_step);
        let (a, b) = (content(&folder.path().join("a")), content(&folder.path().join("b")));
        let names: Vec<_> = a.iter().map(|(name, _)| name.display().to_string()).collect();
        let expected = ["config.json", "finetune.json", "log.jsonl", "model.safetensors", "vocab.txt"];
        assert!(expected.iter().all(|name| names.iter().any(|found| found == name)), "{names:?}");
        assert_eq!(a.len(), b.len());
        for ((name, a), (_, b)) in a.iter().zip(&b) {
            assert!(a == b, "{start}: {} differs", name.display());
        }
        assert!(!run.exists() && !folder.path().join("whole").exists(), "nothing is left of the runs");
    }
}

#[test]
fn the_best_is_kept_by_the_measure_that_was_asked_for_and_patience_ends_a_run() {
    let run = |best_by, patience| -> (Vec<Progress>, Outcome) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = Settings { best_by, patience, every: 1, epochs: 10, ..settings() };
        settings.optimizer.learning_rate = 0.01;
        let mut run = open(DECODER, job(false, settings), &folder.path().join("run")).expect("a run");
        let lines = train(&mut *run, 100).expect("steps");
        let outcome = run.finish(&folder.path().join("model")).expect("a model");
        (lines, outcome)
    };
    for criterion in [Criterion::Loss, Criterion::Spearman, Criterion::Mae] {
        let (lines, outcome) = run(criterion, 4);
        let value =
            |line: &Progress| criterion.value(line.dev.as_ref().unwrap()).unwrap_or(f64::NEG_INFINITY);
        let best = lines.iter().map(value).fold(f64::NEG_INFINITY, f64::max);
        let first = lines.iter().find(|line| value(line).to_bits() == best.to_bits()).unwrap();
        assert_eq!(outcome.best_step, first.step, "{criterion:?}");
        assert_eq!(outcome.steps, lines.len() as u64);
        assert!(outcome.steps == 40 || outcome.steps == outcome.best_step + 4, "{criterion:?}: {outcome:?}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mcc = Settings { best_by: Criterion::Mcc, ..settings() };
    let Err(error) = open(DECODER, job(false, mcc), folder.path()) else { panic!("refused") };
    assert!(error.to_string().contains("mcc is no measure of this task"), "{error}");
}

#[test]
fn training_that_explodes_ends_with_the_checkpoint_named() {
    for (learning_rate, classes) in [(3e2, false), (3e2, true), (1e30, false)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = Settings { epochs: 60, save_every: 1, ..settings() };
        settings.optimizer.learning_rate = learning_rate;
        let mut run = open(DECODER, job(classes, settings.clone()), folder.path()).expect("a run");
        let error = train(&mut *run, 1000).expect_err("training diverges");
        let text = error.to_string();
        assert!(matches!(error, Error::NotFinite { .. } | Error::Exploded { .. }), "{text}");
        assert!(text.contains("a lower learning rate"), "{text}");
        drop(run);
        // What is kept is a model, and can be gone on from.
        let step = open(DECODER, job(classes, settings), folder.path()).expect("a run").done();
        if step > 0 {
            assert!(text.contains("the last good checkpoint is "), "{text}");
            let kept = folder.path().join(format!("step-{step:09}"));
            assert!(
                !answers(&network::<Generator>(&kept, &Device::flex()), &batch(&[vec![50, 60]])).is_empty()
            );
        } else {
            assert!(text.contains("there is no checkpoint yet"), "{text}");
        }
    }
}

#[test]
fn another_seed_rate_label_or_tokenizer_is_another_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let same = || Settings { save_every: 1, ..settings() };
    train(&mut *open(DECODER, job(false, same()), folder.path()).expect("a run"), 2).expect("steps");
    let refused = |job: Job| {
        let Err(error) = open(DECODER, job, folder.path()) else { panic!("refused") };
        assert!(error.to_string().contains("--restart begins anew"), "{error}");
        error.to_string()
    };
    let text = refused(job(false, Settings { seed: 2, ..same() }));
    assert!(text.contains("another settings (seed 1 in place of seed 2)"), "{text}");
    assert!(refused(job(false, Settings { batch: 9, ..same() })).contains("batch 8 in place of batch 9"));
    let mut other = job(false, same());
    let Targets::Values(values) = &mut other.dev.targets else { panic!("values") };
    values[3] += 1.0;
    assert!(refused(other).contains("another dev (sha256 "));
    let mut other = job(false, same());
    other.files[0].1.push(b'c');
    assert!(refused(other).contains("another tokenizer (vocab.txt "));
    assert!(refused(job(true, same())).contains("another task"));
    // How often it is saved decides nothing.
    let run = open(DECODER, job(false, Settings { save_every: 0, ..same() }), folder.path()).expect("a run");
    assert_eq!(run.done(), 2);
}

#[test]
fn damaged_checkpoints_are_left_out_and_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let every = Settings { every: 2, ..settings() };
    let mut run = open(DECODER, job(false, every.clone()), folder.path()).expect("a run");
    train(&mut *run, 6).expect("steps");
    drop(run);
    let newest = folder.path().join("step-000000006");
    fs::write(newest.join("training.json"), "{").expect("written");
    let mut said = Vec::new();
    let checkpoint = Checkpoint::open(&fixture(DECODER)).expect("a checkpoint");
    let run =
        finetune::open(checkpoint, job(false, every), folder.path(), &Device::flex(), false, &mut |line| {
            said.push(line);
        });
    // The best one is there beside the newest, unless it was the newest.
    let done = run.expect("a run").done();
    assert!(done < 6 && said[0].contains("training.json"), "{said:?}");
    assert_eq!(said.len(), if done > 0 { 2 } else { 1 }, "{said:?}");
}
