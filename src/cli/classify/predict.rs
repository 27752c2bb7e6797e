//! `kilobase classify predict`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::ensure;
use clap::ValueEnum;
use kilobase::data::export::{AtomicFile, metadata_path};
use kilobase::data::fastx::Record;
use rayon::prelude::*;
use serde_json::json;

use super::judge::{Judge, Verdict};
use super::train::{self, Trained};
use crate::cli::Ctx;
use crate::cli::args::{InputArgs, Source};
use crate::cli::exit::Usage;
use crate::cli::output::{Stdout, Summary, shown};
use crate::cli::progress::Progress;
use crate::cli::scan;
use kilobase::data::window::Windows;

/// Queries that are in memory at once.
const PORTION: usize = 512;
/// Where lengths differ more, a distance says little.
const DISPARITY: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Strand {
    /// As written
    Forward,
    /// The better of the sequence and its reverse complement
    Both,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// Model, of classify train
    #[arg(short, long, value_name = "FILE")]
    model: PathBuf,
    /// Which strand is compared
    #[arg(long, value_enum, default_value_t = Strand::Forward)]
    strand: Strand,
    /// Call a sequence unclassified unless its class saves so many bits a base against the mean of all classes; of models of
    /// --method cm
    #[arg(long, value_name = "BITS")]
    reject: Option<f64>,
    /// Go on with sequences longer than the compressor looks back
    #[arg(long)]
    allow_window_overflow: bool,
    /// Table to write, one line a record; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let sources = args.input.sources()?;
    let file = (args.output.as_os_str() != "-").then_some(args.output.as_path());
    if let Some(path) = file {
        AtomicFile::check(path, args.force)?;
    }
    let model = Trained::read(&args.model)?;
    if args.reject.is_some() && !matches!(model, Trained::Cm(_)) {
        return Err(Usage("--reject is for models of --method cm".to_owned()).into());
    }
    // Damage at the end of the last file is found before the work.
    let total = if sources.contains(&Source::Stdin) {
        None
    } else {
        Some(scan::scan(&sources, &args.input, Windows::whole(), true, &ctx.console)?.work)
    };
    let judge = Judge::new(&model, args.strand == Strand::Both, args.reject)?;
    let job = Job { args, ctx, model: &model, judge, classes: model.classes() };
    let begun = Instant::now();
    let mut counts = Counts::default();
    let progress = Progress::new(&ctx.console, total, "bases");
    match file {
        None => job.work(&sources, total.is_none(), &mut Stdout::new(), &progress, &mut counts)?,
        Some(path) => {
            let mut table = AtomicFile::create(path, args.force)?;
            job.work(&sources, total.is_none(), &mut table, &progress, &mut counts)?;
            let mut metadata = AtomicFile::create(metadata_path(path), true)?;
            let facts = json!({
                "kilobase": env!("CARGO_PKG_VERSION"),
                "command": "classify predict",
                "model": args.model,
                "method": train::describe(&model),
                "strand": format!("{:?}", args.strand).to_lowercase(),
                "reject": args.reject,
                "inputs": sources.iter().map(scan::name).collect::<Vec<_>>(),
            });
            writeln!(metadata, "{facts:#}")?;
            metadata.commit()?;
            table.commit()?;
        }
    }
    progress.finish();
    if counts.empty > 0 {
        ctx.console.warn(format_args!("{} records without letters have no class", counts.empty));
    }
    if counts.disparate > 0 {
        ctx.console.warn(format_args!(
            "{} records are {DISPARITY} times longer or shorter than their nearest: a distance says little there; \
             --distance cond or --method cm suit better",
            counts.disparate
        ));
    }
    let summary = Summary::new("classify predict")
        .fact("records", counts.records)
        .fact("bases", counts.bases)
        .fact("empty", counts.empty)
        .fact("unclassified", counts.unclassified)
        .fact("ties", counts.ties)
        .fact("records_a_second", (counts.records as f64 / begun.elapsed().as_secs_f64().max(1e-9)).round())
        .fact("output", shown(file));
    ctx.console.summary(&summary, file.is_none())
}

#[derive(Debug, Default)]
struct Counts {
    records: u64,
    bases: u64,
    empty: u64,
    unclassified: u64,
    ties: u64,
    disparate: u64,
}

struct Job<'a> {
    args: &'a Args,
    ctx: &'a Ctx,
    model: &'a Trained,
    judge: Judge<'a>,
    classes: Vec<String>,
}

