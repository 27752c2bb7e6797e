//! `kilobase predict`: classes or values of sequences by a fine-tuned model.

use std::io::Write;
use std::path::PathBuf;

use kilobase::data::export::AtomicFile;
use kilobase::data::window::Windows;
use kilobase::models::run::predict::task::Task;
use kilobase::models::train::metrics::argmax;
use serde_json::{Value, json};

use super::Ctx;
use super::args::ModelArgs;
use super::fine_tuned::FineTuned;
use super::output::{Stdout, Summary, shown};
use super::progress::Progress;
use super::records::RecordArgs;
use super::scan;
use kilobase::data::fastx::Record;

/// Sequences that are in memory at once.
const PORTION: usize = 512;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Table to write, one line a record: its class and the probability of each, or its value; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    records: RecordArgs,
    #[command(flatten)]
    model: ModelArgs,
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
    let model = FineTuned::load(&args.model, ctx)?;
    let mut out: Output = match file {
        Some(path) => Output::File(AtomicFile::create(path, args.force)?),
        None => Output::Stdout(Stdout::new()),
    };
    match &model.task {
        Task::Classes(classes) => {
            write!(out, "record\tclass")?;
            for class in classes {
                write!(out, "\tp_{class}")?;
            }
            writeln!(out)?;
        }
        Task::Value(_) => writeln!(out, "record\tvalue")?,
    }
    let progress = Progress::new(&ctx.console, total, "records");
    let mut job = Job { model: &model, counts: vec![0; model.task.outputs()], values: Values::default() };
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
    let summary = Summary::new("predict").fact("records", job.counts.iter().sum::<u64>());
    let summary = match &model.task {
        Task::Classes(classes) => {
            let counts =
                classes.iter().zip(&job.counts).map(|(class, count)| (class.clone(), (*count).into()));
            summary.fact("classes", Value::Object(counts.collect()))
        }
        Task::Value(_) => summary.fact("values", job.values.json(job.counts[0])),
    };
    ctx.console.summary(&summary.fact("output", shown(file)), file.is_none())
}

struct Job<'a> {
    model: &'a FineTuned,
    /// Records of each class, or in all.
    counts: Vec<u64>,
    values: Values,
}

impl Job<'_> {
    fn write(&mut self, portion: &[(String, Vec<u8>)], out: &mut Output) -> anyhow::Result<()> {
        let tokens = self.model.tokens();
        let of = |(index, (_, text)): (usize, &(String, Vec<u8>))| tokens.ids(index, text);
        let ids = portion.iter().enumerate().map(of).collect::<Result<Vec<_>, _>>()?;
        match &self.model.task {
            Task::Classes(classes) => {
                for ((record, _), law) in portion.iter().zip(self.model.laws(&ids)?) {
                    let class = argmax(&law);
                    self.counts[class] += 1;
                    write!(out, "{record}\t{}", classes[class])?;
                    for p in &law {
                        write!(out, "\t{p:.6}")?;
                    }
                    writeln!(out)?;
                }
            }
            Task::Value(scale) => {
                for ((record, _), value) in portion.iter().zip(self.model.values(&ids, scale)?) {
                    self.counts[0] += 1;
                    self.values.add(value);
                    writeln!(out, "{record}\t{}", significant(value))?;
                }
            }
        }
        Ok(())
    }
}

/// What is told of all values.
#[derive(Default)]
struct Values {
    sum: f64,
    range: Option<[f64; 2]>,
}

impl Values {
    fn add(&mut self, value: f64) {
        self.sum += value;
        let [least, most] = self.range.unwrap_or([value; 2]);
        self.range = Some([least.min(value), most.max(value)]);
    }

    fn json(&self, count: u64) -> Value {
        let [least, most] = self.range.map_or([None; 2], |range| range.map(Some));
        json!({ "least": least, "mean": self.range.map(|_| self.sum / count as f64), "most": most })
    }
}

/// A value with the seven digits that a head has.
fn significant(value: f64) -> String {
    let text = format!("{value:.6e}");
    let rounded: f64 = text.parse().expect("a number was written");
    if rounded == 0.0 || (1e-4..1e9).contains(&rounded.abs()) { rounded.to_string() } else { text }
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

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn values_have_seven_digits_whatever_their_size() {
        let cases = [
            (0.0, "0"),
            (1.0 / 3.0, "0.3333333"),
            (-1_234.567_891, "-1234.568"),
            (2e-7, "2.000000e-7"),
            (1.5e12, "1.500000e12"),
        ];
        for (value, text) in cases {
            assert_eq!(significant(value), text);
        }
    }
}
