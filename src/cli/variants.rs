//! `kilobase variants`: what a model thinks of the changes in a VCF file or a table.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use kilobase::data::export::AtomicFile;
use kilobase::data::regions::Reference;
use kilobase::data::variants::{Field, Finish, Order, Reader, Record, Writer, index};
use kilobase::models::run::price::Rates;
use serde_json::{Map, Value, json};

use super::Ctx;
use super::args::ModelArgs;
use super::decoder::{ChunkArgs, ContextArgs};
use super::exit::Usage;
use super::load::{Loaded, load};
use super::output::{self, Stdout, Summary};
use super::progress::Progress;

mod edit;
mod plan;
mod price;
mod scorer;

use edit::EditArgs;
use scorer::{Sizes, VariantScorer};

/// Records between two looks at the disk: the unit of resuming.
const PORTION: usize = 256;

#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Args {
    /// Variants: VCF, plain, gzip or bgzf, or a table with a header line (chrom, pos, ref, alt), separated by tabs or commas
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// Reference: FASTA, plain, bgzf or gzip; an index beside it is used
    #[arg(short, long, value_name = "FASTA")]
    reference: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
    /// Scores to compute [default: llr for decoders, pll for encoders]
    #[arg(long, value_name = "SCORES", value_delimiter = ',', value_enum)]
    score: Vec<Score>,
    /// Bases before the variant that the model reads [default: 8192 for decoders, 150 for encoders]
    #[arg(long, value_name = "BASES")]
    left: Option<usize>,
    /// Bases after the variant that count (llr) or are read (pll) [default: 300, 150 for encoders]
    #[arg(long, value_name = "BASES")]
    right: Option<usize>,
    /// llr: variants that fall into the same stretch of so many bases share one pass over what is before them
    #[arg(long, value_name = "BASES", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    share: u64,
    /// llr: the mean over both strands
    #[arg(long)]
    both_strands: bool,
    #[command(flatten)]
    edit: EditArgs,
    /// Score variants near N or other codes too; the model reads them as unknown
    #[arg(long)]
    allow_n: bool,
    /// File to write: .vcf, .tsv or .csv, with .gz as bgzf; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Write records by contig and position in place of the order of the input
    #[arg(long)]
    sort: bool,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
    /// Begin anew where an unfinished run could be continued
    #[arg(long)]
    restart: bool,
    /// Print what would be done, and what memory and about what time it takes, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// A way to score a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Score {
    /// Decoders, single bases: ln(p(ref) / (p(alt) + 1e-10)) of the base after what is upstream, as GENERator's authors score;
    /// positive is less probable
    Vep,
    /// Decoders: ln P(alt) - ln P(ref) of the bases from the variant on; negative is less probable
    Llr,
    /// Encoders: pseudo-log-likelihood of alt minus that of ref; negative is less probable
    Pll,
}

impl Score {
    fn id(self) -> &'static str {
        match self {
            Self::Vep => "KB_VEP",
            Self::Llr => "KB_LLR",
            Self::Pll => "KB_PLL",
        }
    }

    fn field(self, edit: &EditArgs) -> Field {
        let description = match self {
            Self::Llr if edit.pie().is_some() => {
                "about ln P(alt) - ln P(ref) under the model, from the variant on, by edits of the cache; negative: less probable"
            }
            Self::Vep => {
                "ln(p(ref)/(p(alt)+1e-10)) of the base under the model after what is upstream; positive: less probable"
            }
            Self::Llr => {
                "ln P(alt) - ln P(ref) under the model, from the variant on; negative: less probable"
            }
            Self::Pll => "pseudo-log-likelihood of alt minus that of ref; negative: less probable",
        };
        Field::per_alternate(self.id(), description)
    }
}

impl Args {
    fn file(&self) -> Option<&Path> {
        (self.output.as_os_str() != "-").then_some(&self.output)
    }

