//! `kilobase finetune`: a classifier from a checkpoint and labelled sequences.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use kilobase::data::export::AtomicFolder;
use kilobase::data::tokenize::Tokenizer;
use kilobase::models::checkpoint::Checkpoint;
use kilobase::models::device::Choice;
use kilobase::models::family::{Family, detect};
use kilobase::models::run::classify::Tokens;
use kilobase::models::run::kmers::Kmers;
use kilobase::models::train::finetune::{self, Labelled, Outcome, Settings};
use kilobase::models::train::lora::Lora;
use kilobase::models::train::recipe::OptimizerRecipe;
use kilobase::models::train::schedule::Shape;
use serde_json::{Value, json};

use super::args::ModelArgs;
use super::exit::Usage;
use super::load::{self, Found};
use super::model::TOKENIZER_FILES;
use super::output::{Summary, shown};
use super::progress::Progress;
use super::{Ctx, allocator};

pub(super) mod rows;

use rows::Rows;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Labelled sequences to train on: tables of sequence and class (CSV or TSV), or FASTA with class= in the headers; plain or
    /// gzip
    #[arg(value_name = "FILE", required = true)]
    train: Vec<PathBuf>,
    /// Labelled sequences by which the best weights are chosen
    #[arg(long, value_name = "FILE")]
    dev: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Folder for the classifier; must not exist
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
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
    /// Measurements without a lower loss after which training ends [default: it does not]
    #[arg(long, value_name = "N")]
    patience: Option<u64>,
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

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    if args.output.exists() {
        return Err(Usage(format!("{}: exists; name a new folder with -o", args.output.display())).into());
    }
    if args.max_tokens.is_some_and(|most| most.get() < 3) {
        return Err(Usage("--max-tokens below 3 leaves marks only".to_owned()).into());
    }
    allocator::keep_freed_memory();
    let device = ctx.device.choose()?;
    let train = Rows::read(&args.train)?;
    let classes = train.classes()?;
    let dev = Rows::read(std::slice::from_ref(&args.dev))?;
    let start = Start::find(&args.model, ctx)?;
    let most = args.max_tokens.map(NonZeroUsize::get);
    let (train, dev) = (start.labelled(&train, &classes, most)?, start.labelled(&dev, &classes, most)?);
    ctx.console.info(format_args!(
        "{} sequences to train on, {} to choose by, {} classes, on {device}",
        train.ids.len(),
        dev.ids.len(),
        classes.len()
    ));
    let settings = settings(args, start.decoder, ctx.seed);
    let output = args.output.display();
    let unfinished = AtomicFolder::create(&args.output).with_context(|| format!("{output}"))?;
    let mut bar = None;
    let mut log = Vec::new();
    let outcome = start.finetune(
        (&classes, most),
        [&train, &dev],
        &settings,
        &device,
        unfinished.path(),
        &mut |now| {
            let bar = bar.get_or_insert_with(|| Progress::new(&ctx.console, Some(now.steps), "steps"));
            bar.inc(1);
            if let Some(dev) = &now.dev {
                ctx.console.info(format_args!(
                    "step {} of {}: development set loss {:.4}, accuracy {:.4}, mcc {:.4}",
                    now.step, now.steps, dev.loss, dev.accuracy, dev.mcc
                ));
            }
            log.push(json!({ "step": now.step, "loss": now.loss, "dev": now.dev }).to_string());
        },
    )?;
    if let Some(bar) = bar {
        bar.finish();
    }
    let write = |name: &str, bytes: &[u8]| {
        let path = unfinished.path().join(name);
        fs::write(&path, bytes).with_context(|| format!("{}", path.display()))
    };
    write("log.jsonl", format!("{}\n", log.join("\n")).as_bytes())?;
    let facts = facts(args, &start.name, &outcome, &settings);
    write("finetune.json", format!("{facts:#}\n").as_bytes())?;
    unfinished.commit().with_context(|| format!("{output}"))?;
    let summary = Summary::new("finetune")
        .fact("steps", outcome.steps)
        .fact("best_step", outcome.best_step)
        .fact("trained", outcome.trained)
        .fact("parameters", outcome.parameters)
        .fact("dev_loss", outcome.dev.loss)
        .fact("dev_accuracy", outcome.dev.accuracy)
        .fact("dev_mcc", outcome.dev.mcc)
        .fact("output", shown(Some(&args.output)));
    ctx.console.summary(&summary, false)
}

