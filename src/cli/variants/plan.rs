//! The first pass over the variants, and what decides their scores.

use std::path::Path;

use kilobase::data::variants::{Reader, Record};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Args;
use super::scorer::VariantScorer;
use crate::cli::Ctx;
use crate::cli::load::Loaded;

/// What the input holds.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) records: u64,
    pub(super) alternates: u64,
    sha256: String,
}

/// Reads everything once: damage at the end of the file is found before any work.
pub(super) fn scan(input: &Path, output: Option<&Path>, ctx: &Ctx) -> anyhow::Result<Seen> {
    let mut reader = Reader::open(input)?;
    if let Some(output) = output {
        reader.check_output(output)?;
    }
    let mut seen = Seen::default();
    let mut hash = Sha256::new();
    let mut record = Record::default();
    while reader.read_record(&mut record)? {
        seen.records += 1;
        seen.alternates += record.alternates.len() as u64;
        hash.update((record.source().len() as u64).to_le_bytes());
        hash.update(record.source());
    }
    for warning in reader.warnings() {
        ctx.console.warn(format_args!("{}: {warning}", reader.name()));
    }
    seen.sha256 = hex::encode(hash.finalize());
    Ok(seen)
}

/// All that decides the numbers, which a resumed run must share and the metadata say.
pub(super) fn plan(
    args: &Args,
    loaded: &Loaded,
    scorer: &VariantScorer<'_>,
    seen: &Seen,
) -> Map<String, Value> {
    let contigs: Vec<Value> =
        scorer.reference().contigs().iter().map(|contig| json!([contig.name, contig.length])).collect();
    let mut hash = Sha256::new();
    hash.update(Value::Array(contigs).to_string());
    let contigs = hex::encode(hash.finalize());
    let sizes = scorer.sizes();
    let plan = json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "variants",
        "model": loaded.facts,
        "context": loaded.decoder("").ok().map(|(config, _)| args.context.plan(config, args.chunk.chunk)),
        "scores": scorer.scores().iter().map(|score| score.id()).collect::<Vec<_>>(),
        "left": sizes.left,
        "right": sizes.right,
        "share": sizes.share,
        "edit": args.edit.plan(),
        "both_strands": args.both_strands,
        "allow_n": args.allow_n,
        "contigs_sha256": contigs,
        "records_sha256": seen.sha256,
    });
    match plan {
        Value::Object(plan) => plan,
        _ => unreachable!("written as an object above"),
    }
}