impl Job<'_> {
    fn work(
        &self,
        sources: &[Source],
        warn: bool,
        out: &mut impl Write,
        progress: &Progress,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        self.header(out)?;
        let mut portion = Vec::new();
        let mut record = Record::default();
        for source in sources {
            let mut reader = scan::open(source, &self.args.input)?;
            while reader.read_record(&mut record)? {
                let mut sequence = std::mem::take(&mut record.sequence);
                self.model.letters().apply(&mut sequence);
                portion.push((record.id.clone(), sequence));
                if portion.len() == PORTION {
                    self.portion(&std::mem::take(&mut portion), out, progress, counts)?;
                }
            }
            if warn {
                scan::warn(&reader, &self.ctx.console);
            }
        }
        self.portion(&portion, out, progress, counts)?;
        ensure!(counts.records > 0, "{}: no records", scan::names(sources));
        Ok(out.flush()?)
    }

    fn header(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let fixed = "id\tlength\tprediction\tconfidence\tmargin\tnearest_id\tnearest_distance\tstatus";
        write!(out, "#{fixed}")?;
        if self.judge.both_strands {
            write!(out, "\tstrand")?;
        }
        for class in &self.classes {
            write!(out, "\t{class}")?;
        }
        writeln!(out)?;
        Ok(())
    }

    fn portion(
        &self,
        portion: &[(String, Vec<u8>)],
        out: &mut impl Write,
        progress: &Progress,
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        if let Trained::Neighbours(model) = self.model {
            let lengths = portion.iter().map(|(id, sequence)| (id.as_str(), sequence.len()));
            train::check_window(&model.measure, self.args.allow_window_overflow, lengths, &self.ctx.console)?;
        }
        // The long ones first, so that no thread is left with one at the end.
        let mut order: Vec<usize> = (0..portion.len()).collect();
        order.sort_by_key(|&at| std::cmp::Reverse(portion[at].1.len()));
        let mut verdicts: Vec<(usize, Verdict)> = order
            .into_par_iter()
            .with_max_len(1)
            .map(|at| {
                let verdict = self.judge.judge(&portion[at].1)?;
                progress.inc(portion[at].1.len() as u64);
                Ok((at, verdict))
            })
            .collect::<anyhow::Result<_>>()?;
        verdicts.sort_by_key(|&(at, _)| at);
        for (at, verdict) in verdicts {
            let (id, sequence) = &portion[at];
            self.line(id, sequence.len(), &verdict, out)?;
            counts.records += 1;
            counts.bases += sequence.len() as u64;
            counts.empty += u64::from(verdict.status == "empty");
            counts.ties += u64::from(verdict.status == "tie");
            counts.unclassified += u64::from(verdict.class.is_none() && verdict.status != "empty");
            if let (Some((nearest, _)), Trained::Neighbours(model)) = (verdict.nearest, self.model) {
                let other = model.sequences[nearest].len();
                let (less, more) = (other.min(sequence.len()), other.max(sequence.len()));
                counts.disparate += u64::from(more > DISPARITY * less);
            }
        }
        Ok(())
    }

    fn line(&self, id: &str, length: usize, verdict: &Verdict, out: &mut impl Write) -> anyhow::Result<()> {
        let class = match verdict.class {
            Some(class) => &self.classes[class],
            None if verdict.status == "empty" => ".",
            None => "unclassified",
        };
        write!(out, "{id}\t{length}\t{class}\t{}\t{}", number(verdict.confidence), number(verdict.margin))?;
        match (verdict.nearest, self.model) {
            (Some((nearest, distance)), Trained::Neighbours(model)) => {
                write!(out, "\t{}\t{}", model.ids[nearest], number(distance))?;
            }
            _ => write!(out, "\t.\t.")?,
        }
        write!(out, "\t{}", verdict.status)?;
        if self.judge.both_strands {
            write!(out, "\t{}", if verdict.is_reverse { '-' } else { '+' })?;
        }
        for &value in &verdict.by_class {
            write!(out, "\t{}", number(value))?;
        }
        writeln!(out)?;
        Ok(())
    }
}

/// Six decimals; a point where there is no number.
pub(super) fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.6}") } else { ".".to_owned() }
}

/// Where a table is written.
pub(super) fn file(path: &Path) -> Option<&Path> {
    (path.as_os_str() != "-").then_some(path)
}
