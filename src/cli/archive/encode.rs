//! `kilobase archive encode`: a file as a pool of oligos.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use kilobase::codecs::archive::encode::{Counts, Pool, Source};
use kilobase::codecs::archive::enzymes::Enzyme;
use kilobase::codecs::archive::{self, Format, Preset};
use kilobase::data::export::AtomicFile;

use super::super::Ctx;
use super::super::exit::Usage;
use super::super::output::{Stdout, Summary, shown};
use super::super::progress::Progress;
use super::{asked, presets};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File to encode; - is standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// FASTA file to write; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Manifest to write, which decoding reads [default: OUTPUT.manifest.json]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    strands: StrandArgs,
    /// Share of strands that restore others: as many may be lost of each group
    #[arg(long, value_name = "SHARE", default_value_t = 0.15)]
    redundancy: f64,
    /// Compress by zstd at this level first
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, default_missing_value = "12", value_parser = clap::value_parser!(i32).range(1..=22))]
    compress: Option<i32>,
    /// Restriction enzymes whose sites oligos should not have, by name
    #[arg(long, value_name = "ENZYME", value_delimiter = ',')]
    avoid: Vec<String>,
    /// Price of a nucleotide, for the cost in the summary
    #[arg(long, value_name = "PRICE")]
    price: Option<f64>,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
    /// Print strands, nucleotides, bits a nucleotide and cost, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// How strands look.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Strands")]
struct StrandArgs {
    /// A proven choice of words
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(presets()), conflicts_with_all = ["length", "words", "run_limit", "codebook"])]
    preset: Option<String>,
    /// Nucleotides of a word [default: 75]
    #[arg(long, value_name = "LENGTH")]
    length: Option<usize>,
    /// Words of a strand [default: 2]
    #[arg(long, value_name = "N")]
    words: Option<usize>,
    /// Longest run of one nucleotide [default: 3]
    #[arg(long, value_name = "RUN")]
    run_limit: Option<usize>,
    /// Which words carry data
    #[arg(long, value_enum, default_value_t = Book::Residue)]
    codebook: Book,
    /// Primer at the beginning of oligos, 5' to 3' [default: a built-in one]
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "no_primers")]
    forward_primer: Option<String>,
    /// Primer of the other strand, 5' to 3'; oligos end with its reverse complement [default: a built-in one]
    #[arg(long, value_name = "SEQUENCE", conflicts_with = "no_primers")]
    reverse_primer: Option<String>,
    /// Oligos without primers
    #[arg(long)]
    no_primers: bool,
}

/// Which words carry data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Book {
    /// EC D-LOCO: fewer bits, shorter lists of what a noisy word may have been
    Residue,
    /// H-LOCO: more bits, longer lists; words of up to 85 nucleotides
    Hamming,
}

impl StrandArgs {
    fn format(&self, seed: u64) -> anyhow::Result<Format> {
        let own = self.length.is_some() || self.words.is_some() || self.run_limit.is_some();
        let mut format = if own || self.codebook == Book::Hamming {
            let book = match self.codebook {
                Book::Residue => archive::Book::Residue,
                Book::Hamming => archive::Book::Hamming,
            };
            let (run_limit, length) = (self.run_limit.unwrap_or(3), self.length.unwrap_or(75));
            Format::new(book, run_limit, length, self.words.unwrap_or(2), seed).map_err(asked)?
        } else {
            let name = self.preset.as_deref().unwrap_or("std150");
            Preset::find(name).expect("names are checked by the parser").format(seed)
        };
        if let Some(primer) = &self.forward_primer {
            format.forward_primer = primer.to_ascii_uppercase();
        }
        if let Some(primer) = &self.reverse_primer {
            format.reverse_primer = primer.to_ascii_uppercase();
        }
        if self.no_primers {
            format.forward_primer.clear();
            format.reverse_primer.clear();
        }
        format.check().map_err(asked)?;
        Ok(format)
    }
}

