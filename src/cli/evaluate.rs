//! `kilobase evaluate`: how good a fine-tuned model is, beside a baseline that costs next to nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use kilobase::data::export::AtomicFile;

use super::Ctx;
use super::args::ModelArgs;
use super::exit::Usage;
use super::fine_tuned::FineTuned;
use super::finetune::rows::{Kind, Rows};
use super::output::{Stdout, Summary, shown};

mod baseline;
mod gue;
mod measured;
mod report;
mod suite;

use baseline::baseline;
use measured::{Found, Measured, table};
use report::Detail;
use suite::{Line, Suite};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Labelled sequences to measure on: tables of sequence and label (CSV or TSV), or FASTA with class= or value= in the headers
    #[arg(value_name = "FILE", required_unless_present = "suite")]
    test: Vec<PathBuf>,
    /// Fine-tune the model on every task of a benchmark that --data holds, by its authors' recipe, and measure it beside a
    /// regression over k-mers and what is published
    #[arg(long, value_enum, requires = "data", conflicts_with_all = ["test", "train", "dev"])]
    suite: Option<Suite>,
    /// Folder of the benchmark, one folder a task with train.csv, dev.csv and test.csv, plain or gzip
    #[arg(long, value_name = "FOLDER", requires = "suite")]
    data: Option<PathBuf>,
    /// Full learning rate of the suite's fine-tuning [default: 3e-5 for encoders, 5e-4 for decoders]
    #[arg(long, value_name = "RATE", requires = "suite")]
    learning_rate: Option<f64>,
    /// What labels are [default: what the model was trained for; without one, classification]
    #[arg(long, value_enum, conflicts_with = "suite")]
    task: Option<Kind>,
    /// Train a regression over k-mers on these sequences, logistic for classes and ridge for values, and measure it as well
    #[arg(long, value_name = "FILE", requires = "dev")]
    train: Option<PathBuf>,
    /// Sequences that decide how long the regression is trained or its penalty, and with which k
    #[arg(long, value_name = "FILE", requires = "train")]
    dev: Option<PathBuf>,
    /// Longest k-mers of the regression
    #[arg(long, value_name = "K", default_value = "6", value_parser = clap::value_parser!(u8).range(1..=8))]
    k: u8,
    /// Table to write, one line a method; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Page of HTML to write as well: the table; confusion matrices and accuracy over confidence, or predictions over truth
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    model: ModelArgs,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let file = (args.output.as_os_str() != "-").then_some(args.output.as_path());
    if let Some(path) = file {
        AtomicFile::check(path, args.force)?;
    }
    if let Some(path) = &args.report {
        AtomicFile::check(path, args.force)?;
    }
    if let (Some(_), Some(data)) = (args.suite, &args.data) {
        let lines = suite::run(args, data, ctx)?;
        let table = lines.iter().map(Line::text).fold(Line::HEADER.to_owned(), |table, line| table + &line);
        let details: Vec<Detail<'_>> = lines.iter().filter_map(Line::detail).collect();
        report(args, &[("benchmark", data.display().to_string())], &table, &details)?;
        write(args, file, &table, ctx)?;
        let all: Vec<_> = lines.iter().map(Line::json).collect();
        let summary = Summary::new("evaluate").fact("tasks", lines.len() / suite::METHODS);
        let summary = if ctx.json { summary.fact("results", all) } else { summary };
        return ctx.console.summary(&summary.fact("output", shown(file)), false);
    }
    if args.model.model.is_none() && args.train.is_none() {
        let reason =
            "nothing to measure; name a fine-tuned model with -m, or --train and --dev for the baseline";
        return Err(Usage(reason.to_owned()).into());
    }
    let model = args.model.model.is_some().then(|| FineTuned::load(&args.model, ctx)).transpose()?;
    let kind = kind(args, model.as_ref())?;
    let test = Rows::read(&args.test, kind)?;
    let mut measured: Vec<Measured> = Vec::new();
    if let Some(model) = &model {
        let method = args.model.name().to_owned();
        measured.push(Measured { method, found: Found::by(model, &test)? });
    }
    if let (Some(train), Some(dev)) = (&args.train, &args.dev) {
        let [train, dev] = [train, dev].map(|path| Rows::read(std::slice::from_ref(path), kind));
        measured.push(baseline(args, kind, [&train?, &dev?, &test], ctx)?);
    }
    let table = table(kind, &measured);
    let details: Vec<Detail<'_>> = measured.iter().map(Measured::detail).collect();
    let files = args.test.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    report(args, &[("measured on", files)], &table, &details)?;
    write(args, file, &table, ctx)?;
    let summary = Summary::new("evaluate").fact("sequences", test.sequences.len());
    let all = measured.iter().map(Measured::json).collect::<Vec<_>>();
    let summary = if ctx.json { summary.fact("methods", all) } else { summary };
    ctx.console.summary(&summary.fact("output", shown(file)), false)
}

/// What the labels are: as the model has it, if there is one.
fn kind(args: &Args, model: Option<&FineTuned>) -> anyhow::Result<Kind> {
    let Some(model) = model else { return Ok(args.task.unwrap_or(Kind::Classification)) };
    let own = Kind::of(&model.task);
    if args.task.is_some_and(|asked| asked != own) {
        let what = if own == Kind::Regression { "a regression" } else { "a classifier" };
        return Err(Usage(format!("--task: {} is {what}", args.model.name())).into());
    }
    Ok(own)
}

fn write(args: &Args, file: Option<&Path>, table: &str, ctx: &Ctx) -> anyhow::Result<()> {
    match file {
        Some(path) => {
            let mut out = AtomicFile::create(path, args.force)?;
            out.write_all(table.as_bytes())?;
            out.commit()?;
        }
        // With --json the document says it all.
        None if !ctx.json => {
            let mut out = Stdout::new();
            out.write_all(table.as_bytes())?;
            out.flush()?;
        }
        None => {}
    }
    Ok(())
}

/// Writes the page, if one is asked for.
fn report(args: &Args, facts: &[(&str, String)], table: &str, details: &[Detail<'_>]) -> anyhow::Result<()> {
    let Some(path) = &args.report else { return Ok(()) };
    let version = ("kilobase", env!("CARGO_PKG_VERSION").to_owned());
    let facts: Vec<_> = std::iter::once(version).chain(facts.iter().cloned()).collect();
    let mut out = AtomicFile::create(path, args.force)?;
    out.write_all(report::page("kilobase evaluate", &facts, table, details).as_bytes())?;
    Ok(out.commit()?)
}
