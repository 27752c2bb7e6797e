//! `kilobase predict`: classes of sequences by a fine-tuned model.

use std::io::Write;
use std::path::PathBuf;

use kilobase::data::export::AtomicFile;
use kilobase::data::window::Windows;
use kilobase::models::train::metrics::argmax;

use super::Ctx;
use super::args::ModelArgs;
use super::classifier::Classifier;
use super::output::{Stdout, Summary, shown};
use super::progress::Progress;
use super::records::RecordArgs;
use super::scan;
use kilobase::data::fastx::Record;

/// Sequences that are in memory at once.
const PORTION: usize = 512;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    records: RecordArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Table to write, one line a record: its class, and the probability of each; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let file = (args.output.as_os_str() != "-").then_some(args.output.as_path());
    if let Some(path) = file {
        AtomicFile::check(path, args.force)?;
    }
    let sources = args.records.input.sources()?;
    let total = if sources.contains(&super::args::Source::Stdin) {
        None
    } else {
        let seen = scan::scan(
            &sources,
            &args.records.input,
            Windows::whole(),
            args.records.skip_empty,
            &ctx.console,
        )?;
        anyhow::ensure!(
            seen.records > 0 || args.records.allow_empty,
            "{}: no records",
            scan::names(&sources)
        );
        Some(seen.records)
    };
    let classifier = Classifier::load(&args.model, ctx)?;
    let mut out: Output = match file {
        Some(path) => Output::File(AtomicFile::create(path, args.force)?),
        None => Output::Stdout(Stdout::new()),
    };
    write!(out, "record\tclass")?;
    for class in &classifier.classes {
        write!(out, "\tp_{class}")?;
    }
    writeln!(out)?;
    let progress = Progress::new(&ctx.console, total, "records");
    let mut job = Job { classifier: &classifier, counts: vec![0; classifier.classes.len()] };
    let mut portion: Vec<(String, Vec<u8>)> = Vec::new();
    let mut record = Record::default();
    for source in &sources {
        let mut reader = scan::open(source, &args.records.input)?;
        while reader.read_record(&mut record)? {
            if record.is_empty() {
                scan::check_empty(&record, reader.name(), args.records.skip_empty)?;
                continue;
            }
            record.sequence.make_ascii_uppercase();
            portion.push((record.id.clone(), record.sequence.clone()));
            if portion.len() == PORTION {
                job.write(&portion, &mut out)?;
                progress.inc(PORTION as u64);
                portion.clear();
            }
        }
    }
    job.write(&portion, &mut out)?;
    progress.finish();
    match out {
        Output::File(file) => file.commit()?,
        Output::Stdout(mut out) => out.flush()?,
    }
    let mut summary = Summary::new("predict").fact("records", job.counts.iter().sum::<u64>());
    let counts = classifier.classes.iter().zip(&job.counts);
    let counts = counts.map(|(class, count)| (class.clone(), (*count).into())).collect();
    summary = summary.fact("classes", serde_json::Value::Object(counts)).fact("output", shown(file));
    ctx.console.summary(&summary, file.is_none())
}

struct Job<'a> {
    classifier: &'a Classifier,
    counts: Vec<u64>,
}

impl Job<'_> {
    fn write(&mut self, portion: &[(String, Vec<u8>)], out: &mut Output) -> anyhow::Result<()> {
        let tokens = self.classifier.tokens();
        let of = |(index, (_, text)): (usize, &(String, Vec<u8>))| tokens.ids(index, text);
        let ids = portion.iter().enumerate().map(of).collect::<Result<Vec<_>, _>>()?;
        for ((record, _), law) in portion.iter().zip(self.classifier.laws(&ids)?) {
            let class = argmax(&law);
            self.counts[class] += 1;
            write!(out, "{record}\t{}", self.classifier.classes[class])?;
            for p in &law {
                write!(out, "\t{p:.6}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

enum Output {
    File(AtomicFile),
    Stdout(Stdout),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stdout(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stdout(out) => out.flush(),
        }
    }
}
