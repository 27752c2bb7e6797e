//! `kilobase embed`: sequences in, rows of numbers out.

use std::num::NonZeroUsize;

use anyhow::Context;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use kilobase::data::export::{Error as ExportError, Finish, Format, Spool, Stretch};
use kilobase::data::window::Windows;
use kilobase::models::family::Model;
use kilobase::models::run::kmers::Kmers;
use kilobase::models::run::price::{Cost, Pricer, Rates};
use kilobase::models::run::{Embedder, Embedding, Error as RunError, Long, Pooling, Reading};
use serde_json::{Map, Value, json};

use super::args::{ModelArgs, OutputArgs, WindowArgs};
use super::decoder::ContextArgs;
use super::doctor::Memory;
use super::exit::{Missing, Usage};
use super::load::{Loaded, load};
use super::output::{Stdout, Summary};
use super::price::{self, Held, Tokens};
use super::progress::Progress;
use super::records::{Counts, RecordArgs, Records, Window};
use super::scan::Scan;
use super::{Ctx, output};

mod aggregate;
mod tail;

use aggregate::{Aggregate, aggregate};
use tail::Tail;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    records: RecordArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    windows: WindowArgs,
    #[command(flatten)]
    context: ContextArgs,
    /// Tokens that a decoder reads again where a sequence is longer than the context and is read in several passes
    /// [default: half of the context]
    #[arg(long, value_name = "TOKENS", conflicts_with = "cache_policy", help_heading = "Context")]
    context_overlap: Option<usize>,
    /// Drop bases from the left of a sequence that is not whole k-mers, as decoders are used; without it the rest at its end
    /// is read as one unknown token
    #[arg(long)]
    trim: bool,
    /// How the states of a sequence's tokens become rows. mean, max: over all tokens, special tokens included; last: what
    /// decoders are used with
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
    /// Tokens that go through the model at once; a longer sequence goes alone: whole through an encoder, in chunks of so many
    /// through a decoder
    #[arg(long, visible_alias = "chunk", value_name = "N", default_value = "4096")]
    batch_tokens: NonZeroUsize,
    /// Print what would be done, and what memory and about what time it takes, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
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
    let records = Records::survey(&args.records, windows, ctx)?;
    let loaded = load(&args.model, ctx)?;
    let layer = args.layer.unwrap_or(loaded.model.layers());
    if layer > loaded.model.layers() {
        return Err(Usage(format!("--layer {layer}: the model has {} layers", loaded.model.layers())).into());
    }
    let embedder = Embedder {
        model: &loaded.model,
        tokenizer: &*loaded.tokenizer,
        layer,
        pooling: args.pool,
        reading: reading(args, layer, &loaded, ctx)?,
        // What the weights left; a batch that needs more is refused with the numbers.
        memory_limit: Memory::look().map(|memory| memory.available),
    };
    let tail = Tail::new(Kmers::new(embedder.tokenizer).map(|kmers| kmers.k()), args.trim)?;
    if let Some(scan) = records.seen() {
        warn(args, scan, &embedder, tail, ctx);
    }
    let plan = plan(args, &embedder, &loaded, records.seen());
    if args.dry_run {
        return dry_run(&embedder, &loaded, tail, records.seen(), plan, ctx);
    }
    let mut spool = records.spool(file, args.output.restart, &plan, loaded.model.hidden_size())?;
    let mut job = Job { args, ctx, embedder, tail, totals: Totals::default() };
    let counts =
        records.work(&mut spool, 1, |portion, spool, progress| job.portion(portion, spool, progress))?;
    let metadata = records.metadata(plan, args.model.name());
    let rows = job.write(spool, format, &metadata)?;
    ctx.console.summary(&job.summary(counts, rows, records.seen()), file.is_none())
}

/// How the model reads sequences; encoders read them whole.
fn reading(args: &Args, layer: usize, loaded: &Loaded, ctx: &Ctx) -> anyhow::Result<Reading> {
    let Model::Generator { config, .. } = &loaded.model else {
        args.context.check_none(loaded.model.family())?;
        if args.context_overlap.is_some() {
            return Err(Usage("--context-overlap is about decoders".to_owned()).into());
        }
        return Ok(Reading::exact(args.batch_tokens.get()));
    };
    let overlap = args.context_overlap.unwrap_or(args.context.context(config) / 2);
    let reading = args.context.reading(config, overlap, args.batch_tokens, ctx)?;
    if let Long::Cache(policy) = &reading.long
        && (1..loaded.model.layers()).contains(&layer)
        && !policy.is_none()
    {
        return Err(Usage(format!(
            "--layer {layer}: under a cache policy only states of the last layer ({}) can be read",
            loaded.model.layers()
        ))
        .into());
    }
    Ok(reading)
}