    /// The scores that were asked for, if the model can give them.
    fn scores(&self, loaded: &Loaded) -> anyhow::Result<Vec<Score>> {
        let decoder = loaded.decoder("a score of decoders").is_ok();
        let default = if decoder { Score::Llr } else { Score::Pll };
        let mut scores = if self.score.is_empty() { vec![default] } else { self.score.clone() };
        scores.dedup();
        for score in &scores {
            if (*score == Score::Pll) == decoder {
                let (needs, is) =
                    if decoder { ("an encoder", "a decoder") } else { ("a decoder", "an encoder") };
                let name = score.to_possible_value().expect("no score is hidden").get_name().to_owned();
                bail!(Usage(format!("--score {name} needs {needs}; {} is {is}", loaded.model.family())));
            }
        }
        Ok(scores)
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    if let Some(path) = args.file().filter(|_| !args.dry_run) {
        AtomicFile::check(path, args.force)?;
    }
    let reference = Reference::open(&args.reference)?;
    for warning in reference.warnings() {
        ctx.console.warn(format_args!("{}: {warning}", reference.name()));
    }
    let seen = plan::scan(&args.input, args.file(), ctx)?;
    let loaded = load(&args.model, ctx)?;
    let scores = args.scores(&loaded)?;
    args.edit.check(&scores)?;
    let sizes = Sizes::new(args.left, args.right, args.share, !scores.contains(&Score::Pll));
    let scorer = VariantScorer::new(args, &loaded, &reference, scores, sizes, ctx)?;
    let plan = plan::plan(args, &loaded, &scorer, &seen);
    if args.dry_run {
        let summary = Summary::new("variants --dry-run")
            .fact("records", seen.records)
            .fact("alternates", seen.alternates)
            .fact("tokens_of_a_window", scorer.tokens());
        let cost = price::cost(&args.input, &scorer)?;
        let rates = Rates::measure(&loaded.model, scorer.reading())?;
        let summary = crate::cli::price::add(summary, &loaded, &cost, &rates, 0.0);
        return ctx.console.summary(&summary.fact("plan", Value::Object(plan)), false);
    }
    let fields = || scorer.scores().iter().map(|score| score.field(&args.edit)).collect();
    let mut writer = match args.file() {
        None => Writer::scratch(fields())?,
        Some(path) if args.restart => Writer::restart(path, &Value::Object(plan.clone()), fields())?,
        Some(path) => Writer::open(path, &Value::Object(plan.clone()), fields())?,
    };
    let resumed = writer.completed();
    if resumed > 0 {
        ctx.console.info(format_args!("going on after {resumed} records of an earlier run"));
    }
    work(args, &scorer, &mut writer, seen.records, ctx)?;
    let mut metadata: Map<String, Value> = plan;
    metadata.insert("seed".to_owned(), ctx.seed.into());
    metadata.insert("input".to_owned(), args.input.display().to_string().into());
    metadata.insert("reference".to_owned(), args.reference.display().to_string().into());
    metadata.insert("model_name".to_owned(), args.model.name().into());
    let order = if args.sort { Order::Position } else { Order::Source };
    let finish = Finish { order, metadata: &metadata, force: args.force };
    let source = Reader::open(&args.input)?;
    let written = if let Some(path) = args.file() {
        // An old index would lead to wrong places of the new file.
        for old in index::names(path).iter().filter(|_| args.force && index::is_indexed(path)) {
            index::remove(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
        writer.finish(source, &finish)?
    } else {
        let format = source.header().format();
        writer.write(source, format, &finish, &mut Stdout::new())?
    };
    let index = args.file().filter(|path| index::is_indexed(path));
    let index = index.map(|path| write_index(path, &reference, ctx)).transpose()?.flatten();
    let skipped: u64 = written.skipped.values().sum();
    if skipped > 0 {
        let reasons: Vec<String> =
            written.skipped.iter().map(|(code, count)| format!("{count} {code}")).collect();
        ctx.console.warn(format_args!(
            "{skipped} of {} alternates have no score: {}",
            written.alternates,
            reasons.join(", ")
        ));
    }
    let summary = Summary::new("variants")
        .fact("records", written.records)
        .fact("records_resumed", resumed)
        .fact("alternates", written.alternates)
        .fact("alternates_skipped", skipped)
        .fact("skipped", json!(written.skipped));
    let summary =
        if args.edit.pie().is_some() { scorer.errors().tell(summary, &ctx.console) } else { summary };
    let summary = summary.fact("output", output::shown(args.file()));
    let summary = match &index {
        Some(path) => summary.fact("index", output::shown(Some(path))),
        None => summary,
    };
    ctx.console.summary(&summary, args.file().is_none())
}

/// Makes the index of a finished file; gives its name, or says why there is none.
fn write_index(path: &Path, reference: &Reference, ctx: &Ctx) -> anyhow::Result<Option<PathBuf>> {
    let longest = reference.contigs().iter().map(|contig| contig.length).max().unwrap_or(0);
    Ok(match index::write(path, longest)? {
        index::Outcome::Written(path) => Some(path),
        index::Outcome::Unsorted { contig, position } => {
            ctx.console.warn(format_args!(
                "{}: no index, since {} at {position} is not in order; --sort brings records in order",
                path.display(),
                contig.escape_debug()
            ));
            None
        }
    })
}

/// Scores every record that the writer does not hold yet.
fn work(
    args: &Args,
    scorer: &VariantScorer<'_>,
    writer: &mut Writer,
    records: u64,
    ctx: &Ctx,
) -> anyhow::Result<()> {
    let resumed = writer.completed();
    let progress = Progress::new(&ctx.console, Some(records), "variants");
    progress.skip(resumed);
    let mut reader = Reader::open(&args.input)?;
    let mut portion: Vec<Record> = Vec::new();
    // Portions are those of an uninterrupted run: which variants share a pass decides the last bits of their scores.
    let (mut number, begin) = (0, resumed - resumed % PORTION as u64);
    loop {
        let mut record = Record::default();
        let more = reader.read_record(&mut record)?;
        if more {
            number += 1;
            if number <= begin {
                continue;
            }
            portion.push(record);
        }
        if portion.len() == PORTION || !more {
            let done = resumed.saturating_sub(number - portion.len() as u64) as usize;
            for stretch in scorer.stretches(&portion) {
                let records = &portion[stretch.start.max(done).min(stretch.end)..stretch.end];
                if records.is_empty() {
                    continue;
                }
                let outcomes = scorer
                    .score(records)
                    .with_context(|| format!("{}: line {}", reader.name(), records[0].line))?;
                writer.append(&outcomes)?;
                progress.inc(records.len() as u64);
            }
            portion.clear();
        }
        if !more {
            progress.finish();
            ensure!(number == records, "{}: changed while it was read", reader.name());
            return Ok(());
        }
    }
}
