//! `kilobase embed`: sequences in, rows of numbers out.

use std::num::NonZeroUsize;

use anyhow::{Context, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use kilobase::data::export::{Error as ExportError, Finish, Format, Spool, Stretch};
use kilobase::data::fastx::Record;
use kilobase::data::window::Windows;
use kilobase::models::run::{Embedder, Embedding, Error as RunError, Pooling};
use serde_json::{Map, Value, json};

use super::args::{InputArgs, ModelArgs, OutputArgs, Source, WindowArgs};
use super::doctor::Memory;
use super::exit::{Missing, Usage};
use super::load::{Loaded, load};
use super::output::{Stdout, Summary};
use super::progress::Progress;
use super::scan::{self, Scan, name, names, scan};
use super::{Ctx, output};

mod aggregate;

use aggregate::{Aggregate, aggregate};

/// Windows go through in portions of about so many bases: the unit of progress, of memory and of resuming.
const PORTION_BASES: usize = 1 << 16;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    windows: WindowArgs,
    /// How the states of a sequence's tokens become rows. mean, max: over all tokens, special tokens included
    #[arg(
        long,
        value_name = "POOLING",
        default_value = "mean",
        value_parser = PossibleValuesParser::new(Pooling::ALL.map(Pooling::name)).try_map(|name| name.parse::<Pooling>())
    )]
    pool: Pooling,
    /// Layer to take the states from: 0 for the embeddings, 1 for the first layer [default: the last]
    #[arg(long, value_name = "N")]
    layer: Option<usize>,
    /// How the windows of a record become one row
    #[arg(long, value_enum, default_value_t = Aggregate::None)]
    aggregate: Aggregate,
    /// Tokens that go through the model at once; a longer sequence goes alone
    #[arg(long, value_name = "N", default_value = "4096")]
    batch_tokens: NonZeroUsize,
    /// Leave records without bases out instead of ending with an error
    #[arg(long)]
    skip_empty: bool,
    /// Write an empty result for an input without records instead of ending with an error
    #[arg(long)]
    allow_empty: bool,
    /// Print what would be done, and what memory it takes, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let sources = args.input.sources()?;
    let format = args.output.format()?;
    let windows = match args.windows.checked()? {
        Some((size, overlap)) => Windows::new(size.get(), overlap)?,
        None => Windows::whole(),
    };
    if args.aggregate != Aggregate::None && args.pool == Pooling::None {
        return Err(
            Usage("--aggregate needs one row a window: choose another --pool than none".to_owned()).into()
        );
    }
    let file = args.output.file();
    if let Some(path) = file.filter(|path| path.exists() && !args.output.force && !args.dry_run) {
        return Err(ExportError::Exists { path: path.to_owned() }.into());
    }
    // Standard input can be read once: no totals, no resuming.
    let seen = if sources.contains(&Source::Stdin) {
        None
    } else {
        Some(scan(&sources, &args.input, windows, args.skip_empty, &ctx.console)?)
    };
    if let Some(scan) = &seen {
        ensure!(scan.records > 0 || args.allow_empty, "{}: no records", names(&sources));
        // Half a minute on a laptop with a model of usual size; from here on it grows with the square.
        if args.windows.window.is_none() && scan.longest > 100_000 {
            ctx.console.warn(format_args!(
                "a record has {} bases and goes in whole, which takes time with the square of its length; --window cuts records",
                scan.longest
            ));
        }
        if scan.letters.lower > 0 && !args.input.upper {
            let (lower, total) = (scan.letters.lower, scan.letters.total());
            ctx.console.warn(format_args!(
                "{lower} of {total} letters are lower case, which DNA tokenizers do not know; --upper reads them as upper case"
            ));
        }
    }
    let loaded = load(&args.model, ctx)?;
    let layer = args.layer.unwrap_or(loaded.model.layers());
    if layer > loaded.model.layers() {
        return Err(Usage(format!("--layer {layer}: the model has {} layers", loaded.model.layers())).into());
    }
    // What the weights left; a batch that needs more is refused with the numbers.
    let memory = Memory::look().map(|memory| memory.available);
    let embedder = Embedder {
        model: &loaded.model,
        tokenizer: &*loaded.tokenizer,
        layer,
        pooling: args.pool,
        batch_tokens: args.batch_tokens.get(),
        memory_limit: memory,
    };
    let plan = plan(args, layer, &loaded, seen.as_ref());
    if args.dry_run {
        return dry_run(&embedder, &loaded, seen.as_ref(), &plan, ctx);
    }
    let width = loaded.model.hidden_size();
    let spool = match file {
        None => Spool::scratch(width)?,
        Some(path) if args.output.restart || seen.is_none() => {
            Spool::restart(path, &Value::Object(plan.clone()), width)?
        }
        Some(path) => Spool::open(path, &Value::Object(plan.clone()), width)?,
    };
    let job = Job { args, ctx, embedder, windows, seen };
    let (spool, counts) = job.work(&sources, spool)?;
    let mut metadata = plan;
    // Facts that do not change the numbers: a file that was moved does not stop a run from being continued.
    metadata.insert("seed".to_owned(), ctx.seed.into());
    metadata.insert("inputs".to_owned(), sources.iter().map(name).collect());
    metadata.insert("model_name".to_owned(), args.model.model.as_deref().into());
    let rows = job.write(spool, format, &metadata)?;
    ctx.console.summary(&job.summary(counts, rows), file.is_none())
}