/// What the first pass found that the user should know before hours of work.
fn warn(args: &Args, scan: &Scan, embedder: &Embedder<'_>, tail: Tail, ctx: &Ctx) {
    let decoder = matches!(embedder.model, Model::Generator { .. });
    // Half a minute on a laptop with a model of usual size; from here on it grows with the square.
    if args.windows.window.is_none() && scan.longest > 100_000 && !decoder {
        ctx.console.warn(format_args!(
            "a record has {} bases and goes in whole, which takes time with the square of its length; --window cuts records",
            scan.longest
        ));
    }
    let context = embedder.reading.context;
    if let (Long::Windows { overlap }, Some(k), true) = (&embedder.reading.long, tail.k(), decoder) {
        let long = scan.lengths.range((context as u64).saturating_sub(1).saturating_mul(k as u64) + 1..);
        let long: u64 = long.map(|(_, count)| count).sum();
        if long > 0 {
            ctx.console.info(format_args!(
                "{long} of {} sequences are longer than the context of {context} tokens and are read in passes that share \
                 {overlap}; --cache-policy reads them in one",
                scan.windows
            ));
        }
    }
    if scan.letters.lower > 0 && !args.records.input.upper {
        let (lower, total) = (scan.letters.lower, scan.letters.total());
        ctx.console.warn(format_args!(
            "{lower} of {total} letters are lower case, which DNA tokenizers do not know; --upper reads them as upper case"
        ));
    }
    let tails = scan.lengths.iter().filter(|(length, _)| tail.is_unknown(**length as usize));
    tail.warn(tails.map(|(_, count)| count).sum(), scan.windows, &ctx.console);
}

/// All that decides the numbers, which a resumed run must share and the metadata say.
fn plan(args: &Args, embedder: &Embedder<'_>, loaded: &Loaded, seen: Option<&Scan>) -> Map<String, Value> {
    let window = args.windows.window.map(NonZeroUsize::get);
    let decoder = loaded.decoder("").ok();
    let overlap = match embedder.reading.long {
        Long::Windows { overlap } => Some(overlap),
        Long::Cache(_) => None,
    };
    let plan = json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "embed",
        "model": loaded.facts,
        "layer": embedder.layer,
        "pooling": args.pool.name(),
        "special_tokens": true,
        "window": window,
        "overlap": window.map(|_| args.windows.overlap),
        "aggregate": args.aggregate.name(),
        "context": decoder.map(|(config, _)| args.context.plan(config, args.batch_tokens)),
        "context_overlap": overlap,
        "trim": args.trim,
        "upper": args.records.input.upper,
        "lenient": args.records.input.lenient,
        "skip_empty": args.records.skip_empty,
        "batch_tokens": args.batch_tokens,
        "sequences_sha256": seen.map(|scan| &scan.sha256),
    });
    match plan {
        Value::Object(plan) => plan,
        _ => unreachable!("written as an object above"),
    }
}

/// What all windows take.
fn cost(embedder: &Embedder<'_>, tail: Tail, scan: &Scan) -> Cost {
    let tokens = Tokens::new(embedder.tokenizer, &scan.sample);
    let lengths = scan.lengths.iter().map(|(&length, &count)| {
        let dropped = tail.dropped(length as usize) as u64;
        (tokens.of(length - dropped), count)
    });
    let cost = Pricer::states(embedder.model, &embedder.reading, embedder.layer).job(lengths);
    // Rows of all tokens wait for their portion to be full, and once more while they are brought together.
    let rows = match embedder.pooling {
        Pooling::None => 2 * tokens.of(price::largest_portion(scan)) * embedder.model.hidden_size() * 4,
        _ => 0,
    };
    // Where each token is, for the index.
    let place = if embedder.pooling == Pooling::None { size_of::<[u64; 2]>() as u64 } else { 0 };
    let held = Held::INPUT.and(0, place).of(scan, tokens) + rows as u64;
    Cost { sequence_bytes: held, ..cost }
}

