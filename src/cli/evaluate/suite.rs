//! `kilobase evaluate --suite`: a model fine-tuned on every task of a benchmark that is there, beside a baseline and what is
//! published.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use kilobase::models::run::kmers::Kmers;
use kilobase::models::run::predict::task::Task as Answers;
use kilobase::models::run::{Embedder, Pooling, Reading};
use kilobase::models::train::finetune::Settings;
use kilobase::models::train::logistic::{Logistic, standardised};
use kilobase::models::train::metrics::{Classification, Criterion};
use kilobase::models::train::recipe::OptimizerRecipe;
use kilobase::models::train::schedule::Shape;
use serde_json::{Value, json};

use super::Args;
use super::baseline::logistic;
use super::gue::{TASKS, Task};
use super::measured::Found;
use super::report::{Detail, Picture};
use crate::cli::args::ModelArgs;
use crate::cli::fine_tuned::FineTuned;
use crate::cli::finetune::rows::{Kind, Rows};
use crate::cli::finetune::start::{Folder, Start};
use crate::cli::finetune::train_whole;
use crate::cli::load::{Loaded, load};
use crate::cli::progress::Progress;
use crate::cli::{Ctx, allocator};

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Suite {
    /// Genome Understanding Evaluation: 28 sets of the DNABERT-2 paper
    Gue,
}

/// Lines of a task.
pub(super) const METHODS: usize = 4;

/// A task's result by one method.
pub(super) struct Line {
    task: &'static str,
    method: String,
    classes: Vec<String>,
    /// Nothing where the figure is published.
    metrics: Option<Classification>,
    published: Option<(bool, f64)>,
}

impl Line {
    pub(super) const HEADER: &'static str =
        "task\tmethod\tsequences\taccuracy\tmcc\tmacro_f1\tauroc\tauprc\n";

    pub(super) fn text(&self) -> String {
        let Self { task, method, metrics, published, .. } = self;
        let number = |number: Option<f64>| number.map_or_else(|| "NA".to_owned(), |x| format!("{x:.4}"));
        let m = metrics.as_ref();
        let of = |f1: bool| published.filter(|(is_f1, _)| *is_f1 == f1).map(|(_, value)| value / 100.0);
        format!(
            "{task}\t{method}\t{}\t{}\t{}\t{}\t{}\t{}\n",
            m.map_or_else(|| "NA".to_owned(), |m| m.count.to_string()),
            number(m.map(|m| m.accuracy)),
            number(m.map(|m| m.mcc).or(of(false))),
            number(m.map(|m| m.macro_f1).or(of(true))),
            number(m.and_then(|m| m.auroc)),
            number(m.and_then(|m| m.auprc)),
        )
    }

    /// What a page shows of it, if it was measured.
    pub(super) fn detail(&self) -> Option<Detail<'_>> {
        let name = format!("{}: {}", self.task, self.method);
        let classes = &self.classes;
        self.metrics.as_ref().map(|metrics| Detail { name, picture: Picture::Classes { classes, metrics } })
    }

    pub(super) fn json(&self) -> Value {
        let published = self.published.map(|(f1, value)| {
            let measure = if f1 { "macro_f1" } else { "mcc" };
            json!({ measure: value / 100.0 })
        });
        json!({ "task": self.task, "method": self.method, "measures": self.metrics, "published": published })
    }
}

/// Every task of which there are files.
pub(super) fn run(args: &Args, data: &Path, ctx: &Ctx) -> anyhow::Result<Vec<Line>> {
    allocator::keep_freed_memory();
    let here: Vec<(&Task, [Option<PathBuf>; 3])> = TASKS
        .iter()
        .map(|task| (task, ["train", "dev", "test"].map(|part| part_of(&data.join(task.folder), part))))
        .filter(|(_, parts)| parts[2].is_some())
        .collect();
    ensure!(
        !here.is_empty(),
        "{}: holds no task of GUE, such as {}/test.csv",
        data.display(),
        TASKS[0].folder
    );
    let start = Start::find(&args.model, ctx)?;
    // As it was found: looking again would say again what it is.
    let loaded = load(&args.model.in_folder(start.folder()), ctx)?;
    let mut lines = Vec::new();
    for (task, parts) in here {
        let [Some(train), Some(dev), Some(test)] = parts else {
            ctx.console.warn(format_args!("{}: left out: no train.csv or dev.csv", task.folder));
            continue;
        };
        ctx.console.info(format_args!("{}", task.folder));
        let [train, dev, test] = [train, dev, test].map(|path| Rows::read(&[path], Kind::Classification));
        let rows = [&train?, &dev?, &test?];
        let classes = rows[0].classes()?;
        let of = |method: String, metrics| Line {
            task: task.folder,
            method,
            classes: classes.clone(),
            metrics: Some(metrics),
            published: None,
        };
        lines.push(of(format!("{}, fine-tuned", start.name), finetuned(args, task, &start, rows, ctx)?));
        let (name, metrics) = probe(&loaded, rows, ctx)?;
        lines.push(of(format!("{}, frozen: logistic regression, {name}", start.name), metrics));
        let (name, metrics) = logistic(args, rows, ctx)?;
        lines.push(of(name, metrics));
        lines.push(Line {
            task: task.folder,
            method: "published: DNABERT-2-117M".to_owned(),
            classes: Vec::new(),
            metrics: None,
            published: Some((task.is_f1(), task.published)),
        });
    }
    Ok(lines)
}

