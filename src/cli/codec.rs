//! `kilobase codec`: the constrained, error-correcting words that archives are made of, one by one.

use std::io::{BufRead, Write};

use anyhow::anyhow;
use clap::{Subcommand, ValueEnum};
use kilobase::codecs::dloco::{
    Candidate, Codebook, Decoded, Entry, Hamming, Mode, Params, Ranker, Residue, RunLimit, Value, alphabet,
};
use serde_json::json;

use super::Ctx;
use super::exit::Usage;
use super::output::Stdout;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what codes of chosen lengths carry: bits a word, bits a nucleotide, share of the capacity
    Table(Table),
    /// Turn numbers into words
    Encode(Encode),
    /// Turn words into numbers, and correct them
    Decode(Decode),
}

/// Which words carry messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Book {
    /// EC D-LOCO: words whose index leaves one residue
    Residue,
    /// H-LOCO: words whose quaternary Hamming syndrome is zero
    Hamming,
}

#[derive(Debug, clap::Args)]
struct Table {
    /// Longest run of one nucleotide [default: 1 2 3]
    #[arg(long, value_name = "RUN", num_args = 1..)]
    run_limit: Vec<usize>,
    /// Nucleotides of a word [default: all of the built-in table]
    #[arg(long, value_name = "LENGTH", num_args = 1..)]
    length: Vec<usize>,
    /// Search a divisor where the table has none (up to minutes for long words)
    #[arg(long)]
    search_r: bool,
}

