//! `kilobase stats`: what FASTA and FASTQ files hold.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use kilobase::data::export::{AtomicFile, write_line};
use kilobase::data::fastx::Format;
use kilobase::data::stats::Stats;
use serde_json::{Value, json};

use super::Ctx;
use super::args::InputArgs;
use super::output::Stdout;
use super::progress::Progress;
use super::scan;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// File to write; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Leave the line of names out
    #[arg(long)]
    no_header: bool,
    /// Accept files without records
    #[arg(long)]
    allow_empty: bool,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
}

const COLUMNS: [&str; 19] = [
    "file",
    "format",
    "records",
    "bases",
    "gc",
    "n",
    "other",
    "lower",
    "min_length",
    "mean_length",
    "max_length",
    "n50",
    "n90",
    "quality_min",
    "quality_mean",
    "quality_max",
    "q20",
    "q30",
    "a_c_g_t",
];

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let file = (args.output.as_os_str() != "-").then_some(args.output.as_path());
    if let Some(path) = file {
        AtomicFile::check(path, args.force)?;
    }
    let sources = args.input.sources()?;
    let begun = Instant::now();
    let progress = Progress::new(&ctx.console, None, "bases");
    let mut rows = Vec::new();
    for source in &sources {
        let mut reader = scan::open(source, &args.input)?;
        let stats = Stats::read(&mut reader, |bases| progress.inc(bases))?;
        ensure!(stats.records > 0 || args.allow_empty, "{}: no records", reader.name());
        scan::warn(&reader, &ctx.console);
        rows.push(facts(&scan::name(source), &stats));
    }
    progress.finish();
    ctx.console.detail(format_args!("stats: {:.3} s", begun.elapsed().as_secs_f64()));
    let text = if ctx.json {
        format!("{:#}\n", json!({ "command": "stats", "files": rows }))
    } else {
        table(&rows, !args.no_header)?
    };
    match file {
        None => {
            let mut out = Stdout::new();
            out.write_all(text.as_bytes())?;
            out.flush()?;
        }
        Some(path) => {
            let mut out = AtomicFile::create(path, args.force)?;
            out.write_all(text.as_bytes())?;
            out.commit()?;
        }
    }
    Ok(())
}

/// What is said of a file, by the names of the columns.
fn facts(file: &str, stats: &Stats) -> Value {
    let Stats { letters, lengths, quality, .. } = stats;
    let share = |count: u64| {
        let letters = quality.map_or(0, |quality| quality.letters);
        (letters > 0).then(|| count as f64 / letters as f64)
    };
    json!({
        "file": file,
        "format": stats.format.map(|format| match format {
            Format::Fasta => "fasta",
            Format::Fastq => "fastq",
        }),
        "records": stats.records,
        "bases": letters.total(),
        "gc": letters.gc(),
        "n": letters.n,
        "other": letters.other,
        "lower": letters.lower,
        "min_length": lengths.min(),
        "mean_length": lengths.mean(),
        "max_length": lengths.max(),
        "n50": lengths.n(50),
        "n90": lengths.n(90),
        "quality_min": quality.and_then(|quality| quality.min()),
        "quality_mean": quality.and_then(|quality| quality.mean()),
        "quality_max": quality.and_then(|quality| quality.max()),
        "q20": quality.and_then(|quality| share(quality.at_least_20)),
        "q30": quality.and_then(|quality| share(quality.at_least_30)),
        "a_c_g_t": [letters.a, letters.c, letters.g, letters.t],
    })
}

fn table(rows: &[Value], header: bool) -> anyhow::Result<String> {
    let mut text = Vec::new();
    if header {
        write_line(&mut text, COLUMNS, [])?;
    }
    for row in rows {
        let cells = COLUMNS.map(|column| match &row[column] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Array(counts) => counts.iter().map(Value::to_string).collect::<Vec<_>>().join(","),
            Value::Number(number) if number.is_f64() => {
                format!("{:.4}", number.as_f64().unwrap_or_default())
            }
            other => other.to_string(),
        });
        write_line(&mut text, cells.iter().map(String::as_str), [])?;
    }
    Ok(String::from_utf8(text)?)
}