fn dry_run(
    embedder: &Embedder<'_>,
    loaded: &Loaded,
    tail: Tail,
    seen: Option<&Scan>,
    plan: Map<String, Value>,
    ctx: &Ctx,
) -> anyhow::Result<()> {
    let mut summary = Summary::new("embed --dry-run");
    if let Some(scan) = seen {
        summary = summary
            .fact("records", scan.records)
            .fact("bases", scan.letters.total())
            .fact("windows", scan.windows)
            .fact("longest_record", scan.longest);
        let rates = Rates::measure(embedder.model, &embedder.reading)?;
        summary = price::add(summary, loaded, &cost(embedder, tail, scan), &rates, 0.0);
    }
    ctx.console.summary(&summary.fact("plan", Value::Object(plan)), false)
}

/// Too little memory is told with what helps.
fn hint(error: RunError) -> anyhow::Error {
    if !matches!(error, RunError::Memory { .. }) {
        return error.into();
    }
    let hint = "a smaller --window, --batch-tokens or --cache-budget takes less memory".to_owned();
    Missing { what: error.to_string(), hint }.into()
}

/// Counts for the end.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    tokens: u64,
    unknown: u64,
    trimmed: u64,
    /// Windows whose end is no whole token.
    tails: u64,
}

struct Job<'a> {
    args: &'a Args,
    ctx: &'a Ctx,
    embedder: Embedder<'a>,
    tail: Tail,
    totals: Totals,
}

impl Job<'_> {
    fn portion(&mut self, portion: &[Window], spool: &mut Spool, progress: &Progress) -> anyhow::Result<()> {
        let dropped = |window: &Window| self.tail.dropped(window.bases.len());
        let texts: Vec<&[u8]> = portion.iter().map(|window| &window.bases[dropped(window)..]).collect();
        let advance = |letters: usize| progress.inc(letters as u64);
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
        for (window, embedding) in portion.iter().zip(embeddings) {
            let ids = &embedding.encoding.ids;
            self.totals.tokens += ids.len() as u64;
            self.totals.unknown += ids.iter().filter(|&&id| Some(id) == unknown).count() as u64;
            self.totals.tails += u64::from(self.tail.is_unknown(window.bases.len()));
            let trimmed = dropped(window);
            self.totals.trimmed += trimmed as u64;
            progress.inc(trimmed as u64);
            items.push(self.item(window, trimmed, &embedding));
            rows.extend(embedding.rows);
        }
        spool.append(&items, &rows)?;
        Ok(())
    }

    fn item(&self, window: &Window, trimmed: usize, embedding: &Embedding) -> Stretch {
        let Embedding { encoding, .. } = embedding;
        let per_token = self.embedder.pooling == Pooling::None;
        let place = |at: usize| (window.start + trimmed + at) as u64;
        let spans: Vec<[u64; 2]> = encoding.spans.iter().map(|s| [place(s.start), place(s.end)]).collect();
        Stretch {
            record: window.record.clone(),
            start: place(0),
            end: (window.start + window.bases.len()) as u64,
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

    fn summary(&self, counts: Counts, rows: u64, seen: Option<&Scan>) -> Summary {
        let fresh = counts.windows - counts.resumed;
        let totals = self.totals;
        if totals.unknown > 0 {
            let share = 100.0 * totals.unknown as f64 / totals.tokens as f64;
            self.ctx.console.warn(format_args!(
                "{} of {} tokens ({share:.2} %) are unknown to the tokenizer: N, other codes, lower case, or rests of no whole token",
                totals.unknown, totals.tokens
            ));
        }
        if seen.is_none() {
            self.tail.warn(totals.tails, fresh, &self.ctx.console);
        }
        let mut summary = Summary::new("embed")
            .fact("records", counts.records)
            .fact("bases", counts.bases)
            .fact("windows", counts.windows)
            .fact("windows_resumed", counts.resumed)
            .fact("windows_embedded", fresh)
            .fact("tokens", totals.tokens)
            .fact("tokens_unknown", totals.unknown)
            .fact("rows", rows)
            .fact("width", self.embedder.model.hidden_size());
        if self.args.trim {
            summary = summary.fact("bases_trimmed", totals.trimmed);
        }
        if let Some(scan) = seen.filter(|scan| scan.skipped > 0) {
            summary = summary.fact("records_skipped", scan.skipped);
        }
        summary.fact("output", output::shown(self.args.output.file()))
    }
}