/// All that decides the numbers, which a resumed run must share and the metadata say.
fn plan(args: &Args, layer: usize, loaded: &Loaded, seen: Option<&Scan>) -> Map<String, Value> {
    let window = args.windows.window.map(NonZeroUsize::get);
    let plan = json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "embed",
        "model": loaded.facts,
        "layer": layer,
        "pooling": args.pool.name(),
        "special_tokens": true,
        "window": window,
        "overlap": window.map(|_| args.windows.overlap),
        "aggregate": args.aggregate.name(),
        "upper": args.input.upper,
        "lenient": args.input.lenient,
        "skip_empty": args.skip_empty,
        "batch_tokens": args.batch_tokens,
        "sequences_sha256": seen.map(|scan| &scan.sha256),
    });
    match plan {
        Value::Object(plan) => plan,
        _ => unreachable!("written as an object above"),
    }
}

fn dry_run(
    embedder: &Embedder<'_>,
    loaded: &Loaded,
    seen: Option<&Scan>,
    plan: &Map<String, Value>,
    ctx: &Ctx,
) -> anyhow::Result<()> {
    let mut summary = Summary::new("embed --dry-run");
    if let Some(scan) = seen {
        summary = summary
            .fact("records", scan.records)
            .fact("bases", scan.letters.total())
            .fact("windows", scan.windows)
            .fact("longest_record", scan.longest);
    }
    let activations = embedder.model.activation_bytes(embedder.batch_tokens);
    let summary = summary
        .fact("weights_bytes", loaded.weight_bytes)
        .fact("batch_bytes", activations)
        .fact("available_bytes", embedder.memory_limit)
        .fact("plan", Value::Object(plan.clone()));
    ctx.console.summary(&summary, false)
}

/// Too little memory is told with what helps.
fn hint(error: RunError) -> anyhow::Error {
    if !matches!(error, RunError::Memory { .. }) {
        return error.into();
    }
    let hint = "a smaller --window or --batch-tokens takes less memory".to_owned();
    Missing { what: error.to_string(), hint }.into()
}

/// Counts for the end.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    records: u64,
    windows: u64,
    resumed: u64,
    bases: u64,
    tokens: u64,
    unknown: u64,
}

/// A stretch that waits for its portion to be full.
struct Pending {
    record: String,
    start: usize,
    bases: Vec<u8>,
}

struct Job<'a> {
    args: &'a Args,
    ctx: &'a Ctx,
    embedder: Embedder<'a>,
    windows: Windows,
    seen: Option<Scan>,
}

