//! `kilobase finetune`: a classifier or a regression from a checkpoint and labelled sequences.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use kilobase::models::run::predict::task::Task;
use kilobase::models::train::finetune::{self, Outcome, Settings, Trainer};
use kilobase::models::train::lora::Lora;
use kilobase::models::train::metrics::{Criterion, Metrics};
use kilobase::models::train::recipe::OptimizerRecipe;
use kilobase::models::train::schedule::Shape;
use serde_json::{Map, Value, json};

use super::args::ModelArgs;
use super::exit::Usage;
use super::output::{Summary, shown};
use super::progress::Progress;
use super::{Ctx, allocator};

pub(super) mod rows;
pub(super) mod start;

use rows::{Kind, Rows};
use start::{Folder, Start};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Labelled sequences to train on: tables of sequence and label (CSV or TSV), or FASTA with class= or value= in the headers;
    /// plain or gzip
    #[arg(value_name = "FILE", required = true)]
    train: Vec<PathBuf>,
    /// Labelled sequences by which the best weights are chosen
    #[arg(long, value_name = "FILE")]
    dev: PathBuf,
    /// What labels are, and so what is learnt: names of classes, or numbers
    #[arg(long, value_enum, default_value_t = Kind::Classification)]
    task: Kind,
    /// Folder for the model; must not exist. Until it is whole, FOLDER.partial has the checkpoints from which the same command
    /// goes on
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Begin anew where an unfinished run could be continued
    #[arg(long)]
    restart: bool,
    /// Passes over the training set
    #[arg(long, value_name = "N", default_value = "3")]
    epochs: u64,
    /// Steps at most
    #[arg(long, value_name = "N")]
    max_steps: Option<u64>,
    /// Sequences of a step
    #[arg(long, value_name = "N", default_value = "32")]
    batch: NonZeroUsize,
    /// Full learning rate
    #[arg(long, value_name = "RATE", default_value_t = 3e-5)]
    learning_rate: f64,
    /// How the learning rate goes after the warm-up
    #[arg(long, value_enum, default_value_t = Fall::Linear)]
    schedule: Fall,
    /// Steps over which the learning rate rises
    #[arg(long, value_name = "N", default_value = "50")]
    warmup: u64,
    /// Share of a weight, times the learning rate, that each step takes off
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    weight_decay: f64,
    /// Tokens that are read of a sequence at most, marks included [default: all]
    #[arg(long, value_name = "N")]
    max_tokens: Option<NonZeroUsize>,
    /// Steps between measurements on the development set [default: once an epoch]
    #[arg(long, value_name = "N")]
    every: Option<u64>,
    /// Measure of the development set by which the best weights are chosen
    #[arg(long, value_name = "MEASURE", default_value = Criterion::default().name(), value_parser = criteria())]
    best_by: Criterion,
    /// Measurements that are not better after which training ends [default: it does not]
    #[arg(long, value_name = "N")]
    patience: Option<u64>,
    /// Steps between checkpoints, beside those that each measurement makes [default: no more than those]
    #[arg(long, value_name = "N")]
    save_every: Option<u64>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    lora: LoraArgs,
}

/// Low-rank factors in place of all weights.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Low-rank adaptation")]
#[allow(clippy::struct_field_names, reason = "the names are those of the flags")]
struct LoraArgs {
    /// Train factors of this rank in place of all weights; they are written in PEFT's layout to adapter/ beside the merged model
    #[arg(long, value_name = "RANK")]
    lora_rank: Option<NonZeroUsize>,
    /// Numerator of the factors' scale, whose denominator is the rank
    #[arg(long, value_name = "ALPHA", default_value_t = 32.0, requires = "lora_rank")]
    lora_alpha: f64,
    /// Module to adapt, by the end of its name; may be given several times [default: q_proj and v_proj of decoders, Wqkv and
    /// attention.output.dense of DNABERT-2]
    #[arg(long, value_name = "NAME", requires = "lora_rank")]
    lora_target: Vec<String>,
}

/// How the learning rate goes after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fall {
    /// Stays
    Constant,
    /// Falls in a straight line
    Linear,
    /// Falls as half a cosine
    Cosine,
    /// Halves when the development set's loss does not improve
    Plateau,
}

impl Fall {
    fn shape(self) -> Shape {
        match self {
            Self::Constant => Shape::Constant,
            Self::Linear => Shape::Linear,
            Self::Cosine => Shape::Cosine,
            Self::Plateau => Shape::Plateau,
        }
    }
}

