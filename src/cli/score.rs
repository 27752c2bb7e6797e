//! `kilobase score`: how probable sequences are under a decoder.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use kilobase::data::alphabet;
use kilobase::data::export::{AtomicFile, Spool, metadata_path, track};
use kilobase::data::window::Windows;
use kilobase::models::run::Reading;
use kilobase::models::run::price::{Cost, Pricer, Rates};
use kilobase::models::run::score::{Likelihood, Scorer};
use serde_json::{Map, Value, json};

use super::Ctx;
use super::args::ModelArgs;
use super::decoder::{ChunkArgs, ContextArgs};
use super::load::{Loaded, load};
use super::output::{self, Stdout, Summary};
use super::price::{self, Held, Tokens};
use super::progress::Progress;
use super::records::{Counts, RecordArgs, Records, Window};
use super::scan::Scan;

mod item;

use item::Scored;

#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Args {
    #[command(flatten)]
    records: RecordArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
    /// Tokens that a window shares with the one before, where a sequence is longer than the context [default: half of the
    /// context]
    #[arg(long, value_name = "TOKENS", conflicts_with = "cache_policy")]
    overlap: Option<usize>,
    /// Score both strands: log_likelihood is the mean of the sequence's and of its reverse complement's
    #[arg(long)]
    both_strands: bool,
    /// Table to write, one line a record; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// File for the logarithm of the probability of each base (nats): .tsv, .bedgraph or .bw
    #[arg(long, value_name = "FILE")]
    track: Option<PathBuf>,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
    /// Begin anew where an unfinished run could be continued
    #[arg(long)]
    restart: bool,
    /// Print what would be done, and what memory and about what time it takes, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn file(&self) -> Option<&Path> {
        (self.output.as_os_str() != "-").then_some(&self.output)
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    for path in args.file().into_iter().chain(args.track.as_deref()) {
        if !args.dry_run {
            AtomicFile::check(path, args.force)?;
        }
    }
    // A suffix that names no track is better told now than after the work.
    args.track.as_deref().map(track::Format::from_path).transpose()?;
    let records = Records::survey(&args.records, Windows::whole(), ctx)?;
    let loaded = load(&args.model, ctx)?;
    let (config, model) = loaded.decoder("score")?;
    let overlap = args.overlap.unwrap_or(args.context.context(config) / 2);
    let reading = args.context.reading(config, overlap, args.chunk.chunk, ctx)?;
    let scorer = Scorer { model, tokenizer: &*loaded.tokenizer, reading };
    let plan = plan(args, &loaded, overlap, records.seen());
    let pricer = Pricer::predictions(&loaded.model, &scorer.reading);
    let cost = records.seen().map(|scan| {
        let tokens = Tokens::new(scorer.tokenizer, &scan.sample);
        cost(args, &pricer, tokens, scan)
    });
    if args.dry_run {
        return dry_run(&loaded, &scorer.reading, cost, records.seen(), plan, ctx);
    }
    cost.as_ref().map(price::check).transpose()?;
    let width = usize::from(args.track.is_some());
    let mut spool = records.spool(args.file().or(args.track.as_deref()), args.restart, &plan, width)?;
    let job = Job { args, ctx, scorer };
    let passes = if args.both_strands { 2 } else { 1 };
    let counts =
        records.work(&mut spool, passes, |portion, spool, progress| job.portion(portion, spool, progress))?;
    let metadata = records.metadata(plan, args.model.name());
    let totals = job.write(spool, &metadata)?;
    ctx.console.summary(&job.summary(counts, totals, records.seen()), args.file().is_none())
}

/// All that decides the numbers, which a resumed run must share and the metadata say.
fn plan(args: &Args, loaded: &Loaded, overlap: usize, seen: Option<&Scan>) -> Map<String, Value> {
    let (config, _) = loaded.decoder("score").expect("looked at before");
    let plan = json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "score",
        "model": loaded.facts,
        "context": args.context.plan(config, args.chunk.chunk),
        "overlap": args.context.cache_policy.is_none().then_some(overlap),
        "both_strands": args.both_strands,
        "upper": args.records.input.upper,
        "lenient": args.records.input.lenient,
        "skip_empty": args.records.skip_empty,
        "track": args.track.is_some(),
        "sequences_sha256": seen.map(|scan| &scan.sha256),
    });
    match plan {
        Value::Object(plan) => plan,
        _ => unreachable!("written as an object above"),
    }
}

/// What all strands of all records take.
fn cost(args: &Args, pricer: &Pricer<'_>, tokens: Tokens, scan: &Scan) -> Cost {
    let strands = if args.both_strands { 2 } else { 1 };
    let cost = pricer.job(tokens.of_all(scan)).times(f64::from(strands));
    // A number for each letter of a strand, those of both strands and their mean at once; the track's rows, and once more while
    // they are written.
    let numbers = size_of::<f64>() as u64 * if args.both_strands { 3 } else { 1 };
    let track = if args.track.is_some() { 2 * size_of::<f32>() as u64 } else { 0 };
    let other_strand = u64::from(args.both_strands);
    let held = Held::INPUT.and(numbers + track + other_strand, 0);
    Cost { sequence_bytes: held.of(scan, tokens), ..cost }
}

