//! `kilobase archive decode`: reads of a pool as the file.

use std::fs;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::builder::PossibleValuesParser;
use kilobase::codecs::archive::Preset;
use kilobase::codecs::archive::decode::{Decoder, recognise};
use kilobase::codecs::archive::manifest::Manifest;
use kilobase::codecs::archive::report::{Edits, Report};
use kilobase::data::export::AtomicFile;
use kilobase::data::fastx::Record;

use super::super::Ctx;
use super::super::args::{InputArgs, Source};
use super::super::output::{Stdout, Summary, shown};
use super::super::progress::Progress;
use super::super::scan::{names, open, warn};
use super::presets;

/// Reads go through in portions of about so many bases.
const PORTION_BASES: usize = 1 << 20;
/// Reads by which a preset is recognised.
const SAMPLE: usize = 200;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// File to write; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Manifest of the pool
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    manifest: Option<PathBuf>,
    /// Preset that the pool was made with, where there is no manifest [default: what most of 200 reads are]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(presets()))]
    preset: Option<String>,
    /// Beginning of the names of the reports, to which .json and .tsv are added; a failed run leaves
    /// them too, and the next replaces them [default: OUTPUT.report]
    #[arg(long, value_name = "PREFIX")]
    report: Option<PathBuf>,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
}

impl Args {
    fn file(&self) -> Option<&Path> {
        (self.output.as_os_str() != "-").then_some(&self.output)
    }

    /// Names of the reports, JSON first.
    fn reports(&self) -> Vec<PathBuf> {
        let with = |path: &Path, end: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        match (&self.report, self.file()) {
            (Some(prefix), _) => vec![with(prefix, ".json"), with(prefix, ".tsv")],
            (None, Some(file)) => vec![with(file, ".report.json"), with(file, ".report.tsv")],
            (None, None) => Vec::new(),
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let sources = args.input.sources()?;
    if let Some(file) = args.file() {
        AtomicFile::check(file, args.force)?;
    }
    let mut decoder = match (&args.manifest, &args.preset) {
        (Some(path), _) => {
            let shown = path.display().to_string();
            let json = fs::read(path).with_context(|| shown.clone())?;
            Some(Decoder::new(Manifest::parse(&json, &shown)?)?)
        }
        (None, Some(name)) => {
            let preset = Preset::find(name).expect("names are checked by the parser");
            Some(Decoder::without_manifest(&preset.format(ctx.seed))?)
        }
        (None, None) => None,
    };
    let progress = Progress::new(&ctx.console, None, "reads");
    let mut portion = Portion::default();
    for source in &sources {
        read(source, args, ctx, &mut portion, &mut decoder, &progress)?;
    }
    portion.flush(&mut decoder, ctx, &progress)?;
    progress.finish();
    // Without a single read there is nothing to recognise.
    let decoder = decoder.with_context(|| format!("{}: no reads", names(&sources)))?;
    restore(decoder, args, ctx).with_context(|| format!("cannot restore the file from {}", names(&sources)))
}

/// Reads that were not given to the decoder yet.
#[derive(Default)]
struct Portion {
    reads: Vec<Vec<u8>>,
    bases: usize,
}

impl Portion {
    fn flush(&mut self, decoder: &mut Option<Decoder>, ctx: &Ctx, progress: &Progress) -> anyhow::Result<()> {
        if self.reads.is_empty() {
            return Ok(());
        }
        if decoder.is_none() {
            let sample = &self.reads[..self.reads.len().min(SAMPLE)];
            let format = recognise(sample, ctx.seed)?;
            ctx.console.info(format_args!(
                "the reads are strands of {} words of {} nucleotides",
                format.words, format.word_length
            ));
            *decoder = Some(Decoder::without_manifest(&format)?);
        }
        decoder.as_mut().expect("set above").push(&self.reads);
        progress.inc(self.reads.len() as u64);
        self.reads.clear();
        self.bases = 0;
        Ok(())
    }
}

fn read(
    source: &Source,
    args: &Args,
    ctx: &Ctx,
    portion: &mut Portion,
    decoder: &mut Option<Decoder>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut reader = open(source, &args.input)?;
    let mut record = Record::default();
    while reader.read_record(&mut record)? {
        portion.bases += record.len();
        portion.reads.push(std::mem::take(&mut record.sequence));
        if portion.bases >= PORTION_BASES || portion.reads.len() >= PORTION_BASES / 16 {
            portion.flush(decoder, ctx, progress)?;
        }
    }
    warn(&reader, &ctx.console);
    Ok(())
}

fn restore(decoder: Decoder, args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let mut bytes = 0;
    let report = if let Some(file) = args.file() {
        let mut out = Counting { inner: AtomicFile::create(file, args.force)?, bytes: &mut bytes };
        let report = finish(decoder, args, &mut out)?;
        out.inner.commit()?;
        report
    } else {
        // What goes to standard output cannot be taken back, so it is restored as a whole first.
        let mut kept = tempfile::tempfile().context("cannot keep the restored file")?;
        let report = finish(decoder, args, &mut Counting { inner: &mut kept, bytes: &mut bytes })?;
        kept.rewind()?;
        let mut stdout = Stdout::new();
        std::io::copy(&mut kept, &mut stdout)?;
        stdout.flush()?;
        report
    };
    ctx.console.summary(&summary(&report, bytes, args), args.file().is_none())
}

/// Restores the file and writes the reports, which tell why where there is no file.
fn finish(decoder: Decoder, args: &Args, out: &mut impl Write) -> anyhow::Result<Report> {
    let (report, outcome) = decoder.finish(out);
    write_reports(args, &report)?;
    outcome?;
    Ok(report)
}

struct Counting<'a, W> {
    inner: W,
    bytes: &'a mut u64,
}

impl<W: Write> Write for Counting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(bytes)?;
        *self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn write_reports(args: &Args, report: &Report) -> anyhow::Result<()> {
    let texts = [serde_json::to_string_pretty(report)? + "\n", report.groups_tsv()];
    for (path, text) in args.reports().iter().zip(texts) {
        let mut out = AtomicFile::create(path, true)?;
        out.write_all(text.as_bytes())?;
        out.commit()?;
    }
    Ok(())
}

fn summary(report: &Report, bytes: u64, args: &Args) -> Summary {
    let least = report.groups.iter().map(|group| group.margin).min();
    let erasures: usize = report.groups.iter().map(|group| group.erasures).sum();
    // Reads that are understood alone have fewer errors than all; those of clusters tell more where there were any.
    let edits = |edits: &Edits| edits.rates().map(|rate| (rate * 1e5).round() / 1e3).to_vec();
    let mut summary = Summary::new("archive decode")
        .fact("reads", report.reads)
        .fact("understood", report.understood)
        .fact("without_primers", report.without_primers)
        .fact("groups", report.groups.len())
        .fact("erasures", erasures)
        .fact("least_margin", least)
        .fact("sub_del_ins_percent_of_understood", edits(&report.understood_edits));
    if report.clusters > 0 {
        summary = summary
            .fact("clusters", report.clusters)
            .fact("clusters_understood", report.clusters_understood)
            .fact("sub_del_ins_percent_of_clustered", edits(&report.clustered_edits));
    }
    summary.fact("bytes", bytes).fact("output", shown(args.file()))
}
