//! Ours of the rows about variants: single-base changes of a table, scored as `kilobase variants` does.

use super::{CHUNK, Row, load, median};
use kilobase::data::regions::Reference;
use kilobase::data::tokenize::{self, Tokenizer};
use kilobase::data::variants::{Allele, Reader};
use kilobase::models::cache::Store;
use kilobase::models::family::Model;
use kilobase::models::family::generator::Generator;
use kilobase::models::nn::Precision;
use kilobase::models::run::Reading;
use kilobase::models::run::score::Scorer;
use kilobase::models::run::variants::{Edit, Site, author_scores};
use std::collections::BTreeMap;

/// The command's own defaults.
const LEFT: u64 = 8192;
const RIGHT: u64 = 300;
const SHARE: u64 = 600;

/// Whether a row is about variants: its figures are variants a second.
pub(crate) fn is_about(what: &str) -> bool {
    matches!(what, "llr" | "llr-alone" | "vep")
}

/// Variants of one stretch, and the window they share.
struct Stretch {
    bases: Vec<u8>,
    start: u64,
    /// Place from 0, reference base, alternate base.
    variants: Vec<(u64, u8, u8)>,
}

/// Seconds for one variant.
pub(crate) fn score(row: &Row) -> f64 {
    let Model::Generator { model, .. } = load(row) else { panic!("a decoder") };
    let tokenizer = tokenize::from_dir(super::model_folder()).expect("a tokenizer");
    let stretches = stretches(row);
    let count: usize = stretches.iter().map(|stretch| stretch.variants.len()).sum();
    let store = if row.precision() == Precision::F32 { Store::F32 } else { Store::Bf16 };
    let reading = Reading { store, ..Reading::exact(CHUNK) };
    let scorer = Scorer { model: &model, tokenizer: &*tokenizer, reading };
    let job: &dyn Fn(&Stretch) -> Vec<f64> = match row.what.as_str() {
        "llr" => &|stretch| ratios(&scorer, stretch),
        "llr-alone" => &|stretch| alone(&scorer, stretch),
        _ => &|stretch| authors(&model, &*tokenizer, stretch),
    };
    let seconds = median(row, || {
        let scores: Vec<f64> = stretches.iter().flat_map(job).collect();
        assert!(scores.len() == count && scores.iter().all(|score| score.is_finite()), "scores");
    });
    seconds / count as f64
}

/// The first variants of the table, by their stretch.
fn stretches(row: &Row) -> Vec<Stretch> {
    let reference = Reference::open(row.value("--reference")).expect("a reference");
    let mut found: BTreeMap<u64, Vec<(u64, u8, u8)>> = BTreeMap::new();
    let reader = Reader::open(row.value("--table")).expect("a table");
    let contig = reference.contigs()[0].name.clone();
    for record in reader.take(row.value("--count").parse().expect("a number")) {
        let record = record.expect("a record");
        let Allele::Sequence(alternate) = &record.alternates[0] else { panic!("line {}", record.line) };
        let place = record.position - 1;
        found.entry(place / SHARE * SHARE).or_default().push((place, record.reference[0], alternate[0]));
    }
    found
        .into_iter()
        .map(|(cell, variants)| {
            let start = cell.saturating_sub(LEFT);
            let bases = reference.fetch(&contig, start..cell + SHARE + RIGHT + 1).expect("bases");
            Stretch { bases, start, variants }
        })
        .collect()
}

/// One pass over what all of a stretch share.
fn ratios(scorer: &Scorer<'_>, stretch: &Stretch) -> Vec<f64> {
    let edit = |&(place, _, alternate): &(u64, u8, u8)| Edit {
        at: (place - stretch.start) as usize,
        length: 1,
        alternate: vec![alternate],
        right: RIGHT as usize,
    };
    let edits: Vec<Edit> = stretch.variants.iter().map(edit).collect();
    scorer.ratios(&stretch.bases, &edits).expect("scores").into_iter().map(|ratio| ratio.log_ratio).collect()
}

/// A pass over the window of every allele, the reference's once for each site.
fn alone(scorer: &Scorer<'_>, stretch: &Stretch) -> Vec<f64> {
    let site = |variants: &[(u64, u8, u8)]| -> Vec<f64> {
        let at = (variants[0].0 - stretch.start) as usize;
        let text =
            |base: u8| [&stretch.bases[..at], &[base], &stretch.bases[at + 1..][..RIGHT as usize]].concat();
        let reference = std::iter::once(variants[0].1);
        let texts: Vec<Vec<u8>> =
            reference.chain(variants.iter().map(|&(_, _, alternate)| alternate)).map(text).collect();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let scores = scorer.score(&texts).expect("scores");
        scores[1..].iter().map(|score| score.log_likelihood - scores[0].log_likelihood).collect()
    };
    stretch.variants.chunk_by(|a, b| a.0 == b.0).flat_map(site).collect()
}

/// The authors' score, a pass for each site.
fn authors(model: &Generator, tokenizer: &dyn Tokenizer, stretch: &Stretch) -> Vec<f64> {
    let sites: Vec<&[(u64, u8, u8)]> = stretch.variants.chunk_by(|a, b| a.0 == b.0).collect();
    let alternates: Vec<Vec<u8>> =
        sites.iter().map(|variants| variants.iter().map(|&(_, _, alternate)| alternate).collect()).collect();
    let asked: Vec<Site<'_>> = sites
        .iter()
        .zip(&alternates)
        .map(|(variants, alternates)| {
            let at = (variants[0].0 - stretch.start) as usize;
            let context = &stretch.bases[at.saturating_sub(LEFT as usize)..at];
            Site { context, reference: variants[0].1, alternates }
        })
        .collect();
    asked
        .chunks((CHUNK * 6 / LEFT as usize).max(1))
        .flat_map(|sites| author_scores(model, tokenizer, sites).expect("scores"))
        .flatten()
        .collect()
}
