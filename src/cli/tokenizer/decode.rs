use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use kilobase::data::export::{AtomicFile, index_path};
use kilobase::data::tokenize::Tokenizer;

use crate::cli::Ctx;
use crate::cli::load;
use crate::cli::output::{Stdout, Summary, shown};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ids that tokenize wrote: tsv without offsets, or npy with its index beside it; - is tsv from standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,
    /// Tokenizer that made them
    #[arg(short, long, value_name = "PATH")]
    tokenizer: PathBuf,
    /// File to write, FASTA; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Bases of a line; 0 for one line a record
    #[arg(long, value_name = "BASES", default_value_t = 80)]
    width: usize,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let file = (args.output.as_os_str() != "-").then_some(args.output.as_path());
    if let Some(path) = file {
        AtomicFile::check(path, args.force)?;
    }
    let tokenizer = load::tokenizer(Some(&args.tokenizer), &args.tokenizer)?;
    let mut decoder = Decoder { tokenizer: &*tokenizer, width: args.width, sequences: 0, unknown: 0 };
    match file {
        None => {
            let mut out = Stdout::new();
            decoder.run(&args.input, &mut out)?;
            out.flush()?;
        }
        Some(path) => {
            let mut out = AtomicFile::create(path, args.force)?;
            decoder.run(&args.input, &mut out)?;
            out.commit()?;
        }
    }
    if decoder.unknown > 0 {
        let name = tokenizer.special().unk.and_then(|unk| tokenizer.token(unk)).unwrap_or_default();
        ctx.console.warn(format_args!(
            "{} unknown tokens are written as {name}: what they stood for is lost",
            decoder.unknown
        ));
    }
    let summary =
        Summary::new("tokenizer decode").fact("sequences", decoder.sequences).fact("output", shown(file));
    ctx.console.summary(&summary, file.is_none())
}

struct Decoder<'a> {
    tokenizer: &'a dyn Tokenizer,
    width: usize,
    sequences: u64,
    unknown: u64,
}

impl Decoder<'_> {
    fn run(&mut self, input: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
        let name = input.display();
        if input.as_os_str() == "-" {
            return self.table(BufReader::new(std::io::stdin().lock()), "standard input", out);
        }
        let file = BufReader::new(File::open(input).with_context(|| name.to_string())?);
        if input.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("npy")) {
            return self.array(file, input, out);
        }
        self.table(file, &name.to_string(), out)
    }

    fn table(&mut self, lines: impl BufRead, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
        for (number, line) in lines.lines().enumerate() {
            let line = line.with_context(|| name.to_owned())?;
            let cells: Vec<&str> = line.split('\t').collect();
            let place = || format!("{name}: line {}", number + 1);
            if number == 0 {
                let expected = ["record", "start", "end", "tokens", "ids"];
                ensure!(cells == expected, "{}: expected the names {}", place(), expected.join(", "));
                continue;
            }
            let &[record, start, end, tokens, ids] = &cells[..] else {
                bail!("{}: {} cells, expected 5", place(), cells.len());
            };
            let ids = ids
                .split_ascii_whitespace()
                .map(|id| {
                    id.parse::<u32>().with_context(|| format!("{}: {} is no id", place(), id.escape_debug()))
                })
                .collect::<anyhow::Result<Vec<u32>>>()?;
            ensure!(tokens == ids.len().to_string(), "{}: {} ids, expected {tokens}", place(), ids.len());
            self.write(record, start, end, &ids, out).with_context(place)?;
        }
        Ok(())
    }

    fn array(&mut self, mut file: impl Read, path: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
        let name = path.display();
        let size = header(&mut file).with_context(|| format!("{name}"))?;
        let index = index_path(path);
        let lines = BufReader::new(File::open(&index).with_context(|| index.display().to_string())?);
        let mut bytes = Vec::new();
        for (number, line) in lines.lines().enumerate().skip(1) {
            let line = line.with_context(|| index.display().to_string())?;
            let cells: Vec<&str> = line.split('\t').collect();
            let place = || format!("{}: line {}", index.display(), number + 1);
            let &[_, record, start, end, _, tokens] = &cells[..] else {
                bail!("{}: {} cells, expected 6", place(), cells.len());
            };
            let tokens: u64 = tokens.parse().with_context(place)?;
            bytes.clear();
            let wanted = tokens.saturating_mul(size as u64);
            file.by_ref().take(wanted).read_to_end(&mut bytes).with_context(|| format!("{name}"))?;
            ensure!(bytes.len() as u64 == wanted, "{name}: ends before the ids of {}", record.escape_debug());
            let id = |bytes: &[u8]| bytes.iter().rev().fold(0, |id, &byte| id << 8 | u32::from(byte));
            let ids: Vec<u32> = bytes.chunks(size).map(id).collect();
            self.write(record, start, end, &ids, out).with_context(place)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        record: &str,
        start: &str,
        end: &str,
        ids: &[u32],
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let unknown = self.tokenizer.special().unk;
        self.unknown += ids.iter().filter(|&&id| Some(id) == unknown).count() as u64;
        self.sequences += 1;
        let text = self.tokenizer.decode(ids)?;
        writeln!(out, ">{record} {start}-{end}")?;
        let width = if self.width == 0 { text.len().max(1) } else { self.width };
        for line in text.as_bytes().chunks(width) {
            out.write_all(line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

/// Reads the header of an array of ids; gives the bytes of one.
fn header(file: &mut impl Read) -> anyhow::Result<usize> {
    let mut start = [0; 10];
    file.read_exact(&mut start)?;
    ensure!(start.starts_with(b"\x93NUMPY\x01\x00"), "is not an npy file of format 1.0");
    let mut text = vec![0; usize::from(u16::from_le_bytes([start[8], start[9]]))];
    file.read_exact(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    if text.contains("'descr': '<u2'") {
        Ok(2)
    } else if text.contains("'descr': '<u4'") {
        Ok(4)
    } else {
        bail!("is not an array of ids that tokenize wrote")
    }
}
