//! `kilobase decompress`: back to the bytes that `kilobase compress` read.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use kilobase::codecs::compress::fasta;
use kilobase::data::export::AtomicFile;

use super::Ctx;
use super::compress::{SUFFIX, open};
use super::exit::Usage;
use super::output::{Stdout, Summary, shown};
use super::progress::Progress;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File of kilobase compress; - is standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// File to write; - is standard output [default: the input's name without .kbz]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
}

impl Args {
    fn output(&self) -> Result<PathBuf, Usage> {
        match &self.output {
            Some(path) => Ok(path.clone()),
            None if self.input.as_os_str() == "-" => Ok(PathBuf::from("-")),
            None if self.input.extension().is_some_and(|suffix| suffix == SUFFIX) => {
                Ok(self.input.with_extension(""))
            }
            None => {
                let shown = self.input.display();
                Err(Usage(format!("{shown}: does not end with .{SUFFIX}; name the output with -o")))
            }
        }
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let output = args.output()?;
    let file = (output.as_os_str() != "-").then_some(output.as_path());
    if let Some(path) = file {
        AtomicFile::check(path, args.force)?;
    }
    let (mut input, _) = open(&args.input)?;
    let begun = Instant::now();
    let progress = Progress::new(&ctx.console, None, "bytes");
    let done = |bytes: u64| progress.inc(bytes);
    let context = || format!("{}", args.input.display());
    let length = match file {
        // Nothing can be taken back from a pipe; the exit code tells whether it was the whole file.
        None => {
            let mut out = Stdout::new();
            let length = fasta::decompress(&mut input, &mut out, done).with_context(context)?;
            out.flush()?;
            length
        }
        Some(path) => {
            let mut out = AtomicFile::create(path, args.force)?;
            let length = fasta::decompress(&mut input, &mut out, done).with_context(context)?;
            out.commit()?;
            length
        }
    };
    progress.finish();
    let seconds = begun.elapsed().as_secs_f64().max(1e-9);
    let summary = Summary::new("decompress")
        .fact("bytes", length)
        .fact("megabytes_a_second", (length as f64 / 1e4 / seconds).round() / 1e2)
        .fact("output", shown(file));
    ctx.console.summary(&summary, file.is_none())
}