/// One code.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Code")]
struct CodeArgs {
    /// Longest run of one nucleotide
    #[arg(long, value_name = "RUN", default_value_t = 3)]
    run_limit: usize,
    /// Nucleotides of a word
    #[arg(long, value_name = "LENGTH", default_value_t = 64)]
    length: usize,
    /// Which words carry messages
    #[arg(long, value_enum, default_value_t = Book::Residue)]
    codebook: Book,
    /// R, an odd number that is proven before use: larger ones detect more [default: the smallest of the table]
    #[arg(long, value_name = "R")]
    divisor: Option<u32>,
    /// One word a message and one bit more, without a complement for balance
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, clap::Args)]
struct Encode {
    #[command(flatten)]
    code: CodeArgs,
    /// Write the complementary words, of opposite GC disparity
    #[arg(long)]
    complement: bool,
    /// Numbers to encode; - or none reads them from standard input, one a line
    #[arg(value_name = "NUMBER")]
    items: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Decode {
    #[command(flatten)]
    code: CodeArgs,
    /// Words to decode; - or none reads them from standard input, one a line
    #[arg(value_name = "WORD")]
    items: Vec<String>,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    match &args.command {
        Command::Table(table) => table.run(ctx),
        Command::Encode(encode) => encode.run(),
        Command::Decode(decode) => decode.run(ctx),
    }
}

impl CodeArgs {
    fn code(&self) -> Result<Box<dyn Codebook>, Usage> {
        let usage = |error: kilobase::codecs::dloco::Error| Usage(error.to_string());
        match self.codebook {
            Book::Hamming if self.plain || self.divisor.is_some() => {
                Err(Usage("--plain and --divisor belong to --codebook residue".to_owned()))
            }
            Book::Hamming => Ok(Box::new(Hamming::new(self.run_limit, self.length).map_err(usage)?)),
            Book::Residue => {
                let params = match self.divisor {
                    Some(divisor) => Params::with_divisor(self.run_limit, self.length, divisor),
                    None => Params::new(self.run_limit, self.length),
                };
                let mode = if self.plain { Mode::Plain } else { Mode::Balanced };
                Ok(Box::new(Residue::new(params.map_err(usage)?.mode(mode))))
            }
        }
    }
}

/// Calls `each` with every item and its line, from the command line or standard input.
fn each_item(
    items: &[String],
    mut each: impl FnMut(usize, &str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    if items.is_empty() || items == ["-"] {
        for (number, line) in std::io::stdin().lock().lines().enumerate() {
            let line = line?;
            if !line.trim().is_empty() {
                each(number + 1, line.trim())?;
            }
        }
        return Ok(());
    }
    items.iter().enumerate().try_for_each(|(number, item)| each(number + 1, item))
}

impl Encode {
    fn run(&self) -> anyhow::Result<()> {
        let code = self.code.code()?;
        let bits = code.payload_bits();
        let mut out = Stdout::new();
        each_item(&self.items, |number, item| {
            let message: Value = item.parse().map_err(|error| anyhow!("item {number}: {error}"))?;
            if message.bits() > bits {
                return Err(anyhow!("item {number}: {message} is not below 2^{bits}, what a word holds"));
            }
            let word = alphabet::to_ascii(&code.encode(&message, self.complement && !self.code.plain));
            out.write_all(&word)?;
            Ok(out.write_all(b"\n")?)
        })?;
        Ok(out.flush()?)
    }
}

/// One line of what a word says.
struct Row {
    status: &'static str,
    entry: Option<Entry>,
    distance: Option<usize>,
    position: Option<usize>,
    word: Option<Vec<u8>>,
}

impl Row {
    fn list(status: &'static str, candidates: Vec<Candidate>) -> Vec<Self> {
        let row = |candidate: Candidate| Self {
            status,
            entry: Some(candidate.entry),
            distance: Some(candidate.distance),
            position: None,
            word: Some(candidate.word),
        };
        candidates.into_iter().map(row).collect()
    }

    fn one(
        status: &'static str,
        entry: Entry,
        distance: usize,
        position: Option<usize>,
        word: Vec<u8>,
    ) -> Self {
        Self { status, entry: Some(entry), distance: Some(distance), position, word: Some(word) }
    }
}

impl Decode {
    fn run(&self, ctx: &Ctx) -> anyhow::Result<()> {
        let code = self.code.code()?;
        let mut out = Stdout::new();
        if !ctx.json {
            writeln!(out, "received\tstatus\tmessage\tcomplement\tdistance\tposition\tword")?;
        }
        each_item(&self.items, |number, item| {
            let received =
                alphabet::to_symbols(item.as_bytes()).map_err(|error| anyhow!("item {number}: {error}"))?;
            for row in rows(&*code, &received) {
                write_row(&mut out, ctx.json, item, &row)?;
            }
            Ok(())
        })?;
        Ok(out.flush()?)
    }
}

fn rows(code: &dyn Codebook, received: &[u8]) -> Vec<Row> {
    let rows = match received.len() as i64 - code.length() as i64 {
        -1 => Row::list("deletion", code.after_deletion(received)),
        1 => Row::list("insertion", code.after_insertion(received)),
        _ => match code.decode(received) {
            Decoded::Clean(entry) => vec![Row::one("clean", entry, 0, None, received.to_vec())],
            Decoded::Corrected { entry, position, symbol } => {
                let mut word = received.to_vec();
                word[position] = symbol;
                vec![Row::one("corrected", entry, 1, Some(position), word)]
            }
            Decoded::List(list) => Row::list("list", list),
            Decoded::Failed => Vec::new(),
        },
    };
    if rows.is_empty() {
        return vec![Row { status: "failed", entry: None, distance: None, position: None, word: None }];
    }
    rows
}

fn write_row(out: &mut Stdout, json: bool, item: &str, row: &Row) -> anyhow::Result<()> {
    let word = row.word.as_ref().map(|word| String::from_utf8_lossy(&alphabet::to_ascii(word)).into_owned());
    let message = row.entry.map(|entry| entry.message.to_string());
    let complement = row.entry.map(|entry| entry.complement);
    if json {
        // Messages are too long for the numbers of JSON.
        let document = json!({
            "received": item, "status": row.status, "message": message, "complement": complement,
            "distance": row.distance, "position": row.position, "word": word,
        });
        return Ok(writeln!(out, "{document}")?);
    }
    let shown = |value: Option<String>| value.unwrap_or_else(|| ".".to_owned());
    writeln!(
        out,
        "{item}\t{}\t{}\t{}\t{}\t{}\t{}",
        row.status,
        shown(message),
        shown(complement.map(|complement| complement.to_string())),
        shown(row.distance.map(|distance| distance.to_string())),
        shown(row.position.map(|position| position.to_string())),
        shown(word),
    )?;
    Ok(())
}

impl Table {
    fn run(&self, ctx: &Ctx) -> anyhow::Result<()> {
        let usage = |error: kilobase::codecs::dloco::Error| Usage(error.to_string());
        let limits = if self.run_limit.is_empty() { &[1, 2, 3][..] } else { &self.run_limit };
        let mut out = Stdout::new();
        if !ctx.json {
            writeln!(
                out,
                "run_limit\tlength\tcodebook\tdivisor\tconstrained_bits\tpayload_bits\tbits_per_nt\tcapacity_share"
            )?;
        }
        for &limit in limits {
            let run_limit = RunLimit::new(limit).map_err(usage)?;
            let listed: Vec<usize> = Params::listed(run_limit).collect();
            let lengths = if self.length.is_empty() { &listed } else { &self.length };
            for &length in lengths {
                let params = match Params::new(limit, length) {
                    Err(kilobase::codecs::dloco::Error::NoDivisor { .. }) if self.search_r => {
                        Params::search(limit, length, 3)
                    }
                    params => params,
                };
                let residue = Residue::new(params.map_err(usage)?);
                let divisor = Some(residue.params().divisor());
                row(&mut out, ctx.json, (run_limit, length), ("residue", divisor), &residue)?;
                // It has no words of more than 85 nucleotides, and none at all of some very short lengths.
                if let Ok(hamming) = Hamming::new(limit, length) {
                    row(&mut out, ctx.json, (run_limit, length), ("hamming", None), &hamming)?;
                }
            }
        }
        Ok(out.flush()?)
    }
}

fn row(
    out: &mut Stdout,
    json: bool,
    (run_limit, length): (RunLimit, usize),
    (codebook, divisor): (&str, Option<u32>),
    code: &dyn Codebook,
) -> anyhow::Result<()> {
    let constrained = Ranker::new(run_limit, length).words().bits() - 1;
    let (bits, rate, share) = (code.payload_bits(), code.rate(), code.rate() / run_limit.capacity());
    if json {
        let document = json!({
            "run_limit": run_limit.get(), "length": length, "codebook": codebook, "divisor": divisor,
            "constrained_bits": constrained, "payload_bits": bits, "bits_per_nt": rate, "capacity_share": share,
        });
        return Ok(writeln!(out, "{document}")?);
    }
    let divisor = divisor.map_or_else(|| ".".to_owned(), |divisor| divisor.to_string());
    writeln!(
        out,
        "{run_limit}\t{length}\t{codebook}\t{divisor}\t{constrained}\t{bits}\t{rate:.4}\t{share:.3}"
    )?;
    Ok(())
}
