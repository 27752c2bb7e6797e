//! `kilobase archive simulate`: a pool read through errors and losses.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use clap::builder::PossibleValuesParser;
use kilobase::codecs::archive::channel::{CHANNELS, Channel, Read};
use kilobase::codecs::dloco::alphabet::{to_ascii, to_symbols};
use kilobase::data::export::AtomicFile;
use kilobase::data::fastx::Record;
use rayon::prelude::*;

use super::super::Ctx;
use super::super::args::InputArgs;
use super::super::exit::Usage;
use super::super::output::{Stdout, Summary, shown};
use super::super::progress::Progress;
use super::super::scan::{names, open, warn};

/// Oligos are read in portions of so many, with all their reads in memory.
const PORTION: usize = 4096;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// FASTQ file to write; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// A channel with published rates; the flags below change some of them
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(CHANNELS.map(|(name, _)| name)))]
    channel: Option<String>,
    /// Share of nucleotides read as another [default: 0]
    #[arg(long, value_name = "SHARE")]
    sub: Option<f64>,
    /// Share of nucleotides with an additional one before them [default: 0]
    #[arg(long, value_name = "SHARE")]
    ins: Option<f64>,
    /// Share of nucleotides that are lost [default: 0]
    #[arg(long, value_name = "SHARE")]
    del: Option<f64>,
    /// Share of oligos that are lost altogether [default: 0]
    #[arg(long, value_name = "SHARE")]
    dropout: Option<f64>,
    /// Mean number of reads of an oligo [default: 1]
    #[arg(long, value_name = "READS")]
    coverage: Option<f64>,
    /// Standard deviation of the logarithm of the oligos' abundances [default: 0, by chance alone]
    #[arg(long, value_name = "SIGMA")]
    skew: Option<f64>,
    /// Share of bonds between nucleotides that break before reading [default: 0]
    #[arg(long, value_name = "SHARE")]
    breakage: Option<f64>,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
}

impl Args {
    fn file(&self) -> Option<&Path> {
        (self.output.as_os_str() != "-").then_some(&self.output)
    }

    fn channel(&self) -> Result<Channel, Usage> {
        let named = |name: &String| CHANNELS.into_iter().find(|(known, _)| known == name);
        let base =
            self.channel.as_ref().and_then(named).map_or_else(Channel::default, |(_, channel)| channel);
        let channel = Channel {
            substitution: self.sub.unwrap_or(base.substitution),
            insertion: self.ins.unwrap_or(base.insertion),
            deletion: self.del.unwrap_or(base.deletion),
            dropout: self.dropout.unwrap_or(base.dropout),
            coverage: self.coverage.unwrap_or(base.coverage),
            skew: self.skew.unwrap_or(base.skew),
            breakage: self.breakage.unwrap_or(base.breakage),
        };
        match channel.fault() {
            Some((name, value)) => Err(Usage(format!("a {name} of {value} is not possible"))),
            None => Ok(channel),
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let channel = args.channel()?;
    let sources = args.input.sources()?;
    let progress = Progress::new(&ctx.console, None, "oligos");
    let mut file = args.file().map(|path| AtomicFile::create(path, args.force)).transpose()?;
    let mut stdout = file.is_none().then(Stdout::new);
    let mut job = Job { channel, seed: ctx.seed, oligos: 0, reads: 0, bases: 0 };
    let mut portion = Vec::new();
    for source in &sources {
        let mut reader = open(source, &args.input)?;
        let mut record = Record::default();
        loop {
            let more = reader.read_record(&mut record)?;
            if more {
                let symbols = to_symbols(&record.sequence).map_err(|error| {
                    anyhow::anyhow!("{}: record {} (id {}): {error}", reader.name(), record.number, record.id)
                })?;
                portion.push((record.id.clone(), symbols));
            }
            if portion.len() >= PORTION || !more {
                let text = job.sequence(&portion);
                match (&mut file, &mut stdout) {
                    (Some(out), _) => out.write_all(&text)?,
                    (None, Some(out)) => out.write_all(&text)?,
                    (None, None) => unreachable!("one of them is set above"),
                }
                progress.inc(portion.len() as u64);
                portion.clear();
            }
            if !more {
                break;
            }
        }
        warn(&reader, &ctx.console);
    }
    ensure!(job.oligos > 0, "{}: no oligos", names(&sources));
    if let Some(file) = file {
        file.commit()?;
    }
    if let Some(mut stdout) = stdout {
        stdout.flush()?;
    }
    progress.finish();
    let summary = Summary::new("archive simulate")
        .fact("oligos", job.oligos)
        .fact("reads", job.reads)
        .fact("bases", job.bases)
        .fact("seed", ctx.seed)
        .fact("output", shown(args.file()));
    ctx.console.summary(&summary, args.file().is_none())
}

struct Job {
    channel: Channel,
    seed: u64,
    oligos: u64,
    reads: u64,
    bases: u64,
}

impl Job {
    /// FASTQ of all reads of some oligos.
    fn sequence(&mut self, oligos: &[(String, Vec<u8>)]) -> Vec<u8> {
        let first = self.oligos;
        let parts: Vec<Vec<Read>> = oligos
            .par_iter()
            .enumerate()
            .map(|(number, (_, oligo))| self.channel.read(oligo, first + number as u64, self.seed))
            .collect();
        self.oligos += oligos.len() as u64;
        let mut text = Vec::new();
        for ((id, _), reads) in oligos.iter().zip(parts) {
            for (number, read) in reads.iter().enumerate().filter(|(_, read)| !read.symbols.is_empty()) {
                self.reads += 1;
                self.bases += read.symbols.len() as u64;
                text.extend(format!("@{id}.{number}\n").bytes());
                text.extend(to_ascii(&read.symbols));
                text.extend(b"\n+\n");
                text.extend(read.quality.iter().map(|quality| quality + 33));
                text.push(b'\n');
            }
        }
        text
    }
}