/// A table of a task, plain or gzip.
fn part_of(folder: &Path, part: &str) -> Option<PathBuf> {
    [format!("{part}.csv"), format!("{part}.csv.gz")]
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

/// Measures of the model after fine-tuning as the authors of the benchmark do.
fn finetuned(
    args: &Args,
    task: &Task,
    start: &Start,
    [train, dev, test]: [&Rows; 3],
    ctx: &Ctx,
) -> anyhow::Result<Classification> {
    let answers = Answers::Classes(train.classes()?);
    // The limit is one of byte-pair tokens; k-mers are read whole.
    let most = (!start.decoder).then_some(task.tokens);
    let [train, dev] = [train, dev].map(|rows| start.labelled(rows, &answers, most));
    let job = start.job(answers, most, [train?, dev?], settings(args, task, start.decoder, ctx.seed))?;
    let folder = tempfile::tempdir().context("no temporary folder for a classifier")?;
    let run = folder.path().join("run");
    let run = Folder { path: &run, restart: false };
    let trainer = start.open(job, &run, &ctx.device.choose()?, &mut |_| {})?;
    let output = folder.path().join("model");
    train_whole(trainer, &output, ctx, false)?;
    let own = ModelArgs { tokenizer: None, ..args.model.in_folder(&output) };
    match Found::by(&FineTuned::load(&own, ctx)?, test)? {
        Found::Classes { metrics, .. } => Ok(metrics),
        Found::Values { .. } => unreachable!("it was trained for classes"),
    }
}

/// A regression over mean states of the model as it is: of the middle layer or the last, whichever is better for the
/// development set.
fn probe(loaded: &Loaded, rows: [&Rows; 3], ctx: &Ctx) -> anyhow::Result<(String, Classification)> {
    let [train, dev, test] = rows;
    let classes = train.classes()?;
    let k = Kmers::new(&*loaded.tokenizer).map_or(1, |kmers| kmers.k());
    let whole = |text: &'_ Vec<u8>| text.len() % k;
    let texts: Vec<&[u8]> =
        rows.iter().flat_map(|rows| &rows.sequences).map(|text| &text[whole(text)..]).collect();
    let (width, layers) = (loaded.model.hidden_size(), loaded.model.layers());
    let mut best: Option<(f64, String, Classification)> = None;
    for layer in [layers / 2, layers] {
        let embedder = Embedder {
            model: &loaded.model,
            tokenizer: &*loaded.tokenizer,
            layer,
            pooling: Pooling::Mean,
            reading: Reading::exact(4096),
            memory_limit: None,
        };
        let progress = Progress::new(&ctx.console, Some(texts.len() as u64), "sequences");
        let mut numbers = Vec::with_capacity(texts.len() * width);
        for part in texts.chunks(1024) {
            numbers.extend(embedder.embed(part)?.into_iter().flat_map(|embedding| embedding.rows));
            progress.inc(part.len() as u64);
        }
        progress.finish();
        let features = standardised(&numbers, width, train.sequences.len());
        let (of_train, rest) = features.split_at(train.sequences.len());
        let (of_dev, of_test) = rest.split_at(dev.sequences.len());
        let [train_labels, dev_labels, test_labels] = [train, dev, test].map(|rows| rows.numbers(&classes));
        let (train_labels, dev_labels) = (train_labels?, dev_labels?);
        let model =
            Logistic::train(width, classes.len(), (of_train, &train_labels), (of_dev, &dev_labels), ctx.seed);
        let loss = model.measure(of_dev, &dev_labels).loss;
        if best.as_ref().is_none_or(|(lowest, ..)| loss < *lowest) {
            let metrics = model.measure(of_test, &test_labels?);
            best = Some((loss, format!("mean states of layer {layer}"), metrics));
        }
    }
    let (_, name, metrics) = best.expect("two layers were tried");
    Ok((name, metrics))
}

/// The authors' recipe; small decoders need larger steps than an encoder of a hundred million weights.
fn settings(args: &Args, task: &Task, decoder: bool, seed: u64) -> Settings {
    let usual = if decoder { 5e-4 } else { 3e-5 };
    let optimizer = OptimizerRecipe {
        learning_rate: args.learning_rate.unwrap_or(usual),
        betas: [0.9, 0.999],
        weight_decay: 0.01,
        ..OptimizerRecipe::default()
    };
    Settings {
        compute: args.model.dtype.compute(),
        optimizer,
        shape: Shape::Linear,
        warmup: if task.folder.starts_with("tf/") { 30 } else { 50 },
        epochs: task.epochs,
        max_steps: task.max_steps,
        batch: 32,
        every: if task.epochs > 5 || task.max_steps > 0 { 200 } else { 400 },
        best_by: Criterion::Loss,
        patience: 0,
        lora: None,
        seed,
        save_every: 0,
    }
}
