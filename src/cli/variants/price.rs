//! What scoring the variants of a file takes, counted from their places and lengths.

use std::path::Path;

use kilobase::data::variants::{Allele, Reader, Record};
use kilobase::models::run::price::{Cost, Pricer};

use super::scorer::{Sizes, VariantScorer};
use super::{PORTION, Score};
use crate::cli::price::Tokens;

/// Counts the work of all records; those that will be skipped for what only the reference tells count as scored.
pub(super) fn cost(input: &Path, scorer: &VariantScorer<'_>) -> anyhow::Result<Cost> {
    let mut reader = Reader::open(input)?;
    let mut portion: Vec<Record> = Vec::new();
    let mut cost = Cost::default();
    let mut counter = None;
    loop {
        let mut record = Record::default();
        let more = reader.read_record(&mut record)?;
        if more {
            portion.push(record);
        }
        if portion.len() == PORTION || !more {
            let counter = counter.get_or_insert_with(|| Counter::new(scorer, portion.first()));
            for stretch in scorer.stretches(&portion) {
                cost += counter.stretch(&portion[stretch]);
            }
            portion.clear();
        }
        if !more {
            return Ok(cost);
        }
    }
}

struct Counter<'a> {
    scorer: &'a VariantScorer<'a>,
    tokens: Tokens,
}

/// Lengths of the alternates that say which bases they are.
fn spelt(record: &Record) -> impl Iterator<Item = usize> + '_ {
    record.alternates.iter().filter_map(|alternate| match alternate {
        Allele::Sequence(bases) => Some(bases.len()),
        _ => None,
    })
}

impl<'a> Counter<'a> {
    /// Tokens of several lengths are counted by what is around the first record.
    fn new(scorer: &'a VariantScorer<'a>, first: Option<&Record>) -> Self {
        const AROUND: u64 = 4096;
        let sample = first.and_then(|record| {
            let length = scorer.reference().contig(&record.contig).ok()?.length;
            let start = record.position.saturating_sub(AROUND).min(length);
            scorer.reference().fetch(&record.contig, start..(start + 2 * AROUND).min(length)).ok()
        });
        Self { scorer, tokens: Tokens::new(scorer.tokenizer(), &sample.unwrap_or_default()) }
    }

    fn stretch(&self, records: &[Record]) -> Cost {
        let of = |score: &Score| match score {
            Score::Llr => self.llr(records),
            Score::Vep => self.vep(records),
            Score::Pll => self.pll(records),
        };
        self.scorer.scores().iter().map(of).sum()
    }

    fn predictions(&self) -> Pricer<'_> {
        Pricer::predictions(self.scorer.model(), self.scorer.reading())
    }

    /// One pass over the reference, and each allele from where it differs.
    fn llr(&self, records: &[Record]) -> Cost {
        let Sizes { left, right, share } = self.scorer.sizes();
        let pricer = self.predictions();
        let chunk = self.scorer.reading().chunk;
        let (mut reach, mut alleles, mut widest, mut count) = (0, Cost::default(), 0, 0);
        for record in records {
            let before = left + record.position.saturating_sub(1) % share;
            reach = reach.max(before + record.reference.len() as u64 + right);
            for length in spelt(record) {
                let own = self.tokens.of(length as u64 + right);
                alleles += pricer.continuation(self.tokens.of(before), own);
                widest = widest.max(own);
                count += 1;
            }
        }
        if count == 0 {
            return Cost::default();
        }
        let tokens = self.tokens.of(reach);
        let mut cost = pricer.continuation(0, tokens) + alleles;
        // Alleles that are computed together have pages of their own from the one in which they differ.
        let together = (chunk / widest).clamp(1, count);
        cost.cache_bytes = pricer.cache_bytes(tokens) + together as u64 * pricer.cache_bytes(widest);
        cost.activation_bytes = pricer.activation_bytes(chunk.min(tokens.max(together * widest)));
        cost.times(if self.scorer.both_strands() { 2.0 } else { 1.0 })
    }

    /// One pass a site over what is upstream.
    fn vep(&self, records: &[Record]) -> Cost {
        let model = self.scorer.model();
        let pricer = Pricer::states(model, self.scorer.reading(), model.layers());
        let tokens = self.tokens.of(self.scorer.sizes().left);
        let is_site =
            |record: &&Record| record.reference.len() == 1 && spelt(record).any(|length| length == 1);
        let sites = records.iter().filter(is_site).count();
        let batch = (self.scorer.reading().chunk / tokens.max(1)).clamp(1, sites.max(1));
        let cost = pricer.continuation(0, tokens).times(sites as f64);
        Cost { activation_bytes: pricer.activation_bytes(batch * tokens), ..cost }
    }

    /// Each allele, and the reference, with each token masked in turn.
    fn pll(&self, records: &[Record]) -> Cost {
        let Sizes { left, right, .. } = self.scorer.sizes();
        let pricer = self.predictions();
        let masked = |bases: u64| {
            let tokens = self.tokens.of(bases);
            let copies = (self.scorer.reading().chunk / tokens.max(1)).clamp(1, tokens);
            let cost = pricer.sequence(tokens).times(tokens as f64);
            Cost { activation_bytes: pricer.activation_bytes(copies * tokens), ..cost }
        };
        let of = |record: &Record| -> Cost {
            let alleles: Cost = spelt(record).map(|length| masked(left + length as u64 + right)).sum();
            let own = if spelt(record).next().is_some() {
                masked(left + record.reference.len() as u64 + right)
            } else {
                Cost::default()
            };
            alleles + own
        };
        records.iter().map(of).sum()
    }
}
