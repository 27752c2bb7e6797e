//! `kilobase tokenize`: sequences in, token ids out.

use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use kilobase::data::export::AtomicFile;
use kilobase::data::export::tokens::{Format, Options, Sequence, Writer, metadata};
use kilobase::data::fastx::Record;
use kilobase::data::tokenize::{Encoding, Error, Tokenizer};
use kilobase::data::window::Windows;
use rayon::prelude::*;
use serde_json::{Map, json};

use super::Ctx;
use super::args::WindowArgs;
use super::exit::Usage;
use super::load::tokenizer;
use super::output::{Stdout, Summary, shown};
use super::progress::Progress;
use super::records::{RecordArgs, Window};
use super::scan;

#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Args {
    #[command(flatten)]
    records: RecordArgs,
    /// Tokenizer: a model's folder, or a tokenizer.json
    #[arg(short, long, value_name = "PATH", help_heading = "Tokens")]
    tokenizer: PathBuf,
    /// Leave out the marks that the tokenizer puts around a sequence
    #[arg(long, help_heading = "Tokens")]
    no_special: bool,
    /// What becomes of bases that the tokenizer does not know
    #[arg(long, value_enum, default_value_t = Unknown::Warn, help_heading = "Tokens")]
    unknown: Unknown,
    /// Drop bases from the left of a sequence that is not whole k-mers; without it the rest at its end is read as one unknown
    /// token, as by the tokenizer of the model
    #[arg(long, help_heading = "Tokens")]
    trim: bool,
    /// Give the ids of the reference implementation without a word about unknown tokens: the same as --unknown allow
    #[arg(long, conflicts_with_all = ["unknown", "trim"], help_heading = "Tokens")]
    compat: bool,
    #[command(flatten)]
    windows: WindowArgs,
    /// File to write; - is standard output, for tsv
    #[arg(short, long, value_name = "FILE", default_value = "-", help_heading = "Output")]
    output: PathBuf,
    /// Format of the output [default: by the suffix of the file; tsv for standard output]
    #[arg(long, value_name = "FORMAT", value_parser = format_parser(), help_heading = "Output")]
    format: Option<Format>,
    /// Also write which bases each token is: in tsv a line a token, in parquet and safetensors two more lists
    #[arg(long, help_heading = "Output")]
    offsets: bool,
    /// Replace an output that exists
    #[arg(long, help_heading = "Output")]
    force: bool,
}

fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name)).try_map(|name| name.parse::<Format>())
}

/// What becomes of bases that the tokenizer does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Unknown {
    /// They become unknown tokens, and their number is told
    Warn,
    /// They end the run
    Error,
    /// They become unknown tokens
    Allow,
}

/// Bases that go to the threads together.
const PORTION: usize = 1 << 22;

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let file = (args.output.as_os_str() != "-").then_some(args.output.as_path());
    let format = match (args.format, file) {
        (Some(format), _) => format,
        (None, Some(file)) => Format::from_path(file)?,
        (None, None) => Format::Tsv,
    };
    if args.offsets && format == Format::Npy {
        return Err(
            Usage("--offsets: npy holds one array; write parquet, safetensors or tsv".to_owned()).into()
        );
    }
    if file.is_none() && format != Format::Tsv {
        return Err(Usage(format!("{format} needs a file; name one with -o")).into());
    }
    if let Some(path) = file {
        AtomicFile::check(path, args.force)?;
    }
    let windows = match args.windows.checked()? {
        Some((size, overlap)) => Windows::new(size.get(), overlap)?,
        None => Windows::whole(),
    };
    let tokenizer = tokenizer(Some(&args.tokenizer), &args.tokenizer)?;
    let k = tokenizer.name().strip_suffix("-mer").and_then(|k| k.parse::<usize>().ok());
    if args.trim && k.is_none() {
        let reason = "--trim: the tokens of this tokenizer leave no rest";
        return Err(Usage(reason.to_owned()).into());
    }
    let options =
        Options { format, offsets: args.offsets, vocabulary: tokenizer.vocab_size(), force: args.force };
    let mut stdout = file.is_none().then(Stdout::new);
    let writer = match (&mut stdout, file) {
        (Some(out), _) => Writer::stream(out, options)?,
        (None, Some(path)) => Writer::create(path, options)?,
        (None, None) => unreachable!("standard output is taken where there is no file"),
    };
    let trim = k.filter(|_| args.trim);
    let mut job = Job { args, ctx, tokenizer: &*tokenizer, trim, writer, totals: Totals::default() };
    job.read(windows)?;
    job.finish(file.is_none(), shown(file))
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    records: u64,
    sequences: u64,
    bases: u64,
    tokens: u64,
    unknown: u64,
    unknown_bases: u64,
    trimmed: u64,
}

struct Job<'a> {
    args: &'a Args,
    ctx: &'a Ctx,
    tokenizer: &'a dyn Tokenizer,
    /// Bases of a token, where a rest is dropped.
    trim: Option<usize>,
    writer: Writer<'a>,
    totals: Totals,
}