impl Args {
    fn file(&self) -> Option<&Path> {
        (self.output.as_os_str() != "-").then_some(&self.output)
    }

    fn manifest(&self) -> Option<PathBuf> {
        let beside = |file: &Path| {
            let mut name = file.as_os_str().to_owned();
            name.push(".manifest.json");
            PathBuf::from(name)
        };
        self.manifest.clone().or_else(|| self.file().map(beside))
    }

    fn source(&self) -> archive::Result<Source> {
        if self.input.as_os_str() == "-" {
            return Source::spool(std::io::stdin().lock(), self.compress, "standard input");
        }
        Source::open(&self.input, self.compress)
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    if !args.dry_run {
        for path in args.file().map(Path::to_owned).into_iter().chain(args.manifest()) {
            AtomicFile::check(&path, args.force)?;
        }
    }
    if let Some(price) = args.price.filter(|price| !(*price >= 0.0 && price.is_finite())) {
        return Err(Usage(format!("--price {price} is no price")).into());
    }
    let format = args.strands.format(ctx.seed)?;
    let enzymes =
        args.avoid.iter().map(|name| Enzyme::find(name)).collect::<archive::Result<_>>().map_err(asked)?;
    let mut pool = Pool::plan(args.source()?, &format, args.redundancy, enzymes).map_err(asked)?;
    if args.dry_run {
        return ctx.console.summary(&summary(args, &pool, &format, None), false);
    }
    let progress = Progress::new(&ctx.console, Some(pool.geometry().total()), "strands");
    let name =
        args.input.file_name().map_or_else(|| "-".to_owned(), |name| name.to_string_lossy().into_owned());
    let manifest = pool.manifest(&name).to_json();
    let counts = if let Some(file) = args.file() {
        let mut out = AtomicFile::create(file, args.force)?;
        let counts = pool.write(&mut out, |strands| progress.inc(strands))?;
        // What is still buffered may not fit on the disk: a manifest without its pool would be in the way of the next run.
        out.flush().with_context(|| shown(Some(file)))?;
        if let Some(path) = args.manifest() {
            let mut beside = AtomicFile::create(&path, args.force)?;
            beside.write_all(manifest.as_bytes())?;
            beside.commit()?;
        }
        out.commit()?;
        counts
    } else {
        let mut out = Stdout::new();
        let counts = pool.write(&mut out, |strands| progress.inc(strands))?;
        out.flush()?;
        if let Some(path) = args.manifest() {
            let mut beside = AtomicFile::create(&path, args.force)?;
            beside.write_all(manifest.as_bytes())?;
            beside.commit()?;
        }
        counts
    };
    progress.finish();
    ctx.console.summary(&summary(args, &pool, &format, Some(&counts)), args.file().is_none())
}

fn summary(args: &Args, pool: &Pool, format: &Format, counts: Option<&Counts>) -> Summary {
    let geometry = pool.geometry();
    let name = if counts.is_some() { "archive encode" } else { "archive encode --dry-run" };
    let mut summary = Summary::new(name)
        .fact("bytes", pool.file_len())
        .fact("strands", geometry.total())
        .fact("groups", geometry.groups)
        .fact("parity_strands_of_a_group", geometry.parity)
        .fact("strand_nucleotides", format.strand_length())
        .fact("oligo_nucleotides", format.oligo_length())
        .fact("nucleotides", pool.nucleotides())
        .fact("bits_per_nt", (pool.net_rate() * 1e4).round() / 1e4);
    if let Some(price) = args.price {
        summary = summary.fact("cost", (pool.nucleotides() as f64 * price * 100.0).round() / 100.0);
    }
    if let Some(counts) = counts {
        let gc = counts.strong as f64 / counts.nucleotides.max(1) as f64;
        summary = summary
            .fact("gc", (gc * 1e4).round() / 1e4)
            .fact("strands_with_another_salt", counts.salted)
            .fact("strands_that_break_a_rule", counts.unclean)
            .fact("output", shown(args.file()));
    }
    summary
}