/// A model to fine-tune.
pub(super) struct Start {
    pub(super) name: String,
    pub(super) decoder: bool,
    found: Found,
    /// Where the files of the tokenizer are.
    tokenizer_folder: PathBuf,
    tokenizer: Box<dyn Tokenizer>,
}

impl Start {
    pub(super) fn find(args: &ModelArgs, ctx: &Ctx) -> anyhow::Result<Self> {
        let found = load::find(args, &ctx.console)?;
        let name = args.name().to_owned();
        let checkpoint =
            Checkpoint::open(found.path()).with_context(|| format!("cannot load the model {name}"))?;
        let decoder = detect(&checkpoint)? == Family::Generator;
        let tokenizer = load::tokenizer(args.tokenizer.as_deref(), found.path())?;
        let tokenizer_folder = args.tokenizer.as_deref().unwrap_or(found.path()).to_owned();
        Ok(Self { name, decoder, found, tokenizer_folder, tokenizer })
    }

    /// Where it was found.
    pub(super) fn folder(&self) -> &Path {
        self.found.path()
    }

    /// Rows as tokens, at most so many of each, with the numbers of their classes.
    pub(super) fn labelled(
        &self,
        rows: &Rows,
        classes: &[String],
        most: Option<usize>,
    ) -> anyhow::Result<Labelled> {
        let k = Kmers::new(&*self.tokenizer).map_or(1, |kmers| kmers.k());
        let tokens = Tokens { tokenizer: &*self.tokenizer, decoder: self.decoder, k, most };
        let labels = rows.labels(classes)?;
        Ok(Labelled { ids: rows.ids(&tokens)?, labels })
    }

    /// A classifier in a folder that exists: the best weights, and the tokenizer.
    pub(super) fn finetune(
        &self,
        (classes, most): (&[String], Option<usize>),
        [train, dev]: [&Labelled; 2],
        settings: &Settings,
        device: &Choice,
        folder: &Path,
        tell: &mut dyn FnMut(&finetune::Progress),
    ) -> anyhow::Result<Outcome> {
        let checkpoint = Checkpoint::open(self.found.path())
            .with_context(|| format!("cannot load the model {}", self.name))?;
        let outcome = finetune::finetune(
            checkpoint,
            &self.name,
            classes,
            most,
            train,
            dev,
            settings,
            &device.open()?,
            folder,
            tell,
        )?;
        for file in TOKENIZER_FILES {
            let from = self.tokenizer_folder.join(file);
            if from.is_file() {
                let bytes = fs::read(&from).with_context(|| from.display().to_string())?;
                let path = folder.join(file);
                fs::write(&path, bytes).with_context(|| path.display().to_string())?;
            }
        }
        Ok(outcome)
    }
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
        optimizer,
        shape: args.schedule.shape(),
        warmup: args.warmup,
        epochs: args.epochs,
        max_steps: args.max_steps.unwrap_or(0),
        batch: args.batch.get(),
        every: args.every.unwrap_or(0),
        patience: args.patience.unwrap_or(0),
        lora,
        seed,
    }
}

fn facts(args: &Args, name: &str, outcome: &Outcome, settings: &Settings) -> Value {
    json!({
        "kilobase": env!("CARGO_PKG_VERSION"), "command": "finetune", "start": name, "seed": settings.seed,
        "train": args.train, "dev": args.dev, "outcome": outcome, "optimizer": settings.optimizer,
        "epochs": settings.epochs, "batch": settings.batch, "warmup": settings.warmup,
        "schedule": settings.shape, "max_tokens": args.max_tokens, "lora": settings.lora,
    })
}

/// Refuses an input without sequences.
pub(super) fn check_some(count: usize, path: &Path) -> anyhow::Result<()> {
    ensure!(count > 0, "{}: no sequences", path.display());
    Ok(())
}