fn dry_run(
    loaded: &Loaded,
    reading: &Reading,
    cost: Option<Cost>,
    seen: Option<&Scan>,
    plan: Map<String, Value>,
    ctx: &Ctx,
) -> anyhow::Result<()> {
    let mut summary = Summary::new("score --dry-run");
    if let (Some(scan), Some(cost)) = (seen, cost) {
        summary = summary
            .fact("records", scan.records)
            .fact("bases", scan.letters.total())
            .fact("longest_record", scan.longest);
        summary = price::add(summary, loaded, &cost, &Rates::measure(&loaded.model, reading)?, 0.0);
    }
    ctx.console.summary(&summary.fact("plan", Value::Object(plan)), false)
}

/// Sums for the end.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    bases: u64,
    log_likelihood: f64,
    tokens: u64,
}

struct Job<'a> {
    args: &'a Args,
    ctx: &'a Ctx,
    scorer: Scorer<'a>,
}

impl Job<'_> {
    fn portion(
        &self,
        portion: &[Window],
        spool: &mut Spool<Scored>,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let named = || {
            let (first, last) = (&portion[0].record, &portion[portion.len() - 1].record);
            format!("cannot score the records from {} to {}", first.escape_debug(), last.escape_debug())
        };
        let score = |texts: &[&[u8]]| {
            self.scorer.score_with(texts, |letters| progress.inc(letters as u64)).with_context(named)
        };
        let texts: Vec<&[u8]> = portion.iter().map(|window| window.bases.as_slice()).collect();
        let mut scores = score(&texts)?;
        if self.args.both_strands {
            let others: Vec<Vec<u8>> = texts.iter().map(|text| alphabet::reverse_complement(text)).collect();
            let others = score(&others.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
            scores = scores.into_iter().zip(others).map(|(one, other)| mean(&one, &other)).collect();
        }
        let with_track = spool.width() > 0;
        let (mut items, mut rows) = (Vec::with_capacity(portion.len()), Vec::new());
        for (Window { record, bases, .. }, score) in portion.iter().zip(scores) {
            items.push(Scored::new(record, bases.len(), &score, with_track));
            if with_track {
                rows.extend(score.track.iter().map(|&value| value as f32));
            }
        }
        spool.append(&items, &rows)?;
        Ok(())
    }

    /// Brings the results to their final form, and adds up what the summary tells.
    fn write(&self, spool: Spool<Scored>, metadata: &Map<String, Value>) -> anyhow::Result<Totals> {
        let force = self.args.force;
        let mut totals = Totals::default();
        if let Some(path) = &self.args.track {
            item::write_track(&spool, path, force)?;
        }
        let mut each = |item: &Scored| {
            totals.bases += item.bases;
            totals.tokens += item.tokens;
            totals.log_likelihood += item.log_likelihood;
        };
        let Some(path) = self.args.file() else {
            item::write_table(&spool, &mut Stdout::new(), self.ctx.json, &mut each)?;
            // Without a table a track is the output that was waited for.
            spool.discard()?;
            return Ok(totals);
        };
        let mut table = AtomicFile::create(path, force)?;
        item::write_table(&spool, &mut table, false, &mut each)?;
        let mut facts = AtomicFile::create(metadata_path(path), true)?;
        writeln!(facts, "{:#}", Value::Object(metadata.clone()))?;
        facts.commit()?;
        table.commit()?;
        spool.discard()?;
        Ok(totals)
    }

    fn summary(&self, counts: Counts, totals: Totals, seen: Option<&Scan>) -> Summary {
        let bits = -totals.log_likelihood / std::f64::consts::LN_2 / totals.bases as f64;
        let mut summary = Summary::new("score")
            .fact("records", counts.records)
            .fact("records_resumed", counts.resumed)
            .fact("bases", totals.bases)
            .fact("tokens", totals.tokens)
            .fact("log_likelihood", totals.log_likelihood)
            .fact("bits_per_base", (totals.bases > 0).then_some(bits));
        if let Some(scan) = seen.filter(|scan| scan.skipped > 0) {
            summary = summary.fact("records_skipped", scan.skipped);
        }
        if let Some(track) = &self.args.track {
            summary = summary.fact("track", output::shown(Some(track)));
        }
        summary.fact("output", output::shown(self.args.file()))
    }
}

/// What both strands say of a sequence; the other strand's letters are turned back.
fn mean(one: &Likelihood, other: &Likelihood) -> Likelihood {
    let track = one.track.iter().zip(other.track.iter().rev()).map(|(&a, &b)| f64::midpoint(a, b)).collect();
    let log_likelihood = f64::midpoint(one.log_likelihood, other.log_likelihood);
    Likelihood { log_likelihood, bases: one.bases, tokens: one.tokens + other.tokens, track }
}
