//! `kilobase evaluate`: how good a fine-tuned model is, beside a baseline that costs next to nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use kilobase::data::export::AtomicFile;
use kilobase::models::train::logistic::{Features, Logistic, kmer_count, kmers};
use kilobase::models::train::metrics::{Metrics, measure};
use rayon::prelude::*;
use serde_json::json;

use super::Ctx;
use super::args::ModelArgs;
use super::classifier::Classifier;
use super::exit::Usage;
use super::finetune::rows::Rows;
use super::output::{Stdout, Summary, shown};

mod gue;
mod report;
mod suite;

use report::Detail;
use suite::{Line, Suite};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Labelled sequences to measure on: tables of sequence and class (CSV or TSV), or FASTA with class= in the headers
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
    #[command(flatten)]
    model: ModelArgs,
    /// Train a logistic regression over k-mers on these sequences and measure it as well
    #[arg(long, value_name = "FILE", requires = "dev")]
    train: Option<PathBuf>,
    /// Sequences that decide how long the regression is trained, and with which k
    #[arg(long, value_name = "FILE", requires = "train")]
    dev: Option<PathBuf>,
    /// Longest k-mers of the regression
    #[arg(long, value_name = "K", default_value = "6", value_parser = clap::value_parser!(u8).range(1..=8))]
    k: u8,
    /// Table to write, one line a method; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Page of HTML to write as well: the table, confusion matrices, accuracy over confidence
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
}

/// A method, its classes and its measures.
struct Measured {
    method: String,
    classes: Vec<String>,
    metrics: Metrics,
}

impl Measured {
    fn detail(&self) -> Detail<'_> {
        Detail { name: self.method.clone(), classes: &self.classes, metrics: &self.metrics }
    }
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
    let test = Rows::read(&args.test)?;
    let mut measured: Vec<Measured> = Vec::new();
    if let Some(name) = &args.model.model {
        let classifier = Classifier::load(&args.model, ctx)?;
        let labels = test.labels(&classifier.classes)?;
        let laws = classifier.laws(&test.ids(&classifier.tokens())?)?.concat();
        let metrics = measure(&laws, &labels, classifier.classes.len());
        measured.push(Measured { method: name.clone(), classes: classifier.classes, metrics });
    }
    if let (Some(train), Some(dev)) = (&args.train, &args.dev) {
        let [train, dev] = [train, dev].map(|path| Rows::read(std::slice::from_ref(path)));
        let train = train?;
        let (method, metrics) = baseline(args, [&train, &dev?, &test], ctx)?;
        measured.push(Measured { method, classes: train.classes()?, metrics });
    }
    let table = table(&measured);
    let details: Vec<Detail<'_>> = measured.iter().map(Measured::detail).collect();
    let files = args.test.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    report(args, &[("measured on", files)], &table, &details)?;
    write(args, file, &table, ctx)?;
    let all = measured.iter().map(|m| json!({ "method": m.method, "measures": m.metrics }));
    let summary = Summary::new("evaluate").fact("sequences", test.sequences.len());
    let summary = if ctx.json { summary.fact("methods", all.collect::<Vec<_>>()) } else { summary };
    ctx.console.summary(&summary.fact("output", shown(file)), false)
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

/// The regression whose longest k-mers are best for the development set.
fn baseline(args: &Args, [train, dev, test]: [&Rows; 3], ctx: &Ctx) -> anyhow::Result<(String, Metrics)> {
    let classes = train.classes()?;
    let (train_labels, dev_labels) = (train.labels(&classes)?, dev.labels(&classes)?);
    let mut best: Option<(usize, f64, Logistic)> = None;
    for k in (2..=args.k.max(2)).step_by(2) {
        let k = usize::from(k.min(args.k));
        let (train, dev) = (counted(train, k), counted(dev, k));
        let (train, labelled) = ((&train[..], &train_labels[..]), (&dev[..], &dev_labels[..]));
        let model = Logistic::train(kmer_count(k), classes.len(), train, labelled, ctx.seed);
        let loss = model.measure(&dev, &dev_labels).loss;
        ctx.console.detail(format_args!("{k}-mer logistic regression: development set loss {loss:.4}"));
        if best.as_ref().is_none_or(|(_, lowest, _)| loss < *lowest) {
            best = Some((k, loss, model));
        }
    }
    let (k, _, model) = best.expect("at least one k");
    ensure!(!test.sequences.is_empty(), "no sequences to measure on");
    let metrics = model.measure(&counted(test, k), &test.labels(&classes)?);
    Ok((format!("logistic regression, 1- to {k}-mers"), metrics))
}

fn counted(rows: &Rows, k: usize) -> Vec<Features> {
    rows.sequences.par_iter().map(|text| kmers(text, k)).collect()
}

fn table(measured: &[Measured]) -> String {
    let area = |area: Option<f64>| area.map_or_else(|| "NA".to_owned(), |area| format!("{area:.4}"));
    let header =
        "method\tsequences\taccuracy\tmcc\tmacro_f1\tauroc\tauprc\tloss\tcalibration_error\n".to_owned();
    let line = |Measured { method, metrics: m, .. }: &Measured| {
        format!(
            "{method}\t{}\t{:.4}\t{:.4}\t{:.4}\t{}\t{}\t{:.4}\t{:.4}\n",
            m.count,
            m.accuracy,
            m.mcc,
            m.macro_f1,
            area(m.auroc),
            area(m.auprc),
            m.loss,
            m.calibration_error
        )
    };
    std::iter::once(header).chain(measured.iter().map(line)).collect::<Vec<_>>().concat()
}
