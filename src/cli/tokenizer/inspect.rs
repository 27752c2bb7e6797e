use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use kilobase::data::fastx::Record;
use kilobase::data::tokenize::{HfTokenizer, Tokenizer};
use serde_json::{Map, Value, json};

use crate::cli::Ctx;
use crate::cli::args::InputArgs;
use crate::cli::load;
use crate::cli::output::Stdout;
use crate::cli::progress::Progress;
use crate::cli::scan;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// Tokenizer: a model's folder, or a tokenizer.json
    #[arg(short, long, value_name = "PATH")]
    tokenizer: PathBuf,
    /// Tokens to name: the most frequent ones of the sequences
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
}

pub(super) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let tokenizer = load::tokenizer(Some(&args.tokenizer), &args.tokenizer)?;
    let mut facts = vocabulary(&*tokenizer);
    let json_file =
        if args.tokenizer.is_dir() { args.tokenizer.join("tokenizer.json") } else { args.tokenizer.clone() };
    let encoder = if json_file.is_file() && HfTokenizer::from_file(&json_file)?.is_fast() {
        "linear, exact to the reference"
    } else if json_file.is_file() {
        "the reference library"
    } else {
        "k-mers"
    };
    facts.insert("encoder".to_owned(), encoder.into());
    if !args.input.inputs.is_empty() {
        facts.insert("sequences".to_owned(), sequences(args, &*tokenizer, ctx)?);
    }
    let mut out = Stdout::new();
    if ctx.json {
        writeln!(out, "{:#}", Value::Object(facts))?;
    } else {
        lines(&mut out, "", &facts)?;
    }
    Ok(out.flush()?)
}

/// A fact a line, with the names of what holds it before it.
fn lines(out: &mut impl Write, prefix: &str, facts: &Map<String, Value>) -> std::io::Result<()> {
    for (name, value) in facts {
        let name = format!("{prefix}{name}");
        match value {
            Value::Object(inner) => lines(out, &format!("{name}."), inner)?,
            Value::String(text) => writeln!(out, "{name}\t{text}")?,
            other => writeln!(out, "{name}\t{other}")?,
        }
    }
    Ok(())
}

fn vocabulary(tokenizer: &dyn Tokenizer) -> Map<String, Value> {
    let special = tokenizer.special();
    let tokens: Vec<&str> = (0..tokenizer.vocab_size() as u32)
        .filter(|&id| special.ids().all(|other| other != id))
        .filter_map(|id| tokenizer.token(id))
        .collect();
    let spelled: Vec<&&str> =
        tokens.iter().filter(|token| token.bytes().all(|letter| letter.is_ascii_alphabetic())).collect();
    let mut lengths: BTreeMap<usize, u64> = BTreeMap::new();
    for token in &spelled {
        *lengths.entry(token.len()).or_default() += 1;
    }
    let longest = spelled.iter().max_by_key(|token| token.len());
    let mean = spelled.iter().map(|token| token.len()).sum::<usize>() as f64 / spelled.len().max(1) as f64;
    let mark = |id: Option<u32>| id.map(|id| json!({ "id": id, "token": tokenizer.token(id) }));
    let facts = json!({
        "name": tokenizer.name(),
        "sha256": tokenizer.fingerprint(),
        "vocabulary": tokenizer.vocab_size(),
        "special": {
            "unknown": mark(special.unk), "start": mark(special.start), "end": mark(special.end),
            "padding": mark(special.pad), "mask": mark(special.mask),
        },
        "longest_token": longest,
        "longest_token_bases": longest.map(|token| token.len()),
        "mean_token_bases": mean,
        "tokens_by_bases": lengths.iter().map(|(length, count)| (length.to_string(), json!(count))).collect::<Map<_, _>>(),
    });
    match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    }
}

/// What becomes of the records of the inputs.
fn sequences(args: &Args, tokenizer: &dyn Tokenizer, ctx: &Ctx) -> anyhow::Result<Value> {
    let mut counts = vec![0_u64; tokenizer.vocab_size()];
    let (mut records, mut bases) = (0_u64, 0_u64);
    let (mut record, mut ids) = (Record::default(), Vec::new());
    let progress = Progress::new(&ctx.console, None, "bases");
    for source in &args.input.sources()? {
        let mut reader = scan::open(source, &args.input)?;
        while reader.read_record(&mut record)? {
            if args.input.upper {
                record.sequence.make_ascii_uppercase();
            }
            ids.clear();
            tokenizer.encode_ids(&record.sequence, false, &mut ids)?;
            for &id in &ids {
                counts[id as usize] += 1;
            }
            records += 1;
            bases += record.len() as u64;
            progress.inc(record.len() as u64);
        }
        scan::warn(&reader, &ctx.console);
    }
    progress.finish();
    let tokens: u64 = counts.iter().sum();
    let unknown = tokenizer.special().unk.map_or(0, |unk| counts[unk as usize]);
    let used = counts.iter().filter(|&&count| count > 0).count();
    let mut order: Vec<usize> = (0..counts.len()).filter(|&id| counts[id] > 0).collect();
    order.sort_by_key(|&id| (std::cmp::Reverse(counts[id]), id));
    let top: Vec<Value> = order
        .iter()
        .take(args.top)
        .map(|&id| json!({ "id": id, "token": tokenizer.token(id as u32), "count": counts[id] }))
        .collect();
    let longest = order.iter().filter_map(|&id| tokenizer.token(id as u32)).max_by_key(|token| token.len());
    Ok(json!({
        "records": records,
        "bases": bases,
        "tokens": tokens,
        "bases_per_token": bases as f64 / tokens.max(1) as f64,
        "bits_per_base": bits(&counts) / bases.max(1) as f64,
        "unknown_tokens": unknown,
        "vocabulary_used": used,
        "vocabulary_used_share": used as f64 / counts.len().max(1) as f64,
        "longest_token_used": longest,
        "most_frequent": top,
    }))
}

/// Bits of all tokens, each coded by how frequent it is.
fn bits(counts: &[u64]) -> f64 {
    let total = counts.iter().sum::<u64>() as f64;
    counts.iter().filter(|&&count| count > 0).map(|&count| count as f64 * (total / count as f64).log2()).sum()
}
