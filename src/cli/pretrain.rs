//! `kilobase pretrain`: a model from a recipe and sequences.

use std::path::PathBuf;

use kilobase::models::checkpoint::{CONFIG, Checkpoint};
use kilobase::models::family::{RandomTensor, random};
use kilobase::models::train::log::Line;
use kilobase::models::train::pretrain::{self, CURVE, LOG, REPORT, Report, Setup, Trainer};
use kilobase::models::train::recipe::Recipe;
use serde_json::{Value, json};

use super::args::Dtype;
use super::exit::Usage;
use super::output::{Summary, shown};
use super::progress::Progress;
use super::{Ctx, allocator};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Recipe: model, tokenizer, data, batches, optimiser and schedule, as TOML or JSON (docs/training.md)
    #[arg(value_name = "RECIPE")]
    recipe: PathBuf,
    /// Folder of the run: checkpoints, log, loss curve, and in the end the model; -m takes it
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// Begin anew where an unfinished run could be continued
    #[arg(long)]
    restart: bool,
    /// End after this step with a checkpoint; the same command without it goes on
    #[arg(long, value_name = "STEP")]
    stop_at: Option<u64>,
    /// Numbers of the finished model's weights in the file; training itself is in f32
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Print what would be done and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let recipe = Recipe::read(&args.recipe)?;
    let device = ctx.device.choose()?;
    if pretrain::is_finished(&args.output) && !args.restart && !args.dry_run {
        let folder = args.output.display();
        let reason =
            format!("{folder}: holds a finished run; name another folder, or begin anew with --restart");
        return Err(Usage(reason).into());
    }
    let setup = Setup::read(recipe, ctx.seed)?;
    if args.dry_run {
        return dry_run(&setup, ctx);
    }
    for corpus in setup.corpora() {
        let [train, held_out] = corpus.sizes();
        ctx.console.info(format_args!(
            "{}: {train} bases to train on, {held_out} held out, {} letters left out",
            corpus.name, corpus.dropped
        ));
    }
    allocator::keep_freed_memory();
    let mut report = |message: String| ctx.console.info(message);
    let mut trainer = pretrain::open(setup, &args.output, &device.open()?, args.restart, &mut report)?;
    ctx.console.info(format_args!("{} parameters, on {device}", trainer.parameters()));
    let last = args.stop_at.map_or(trainer.steps(), |step| step.min(trainer.steps()));
    let bits = train(&mut *trainer, last, ctx)?;
    if last < trainer.steps() {
        let checkpoint = trainer.save()?;
        let summary = Summary::new("pretrain")
            .fact("steps", trainer.done())
            .fact("steps_in_all", trainer.steps())
            .fact("bits_per_base", bits)
            .fact("checkpoint", shown(Some(&checkpoint)));
        return ctx.console.summary(&summary, false);
    }
    let report = trainer.finish(args.dtype.stored())?;
    ctx.console.summary(&summary(&report, args), false)
}

/// Trains up to a step. Returns the last step's bits per base.
fn train(trainer: &mut dyn Trainer, last: u64, ctx: &Ctx) -> anyhow::Result<Option<f64>> {
    let progress = Progress::new(&ctx.console, Some(last), "steps");
    progress.skip(trainer.done());
    let mut bits = None;
    while trainer.done() < last {
        for line in trainer.step()? {
            match line {
                Line::Step(step) => {
                    bits = Some(step.bits_per_base);
                    let rate = step.tokens as f64 / step.seconds.max(1e-9);
                    ctx.console.detail(format_args!(
                        "step {}: loss {:.4}, {:.4} bits per base, learning rate {:.2e}, gradient norm {:.3}, {rate:.0} tokens a second",
                        step.step, step.loss, step.bits_per_base, step.learning_rate, step.gradient_norm
                    ));
                }
                Line::HeldOut(held_out) => ctx.console.info(format_args!(
                    "step {}: {} held out, {:.4} bits per base",
                    held_out.step, held_out.held_out, held_out.bits_per_base
                )),
            }
        }
        progress.inc(1);
    }
    progress.finish();
    Ok(bits)
}

fn summary(report: &Report, args: &Args) -> Summary {
    let rounded = |bits: f64| (bits * 1e4).round() / 1e4;
    let held_out: Vec<Value> = report
        .held_out
        .iter()
        .map(|one| {
            json!({
                "name": one.name, "bits_per_base": rounded(one.bits_per_base),
                "markov_order": one.markov_order,
                "markov_all": one.markov_all.map(rounded), "markov_own": one.markov_own.map(rounded),
            })
        })
        .collect();
    Summary::new("pretrain")
        .fact("steps", report.steps)
        .fact("parameters", report.parameters)
        .fact("bases", report.bases)
        .fact("held_out", held_out)
        .fact("log", shown(Some(&args.output.join(LOG))))
        .fact("curve", shown(Some(&args.output.join(CURVE))))
        .fact("report", shown(Some(&args.output.join(REPORT))))
        .fact("output", shown(Some(&args.output)))
}

fn dry_run(setup: &Setup, ctx: &Ctx) -> anyhow::Result<()> {
    let recipe = setup.recipe();
    let numbers: usize = match &recipe.start {
        Some(folder) => {
            let checkpoint = Checkpoint::open(folder)?;
            let weights = checkpoint.weights();
            let sizes = weights.names().map(|name| Ok(weights.shape(name)?.iter().product::<usize>()));
            sizes.sum::<anyhow::Result<usize>>()?
        }
        None => random(setup.expected()?, ctx.seed).iter().map(RandomTensor::len).sum(),
    };
    let bases: u64 = setup.corpora().iter().map(|corpus| u64::from(corpus.repeat) * corpus.sizes()[0]).sum();
    let read = recipe.capacity() as u64 * recipe.batch.accumulate as u64 * recipe.schedule.steps;
    let summary = Summary::new("pretrain --dry-run")
        .fact("parameters", numbers)
        // Weights, gradients and two moments in f32, and the copy that computes.
        .fact("state_bytes", 20 * numbers as u64)
        .fact("bases_of_an_epoch", bases)
        .fact("bases_read", read)
        .fact("epochs", read as f64 / bases.max(1) as f64)
        .fact("steps", recipe.schedule.steps)
        .fact("config", CONFIG)
        .fact("plan", setup.plan().clone());
    ctx.console.summary(&summary, false)
}