impl Job<'_> {
    fn read(&mut self, windows: Windows) -> anyhow::Result<()> {
        let RecordArgs { input, skip_empty, allow_empty } = &self.args.records;
        let sources = input.sources()?;
        let progress = Progress::new(&self.ctx.console, None, "bases");
        let (mut portion, mut held) = (Vec::new(), 0);
        let mut record = Record::default();
        for source in &sources {
            let mut reader = scan::open(source, input)?;
            while reader.read_record(&mut record)? {
                if record.is_empty() {
                    scan::check_empty(&record, reader.name(), *skip_empty)?;
                    continue;
                }
                self.totals.records += 1;
                if input.upper {
                    record.sequence.make_ascii_uppercase();
                }
                for span in windows.over(record.len()) {
                    held += span.len();
                    let whole = span.len() == record.len();
                    let bases = if whole {
                        std::mem::take(&mut record.sequence)
                    } else {
                        record.sequence[span.clone()].to_vec()
                    };
                    portion.push(Window { record: record.id.clone(), start: span.start, bases });
                    if held >= PORTION {
                        self.work(&portion, &progress)?;
                        portion.clear();
                        held = 0;
                    }
                }
            }
            scan::warn(&reader, &self.ctx.console);
        }
        self.work(&portion, &progress)?;
        progress.finish();
        ensure!(self.totals.records > 0 || *allow_empty, "{}: no records", scan::names(&sources));
        Ok(())
    }

    fn work(&mut self, portion: &[Window], progress: &Progress) -> anyhow::Result<()> {
        let (trim, tokenizer) = (self.trim, self.tokenizer);
        let dropped = |window: &Window| match trim {
            Some(k) if window.bases.len() > k => window.bases.len() % k,
            _ => 0,
        };
        let special = !self.args.no_special;
        let encode = |window: &Window| tokenizer.encode(&window.bases[dropped(window)..], special);
        let encodings: Vec<Result<Encoding, Error>> = portion.par_iter().map(encode).collect();
        for (window, encoding) in portion.iter().zip(encodings) {
            let encoding = encoding.map_err(|error| {
                anyhow::Error::new(error)
                    .context(format!("record {} cannot be tokenized", window.record.escape_debug()))
            })?;
            let start = (window.start + dropped(window)) as u64;
            let end = (window.start + window.bases.len()) as u64;
            self.count(window, dropped(window), &encoding)?;
            self.totals.trimmed += dropped(window) as u64;
            self.writer.push(Sequence { record: &window.record, start, end }, &encoding)?;
            progress.inc(window.bases.len() as u64);
        }
        Ok(())
    }

    fn count(&mut self, window: &Window, dropped: usize, encoding: &Encoding) -> anyhow::Result<()> {
        let totals = &mut self.totals;
        totals.sequences += 1;
        totals.bases += window.bases.len() as u64;
        totals.tokens += encoding.len() as u64;
        let Some(unk) = self.tokenizer.special().unk else { return Ok(()) };
        let mut counted = 0;
        for (at, span) in encoding
            .ids
            .iter()
            .zip(&encoding.spans)
            .filter(|(id, _)| **id == unk)
            .map(|(_, span)| span)
            .enumerate()
        {
            if at == 0 && self.args.unknown == Unknown::Error {
                let text = String::from_utf8_lossy(
                    &window.bases[dropped..][span.start..span.end.min(span.start + 40)],
                )
                .into_owned();
                bail!(
                    "record {}: the tokenizer has no token for {} at base {}; --unknown allow reads it as an unknown one",
                    window.record.escape_debug(),
                    text.escape_debug(),
                    window.start + dropped + span.start
                );
            }
            totals.unknown += 1;
            // Tokens that overlap share bases.
            totals.unknown_bases += span.end.saturating_sub(span.start.max(counted)) as u64;
            counted = span.end;
        }
        Ok(())
    }

    fn finish(self, on_stdout: bool, output: String) -> anyhow::Result<()> {
        let Self { args, ctx, tokenizer, writer, totals, .. } = self;
        if totals.unknown > 0 && !args.compat && args.unknown == Unknown::Warn {
            ctx.console.warn(format_args!(
                "{} bases became {} unknown tokens{}",
                totals.unknown_bases,
                totals.unknown,
                if args.records.input.upper { "" } else { "; --upper reads lower case" }
            ));
        }
        let mut facts: Map<_, _> = metadata(tokenizer);
        for (name, value) in [
            ("special_tokens", json!(!args.no_special)),
            ("upper", json!(args.records.input.upper)),
            ("trim", json!(args.trim)),
            ("window", json!(args.windows.window)),
            ("overlap", json!(args.windows.overlap)),
            ("records", json!(totals.records)),
            ("tokens", json!(totals.tokens)),
            ("unknown_tokens", json!(totals.unknown)),
        ] {
            facts.insert(name.to_owned(), value);
        }
        writer.finish(&facts)?;
        let summary = Summary::new("tokenize")
            .fact("records", totals.records)
            .fact("sequences", totals.sequences)
            .fact("bases", totals.bases)
            .fact("tokens", totals.tokens)
            .fact("unknown_tokens", totals.unknown)
            .fact("unknown_bases", totals.unknown_bases)
            .fact("bases_trimmed", totals.trimmed)
            .fact("tokenizer", tokenizer.name())
            .fact("output", output);
        ctx.console.summary(&summary, on_stdout)
    }
}