fn criteria() -> impl TypedValueParser<Value = Criterion> {
    let named = |name: String| Criterion::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, of)| of);
    let names = Criterion::ALL.map(|(name, _)| name);
    PossibleValuesParser::new(names).map(move |name| named(name).expect("a possible value"))
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let unfinished = unfinished(&args.output)?;
    if args.output.exists() {
        if finetune::is_left_over(&unfinished, &args.output) {
            fs::remove_dir_all(&unfinished).with_context(|| unfinished.display().to_string())?;
        }
        return Err(Usage(format!("{}: exists; name a new folder with -o", args.output.display())).into());
    }
    if args.max_tokens.is_some_and(|most| most.get() < 3) {
        return Err(Usage("--max-tokens below 3 leaves marks only".to_owned()).into());
    }
    allocator::keep_freed_memory();
    let device = ctx.device.choose()?;
    let train = Rows::read(&args.train, args.task)?;
    let task = train.task()?;
    if !args.best_by.is_of(&task) {
        let reason = format!("--best-by {}: the other task has this measure", args.best_by.name());
        return Err(Usage(reason).into());
    }
    if train.look_like_values() {
        ctx.console.warn(
            "all labels are numbers, not all of them whole: --task regression would predict them as such",
        );
    }
    let dev = Rows::read(std::slice::from_ref(&args.dev), args.task)?;
    let start = Start::find(&args.model, ctx)?;
    let most = args.max_tokens.map(NonZeroUsize::get);
    let [train_set, dev_set] = [&train, &dev].map(|rows| start.labelled(rows, &task, most));
    if let Some(class) = dev.absent(&task) {
        ctx.console.warn(format_args!("{}: no sequence is of class {class}", args.dev.display()));
    }
    let about = match &task {
        Task::Classes(classes) => format!("{} classes", classes.len()),
        Task::Value(scale) => {
            format!("values of mean {:.4} and deviation {:.4}", scale.mean, scale.deviation)
        }
    };
    let (train, dev) = (train.sequences.len(), dev.sequences.len());
    ctx.console.info(format_args!("{train} sequences to train on, {dev} to choose by, {about}, on {device}"));
    let mut job = start.job(task, most, [train_set?, dev_set?], settings(args, start.decoder, ctx.seed))?;
    job.facts = facts(args);
    let folder = Folder { path: &unfinished, restart: args.restart };
    let mut report = |message: String| ctx.console.info(message);
    let trainer = start.open(job, &folder, &device, &mut report)?;
    let outcome = train_whole(trainer, &args.output, ctx, true)?;
    let mut summary = Summary::new("finetune")
        .fact("steps", outcome.steps)
        .fact("best_step", outcome.best_step)
        .fact("trained", outcome.trained)
        .fact("parameters", outcome.parameters);
    for (name, value) in measures(&outcome.dev) {
        summary = summary.fact(name, value);
    }
    ctx.console.summary(&summary.fact("output", shown(Some(&args.output))), false)
}

/// Where the run's checkpoints are until its end.
fn unfinished(output: &Path) -> anyhow::Result<PathBuf> {
    let name = output.file_name().with_context(|| format!("{}: no name for a folder", output.display()))?;
    let mut name = name.to_owned();
    name.push(".partial");
    Ok(output.with_file_name(name))
}

/// What is told of a measurement on the development set.
fn measures(metrics: &Metrics) -> Vec<(&'static str, Value)> {
    match metrics {
        Metrics::Classes(m) => {
            vec![("dev_loss", m.loss.into()), ("dev_accuracy", m.accuracy.into()), ("dev_mcc", m.mcc.into())]
        }
        Metrics::Values(m) => vec![
            ("dev_rmse", m.rmse.into()),
            ("dev_mae", m.mae.into()),
            ("dev_pearson", m.pearson.into()),
            ("dev_spearman", m.spearman.into()),
            ("dev_r2", m.r2.into()),
        ],
    }
}

/// Trains to the end and writes the model.
pub(super) fn train_whole(
    mut trainer: Box<dyn Trainer>,
    output: &Path,
    ctx: &Ctx,
    told: bool,
) -> anyhow::Result<Outcome> {
    let bar = Progress::new(&ctx.console, Some(trainer.steps()), "steps");
    bar.skip(trainer.done());
    while !trainer.is_over() {
        let now = trainer.step()?;
        bar.inc(1);
        if let Some(dev) = now.dev.filter(|_| told) {
            let measures = measures(&dev).into_iter().map(|(name, value)| {
                let value = value.as_f64().map_or_else(|| "NA".to_owned(), |value| format!("{value:.4}"));
                format!("{} {value}", name.trim_start_matches("dev_"))
            });
            let measures = measures.collect::<Vec<_>>().join(", ");
            ctx.console.info(format_args!("step {} of {}: development set {measures}", now.step, now.steps));
        }
    }
    bar.finish();
    Ok(trainer.finish(output)?)
}

fn settings(args: &Args, decoder: bool, seed: u64) -> Settings {
    let lora = args.lora.lora_rank.map(|rank| Lora {
        rank: rank.get(),
        alpha: args.lora.lora_alpha,
        targets: if args.lora.lora_target.is_empty() {
            Lora::usual_targets(decoder)
        } else {
            args.lora.lora_target.clone()
        },
    });
    let optimizer = OptimizerRecipe {
        learning_rate: args.learning_rate,
        betas: [0.9, 0.999],
        weight_decay: args.weight_decay,
        ..OptimizerRecipe::default()
    };
    Settings {
        compute: args.model.dtype.compute(),
        optimizer,
        shape: args.schedule.shape(),
        warmup: args.warmup,
        epochs: args.epochs,
        max_steps: args.max_steps.unwrap_or(0),
        batch: args.batch.get(),
        every: args.every.unwrap_or(0),
        best_by: args.best_by,
        patience: args.patience.unwrap_or(0),
        lora,
        seed,
        save_every: args.save_every.unwrap_or(0),
    }
}

/// What the report says beside what decides numbers.
fn facts(args: &Args) -> Map<String, Value> {
    let facts = json!({ "kilobase": env!("CARGO_PKG_VERSION"), "train": args.train, "dev": args.dev });
    facts.as_object().expect("an object").clone()
}

/// Refuses an input without sequences.
pub(super) fn check_some(count: usize, path: &Path) -> anyhow::Result<()> {
    ensure!(count > 0, "{}: no sequences", path.display());
    Ok(())
}