impl Job<'_> {
    /// Embeds every window that the spool does not hold yet.
    fn work(&self, sources: &[Source], mut spool: Spool) -> anyhow::Result<(Spool, Counts)> {
        let mut counts = Counts { resumed: spool.items(), ..Counts::default() };
        if counts.resumed > 0 {
            let folder = spool.folder().display();
            self.ctx
                .console
                .info(format_args!("going on after {} windows found in {folder}", counts.resumed));
        }
        let progress = Progress::new(&self.ctx.console, self.seen.as_ref().map(|scan| scan.work), "bases");
        let mut portion = Vec::new();
        let mut held = 0;
        let mut record = Record::default();
        for source in sources {
            let mut reader = scan::open(source, &self.args.input)?;
            while reader.read_record(&mut record)? {
                if record.is_empty() {
                    scan::check_empty(&record, reader.name(), self.args.skip_empty)?;
                    continue;
                }
                counts.records += 1;
                if self.args.input.upper {
                    record.sequence.make_ascii_uppercase();
                }
                for span in self.windows.over(record.len()) {
                    counts.windows += 1;
                    counts.bases += span.len() as u64;
                    if counts.windows <= counts.resumed {
                        progress.skip(span.len() as u64);
                        continue;
                    }
                    held += span.len();
                    let bases = record.sequence[span.clone()].to_vec();
                    portion.push(Pending { record: record.id.clone(), start: span.start, bases });
                    if held >= PORTION_BASES {
                        self.portion(&portion, &mut spool, &mut counts, &progress)?;
                        portion.clear();
                        held = 0;
                    }
                }
            }
            if self.seen.is_none() {
                scan::warn(&reader, &self.ctx.console);
            }
        }
        self.portion(&portion, &mut spool, &mut counts, &progress)?;
        progress.finish();
        ensure!(counts.records > 0 || self.args.allow_empty, "{}: no records", names(sources));
        if let Some(scan) = &self.seen {
            // The file may have changed between the passes.
            ensure!(
                (scan.records, scan.work) == (counts.records, counts.bases),
                "{}: changed while it was read",
                names(sources)
            );
        }
        Ok((spool, counts))
    }

    fn portion(
        &self,
        portion: &[Pending],
        spool: &mut Spool,
        counts: &mut Counts,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        if portion.is_empty() {
            return Ok(());
        }
        let texts: Vec<&[u8]> = portion.iter().map(|pending| pending.bases.as_slice()).collect();
        let advance = |members: &[usize]| progress.inc(members.iter().map(|&m| texts[m].len() as u64).sum());
        let embeddings = self.embedder.embed_with(&texts, advance).map_err(hint).with_context(|| {
            let (first, last) = (&portion[0], &portion[portion.len() - 1]);
            format!(
                "cannot embed the windows from base {} of {} to base {} of {}",
                first.start,
                first.record.escape_debug(),
                last.start + last.bases.len(),
                last.record.escape_debug()
            )
        })?;
        let unknown = self.embedder.tokenizer.special().unk;
        let (mut items, mut rows) = (Vec::with_capacity(portion.len()), Vec::new());
        for (pending, embedding) in portion.iter().zip(embeddings) {
            let ids = &embedding.encoding.ids;
            counts.tokens += ids.len() as u64;
            counts.unknown += ids.iter().filter(|&&id| Some(id) == unknown).count() as u64;
            items.push(self.item(pending, &embedding));
            rows.extend(embedding.rows);
        }
        spool.append(&items, &rows)?;
        Ok(())
    }

    fn item(&self, pending: &Pending, embedding: &Embedding) -> Stretch {
        let Embedding { encoding, .. } = embedding;
        let per_token = self.embedder.pooling == Pooling::None;
        let place = |at: usize| (pending.start + at) as u64;
        let spans: Vec<[u64; 2]> = encoding.spans.iter().map(|s| [place(s.start), place(s.end)]).collect();
        Stretch {
            record: pending.record.clone(),
            start: place(0),
            end: place(pending.bases.len()),
            tokens: encoding.len() as u64,
            rows: if per_token { encoding.len() as u64 } else { 1 },
            spans: if per_token { spans } else { Vec::new() },
        }
    }

    /// Brings the rows to their final form; gives their number.
    fn write(&self, windows: Spool, format: Format, metadata: &Map<String, Value>) -> anyhow::Result<u64> {
        let columns: &[&str] = match self.embedder.pooling {
            Pooling::None => &Stretch::TOKEN_COLUMNS,
            _ => &Stretch::COLUMNS,
        };
        let finish = Finish { format, columns, metadata, force: self.args.output.force };
        let file = self.args.output.file();
        if self.args.aggregate == Aggregate::None {
            let rows = windows.rows();
            match file {
                Some(_) => windows.finish(&finish)?,
                None => windows.write(&finish, &mut Stdout::new())?,
            }
            return Ok(rows);
        }
        let mut records = Spool::scratch(windows.width())?;
        aggregate(windows.read()?, &mut records, self.args.aggregate)?;
        let rows = records.rows();
        match file {
            Some(path) => {
                records.finish_as(path, &finish)?;
                windows.discard()?;
            }
            None => records.write(&finish, &mut Stdout::new())?,
        }
        Ok(rows)
    }

    fn summary(&self, counts: Counts, rows: u64) -> Summary {
        let fresh = counts.windows - counts.resumed;
        if counts.unknown > 0 {
            let share = 100.0 * counts.unknown as f64 / counts.tokens as f64;
            self.ctx.console.warn(format_args!(
                "{} of {} tokens ({share:.2} %) are unknown to the tokenizer: N, other codes, or lower case",
                counts.unknown, counts.tokens
            ));
        }
        let mut summary = Summary::new("embed")
            .fact("records", counts.records)
            .fact("bases", counts.bases)
            .fact("windows", counts.windows)
            .fact("windows_resumed", counts.resumed)
            .fact("windows_embedded", fresh)
            .fact("tokens", counts.tokens)
            .fact("tokens_unknown", counts.unknown)
            .fact("rows", rows)
            .fact("width", self.embedder.model.hidden_size());
        if let Some(scan) = self.seen.as_ref().filter(|scan| scan.skipped > 0) {
            summary = summary.fact("records_skipped", scan.skipped);
        }
        summary.fact("output", output::shown(self.args.output.file()))
    }
}
