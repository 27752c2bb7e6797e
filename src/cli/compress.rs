//! `kilobase compress`: FASTA files in fewer bits, and what each model makes of them.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use kilobase::codecs::compress::bytes::{Encoder, Kind};
use kilobase::codecs::compress::code_length::CodeLength;
use kilobase::codecs::compress::fasta::{self, BlockReport};
use kilobase::codecs::compress::markov::Markov;
use kilobase::data::export::AtomicFile;

use super::Ctx;
use super::args::ModelArgs;
use super::exit::Usage;
use super::load::load;
use super::neural::Neural;
use super::output::{Stdout, Summary, shown};
use super::progress::Progress;

/// What a compressed file's name ends with.
pub(super) const SUFFIX: &str = "kbz";

/// Orders and compressors of the report.
const ORDERS: [u32; 3] = [2, 6, 11];
const PEERS: [(Kind, u8); 4] = [(Kind::Gzip, 9), (Kind::Xz, 9), (Kind::Zstd, 19), (Kind::Brotli, 11)];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File to compress; - is standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// File to write; - is standard output [default: the input's name with .kbz]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Bytes of a block, in MiB: blocks are compressed on their own and in parallel, and larger ones smaller
    #[arg(long, value_name = "MIB", default_value = "16", value_parser = clap::value_parser!(u32).range(1..=256))]
    block: u32,
    /// Also write a table of bits a base: by block, for our model and for others
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Bases of a decoder's report for each block: it is slow
    #[arg(long, value_name = "BASES", default_value = "100000", requires = "model")]
    neural_bases: NonZeroUsize,
    #[command(flatten)]
    model: ModelArgs,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
}

impl Args {
    fn output(&self) -> PathBuf {
        match &self.output {
            Some(path) => path.clone(),
            None if self.input.as_os_str() == "-" => PathBuf::from("-"),
            None => {
                let mut name = self.input.clone().into_os_string();
                name.push(".");
                name.push(SUFFIX);
                name.into()
            }
        }
    }
}

/// The file, or standard input, and how many bytes it has.
pub(super) fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let context = || format!("{}", path.display());
    let file = File::open(path).with_context(context)?;
    let length = file.metadata().with_context(context)?.len();
    Ok((Box::new(BufReader::with_capacity(1 << 17, file)), Some(length)))
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let output = args.output();
    let file = (output.as_os_str() != "-").then_some(output.as_path());
    for path in file.into_iter().chain(args.report.as_deref()) {
        AtomicFile::check(path, args.force)?;
    }
    if file.is_none() && io::IsTerminal::is_terminal(&io::stdout()) {
        return Err(Usage("compressed bytes are not for a terminal; name a file with -o".to_owned()).into());
    }
    let loaded = match (&args.report, &args.model.model) {
        (Some(_), Some(_)) => Some(load(&args.model, ctx)?),
        _ => None,
    };
    let neural = loaded.as_ref().map(Neural::new).transpose()?;
    let (mut input, total) = open(&args.input)?;
    let begun = Instant::now();
    let mut report = args
        .report
        .as_deref()
        .map(|path| Report::new(path, args, neural.as_ref().map(|neural| neural as &dyn CodeLength)))
        .transpose()?;
    let progress = Progress::new(&ctx.console, total, "bytes");
    let mut failed = None;
    let mut reporting = std::time::Duration::ZERO;
    let mut done = |block: &BlockReport, content: &[u8]| {
        progress.inc(block.length);
        let begun = Instant::now();
        if let (Some(report), None) = (&mut report, &failed) {
            failed = report.line(block, content).err();
        }
        reporting += begun.elapsed();
    };
    let size = (args.block as usize) << 20;
    let shown_input = || format!("{}", args.input.display());
    let compressed = match file {
        None => {
            let mut out = Stdout::new();
            let compressed =
                fasta::compress(&mut input, &mut out, size, &mut done).with_context(shown_input)?;
            out.flush()?;
            compressed
        }
        Some(path) => {
            let mut out = AtomicFile::create(path, args.force)?;
            let compressed =
                fasta::compress(&mut input, &mut out, size, &mut done).with_context(shown_input)?;
            out.commit()?;
            compressed
        }
    };
    progress.finish();
    if let Some(error) = failed {
        return Err(error);
    }
    if let Some(report) = report {
        report.finish()?;
    }
    let fasta::Report { blocks, stored } = compressed;
    let sum = |of: fn(&BlockReport) -> u64| blocks.iter().map(of).sum::<u64>();
    let (length, bases) = (sum(|block| block.length), sum(|block| block.bases));
    let seconds = (begun.elapsed().saturating_sub(reporting)).as_secs_f64();
    let per_base = |bytes: u64| (bases > 0).then(|| (8e4 * bytes as f64 / bases as f64).round() / 1e4);
    let summary = Summary::new("compress")
        .fact("bytes", length)
        .fact("compressed", stored)
        .fact("ratio", (1e3 * length as f64 / stored.max(1) as f64).round() / 1e3)
        .fact("bases", bases)
        .fact("bits_per_base", per_base(stored))
        .fact("bits_per_base_of_bases", per_base(sum(|block| block.bases_stored)))
        .fact("blocks", blocks.len())
        .fact("megabytes_a_second", (length as f64 / 1e4 / seconds.max(1e-9)).round() / 1e2)
        .fact("output", shown(file));
    ctx.console.summary(&summary, file.is_none())
}

/// The table of `--report`.
struct Report<'a> {
    out: AtomicFile,
    neural: Option<&'a dyn CodeLength>,
    neural_bases: usize,
    block: u64,
}

impl<'a> Report<'a> {
    fn new(path: &Path, args: &Args, neural: Option<&'a dyn CodeLength>) -> anyhow::Result<Self> {
        let mut out = AtomicFile::create(path, args.force)?;
        write!(out, "#block\tbytes\tbases\tkilobase")?;
        for order in ORDERS {
            write!(out, "\torder_{order}")?;
        }
        for (kind, level) in PEERS {
            write!(out, "\t{}_{level}", kind.name())?;
        }
        if let Some(neural) = neural {
            write!(out, "\t{}\tkilobase_on_these\tneural_bases", neural.name())?;
        }
        writeln!(out)?;
        Ok(Self { out, neural, neural_bases: args.neural_bases.get(), block: 0 })
    }

    /// Bits a base of a block: of our own with all that is not bases, of models the bases alone, of compressors the bytes.
    fn line(&mut self, block: &BlockReport, content: &[u8]) -> anyhow::Result<()> {
        self.block += 1;
        let bases = bases_of(content);
        let count = bases.len().max(1) as f64;
        let own = 8.0 * block.stored as f64 / count;
        write!(self.out, "{}\t{}\t{}\t{own:.4}", self.block, block.length, bases.len())?;
        for order in ORDERS {
            let bits = Markov::new(order).expect("a short order").bits(&bases)?;
            write!(self.out, "\t{:.4}", bits / count)?;
        }
        for (kind, level) in PEERS {
            let size = Encoder::new(kind, level).size(content);
            write!(self.out, "\t{:.4}", 8.0 * size as f64 / count)?;
        }
        if let Some(neural) = self.neural {
            // The same bases for both, since a decoder reads less than a block in a night.
            let part = &bases[..bases.len().min(self.neural_bases)];
            let count = part.len().max(1) as f64;
            let own = kilobase::codecs::compress::markov::Mixture.bits(part)?;
            write!(self.out, "\t{:.4}\t{:.4}\t{}", neural.bits(part)? / count, own / count, part.len())?;
        }
        writeln!(self.out)?;
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        Ok(self.out.commit()?)
    }
}

/// The bases of lines that are no headers, in upper case.
fn bases_of(content: &[u8]) -> Vec<u8> {
    let lines = content.split(|&byte| byte == b'\n').filter(|line| !line.starts_with(b">"));
    let letters = lines.flatten().map(u8::to_ascii_uppercase);
    letters.filter(|letter| matches!(letter, b'A' | b'C' | b'G' | b'T')).collect()
}
