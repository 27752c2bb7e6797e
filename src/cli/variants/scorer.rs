//! From records to scores: windows of the reference, and what the model says of them.

use std::cell::RefCell;
use std::ops::Range;

use anyhow::bail;
use kilobase::data::alphabet::{self, Letter};
use kilobase::data::regions::Reference;
use kilobase::data::tokenize::Tokenizer;
use kilobase::data::variants::{Edit, Outcome, Reason, Record, Scores, classify};
use kilobase::models::family::Model;
use kilobase::models::run::Reading;
use kilobase::models::run::kmers::Kmers;
use kilobase::models::run::mlm;
use kilobase::models::run::score::Scorer;
use kilobase::models::run::variants::{self, Pie, Ratio, Site};

use super::edit::Errors;
use super::{Args, Score};
use crate::cli::Ctx;
use crate::cli::exit::Usage;
use crate::cli::load::Loaded;

/// Bases around a variant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) left: u64,
    pub(super) right: u64,
    pub(super) share: u64,
}

impl Sizes {
    pub(super) fn new(left: Option<usize>, right: Option<usize>, share: u64, decoder: bool) -> Self {
        let (usual_left, usual_right) = if decoder { (8192, 300) } else { (150, 150) };
        Self {
            left: left.map_or(usual_left, |left| left as u64),
            right: right.map_or(usual_right, |right| right as u64),
            share,
        }
    }
}

/// A model, a reference, and what to compute with them.
pub(super) struct VariantScorer<'a> {
    model: &'a Model,
    tokenizer: &'a dyn Tokenizer,
    /// For decoders.
    scorer: Option<Scorer<'a>>,
    reference: &'a Reference,
    scores: Vec<Score>,
    sizes: Sizes,
    /// Bases of a token, where tokens are k-mers.
    k: u64,
    both_strands: bool,
    allow_n: bool,
    reading: Reading,
    pie: Option<Pie>,
    errors: RefCell<Errors>,
}

impl<'a> VariantScorer<'a> {
    pub(super) fn new(
        args: &Args,
        loaded: &'a Loaded,
        reference: &'a Reference,
        scores: Vec<Score>,
        sizes: Sizes,
        ctx: &Ctx,
    ) -> anyhow::Result<Self> {
        let decoder = loaded.decoder("").ok();
        let tokenizer = &*loaded.tokenizer;
        let reading = if let Some((config, _)) = decoder {
            args.context.reading(config, 0, args.chunk.chunk, ctx)?
        } else {
            args.context.check_none(loaded.model.family())?;
            Reading::exact(args.chunk.chunk.get())
        };
        let scorer = decoder.map(|(_, model)| Scorer { model, tokenizer, reading: reading.clone() });
        let k = Kmers::new(tokenizer).map_or(1, |kmers| kmers.k() as u64);
        let new = Self {
            model: &loaded.model,
            tokenizer,
            scorer,
            reference,
            scores,
            sizes,
            k,
            both_strands: args.both_strands,
            allow_n: args.allow_n,
            reading,
            pie: args.edit.pie(),
            errors: RefCell::new(args.edit.errors()),
        };
        if let Some(scorer) = &new.scorer {
            let (tokens, context) = (new.tokens(), scorer.reading.context);
            if tokens > context {
                let (left, right, share) = (sizes.left, sizes.right, sizes.share);
                bail!(Usage(format!(
                    "--left {left}, --share {share} and --right {right} need {tokens} tokens; the context has {context}"
                )));
            }
        }
        Ok(new)
    }

    pub(super) fn scores(&self) -> &[Score] {
        &self.scores
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    pub(super) fn model(&self) -> &Model {
        self.model
    }

    pub(super) fn tokenizer(&self) -> &dyn Tokenizer {
        self.tokenizer
    }

    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }

    /// What edits of the cache got wrong.
    pub(super) fn errors(&self) -> Errors {
        *self.errors.borrow()
    }

    pub(super) fn both_strands(&self) -> bool {
        self.both_strands
    }

    pub(super) fn reference(&self) -> &Reference {
        self.reference
    }

    /// Tokens of a window, alleles of one base.
    pub(super) fn tokens(&self) -> usize {
        let Sizes { left, right, share } = self.sizes;
        let share = if self.scores.contains(&Score::Llr) { share } else { 1 };
        (left + share + right).div_ceil(self.k) as usize + 1
    }

    /// Which neighbours are scored together: those of one stretch of a contig, whose borders lie at multiples of its size, so
    /// that a variant has the same score whatever else the file holds.
    pub(super) fn stretches(&self, records: &[Record]) -> Vec<Range<usize>> {
        let cell =
            |record: &Record| (record.contig.clone(), record.position.saturating_sub(1) / self.sizes.share);
        let mut all: Vec<Range<usize>> = Vec::new();
        for (at, record) in records.iter().enumerate() {
            match all.last_mut() {
                Some(last) if cell(&records[last.start]) == cell(record) => last.end = at + 1,
                _ => all.push(at..at + 1),
            }
        }
        all
    }

    /// Scores records of one stretch.
    pub(super) fn score(&self, records: &[Record]) -> anyhow::Result<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(records.len());
        let mut jobs = Vec::new();
        for (r, record) in records.iter().enumerate() {
            let found = classify(record, self.reference)?;
            let mut alternates = vec![Scores::default(); found.len()];
            for (a, edit) in found.into_iter().enumerate() {
                match edit {
                    Ok(edit) => jobs.push(Job { record: r, alternate: a, contig: &record.contig, edit }),
                    Err(reason) => {
                        alternates[a] =
                            Scores { values: vec![None; self.scores.len()], reason: Some(reason) };
                    }
                }
            }
            outcomes.push(Outcome { record: Vec::new(), alternates });
        }
        for score in &self.scores {
            let values = match score {
                Score::Vep => self.vep(&jobs)?,
                Score::Llr => self.llr(&jobs)?,
                Score::Pll => self.pll(&jobs)?,
            };
            for (job, value) in jobs.iter().zip(values) {
                let scores = &mut outcomes[job.record].alternates[job.alternate];
                match value {
                    Ok(value) => scores.values.push(Some(value as f32)),
                    Err(reason) => {
                        scores.values.push(None);
                        scores.reason.get_or_insert(reason);
                    }
                }
            }
        }
        Ok(outcomes)
    }

    /// Letters of the reference, clipped to the contig, and where they start.
    fn window(&self, contig: &str, start: u64, end: u64) -> anyhow::Result<Window> {
        let length = self.reference.contig(contig)?.length;
        let (start, end) = (start.min(length), end.min(length));
        Ok(Window { start, bases: self.reference.fetch(contig, start..end)? })
    }

    /// Why the model should not read these letters, if so.
    fn letters(&self, window: &Window, range: Range<usize>) -> Option<Reason> {
        let foreign = |byte: &u8| Letter::of(*byte) != Letter::Base;
        let at = range.start + window.bases[range].iter().position(foreign)?;
        let found = window.bases[at] as char;
        (!self.allow_n).then(|| Reason::WindowLetters { position: window.start + at as u64 + 1, found })
    }

    fn vep(&self, jobs: &[Job<'_>]) -> anyhow::Result<Vec<Result<f64, Reason>>> {
        let scorer = self.scorer.as_ref().expect("checked against the family");
        let mut contexts = Vec::new();
        let mut results = Vec::with_capacity(jobs.len());
        for job in jobs {
            if !job.edit.is_substitution() {
                let (reference, alternate) =
                    (job.edit.reference.len() as u64, job.edit.alternate.len() as u64);
                results.push(Err(Reason::NotSubstitution { reference, alternate }));
                continue;
            }
            let at = job.edit.start;
            let window = self.window(job.contig, at.saturating_sub(self.sizes.left), at)?;
            // As the authors do: letters that nobody knows at its beginning are no context.
            let known = window.bases.iter().position(|&base| base != b'N').unwrap_or(window.bases.len());
            let bases = (window.bases.len() - known) as u64;
            results.push(if bases < self.k {
                Err(Reason::ShortContext { bases, needed: self.k })
            } else if let Some(reason) = self.letters(&window, known..window.bases.len()) {
                Err(reason)
            } else {
                Ok(f64::NAN)
            });
            contexts.push(window);
        }
        // One pass for a site, whatever the number of its alternates.
        let mut at = 0;
        let mut sites: Vec<(u64, usize, Vec<usize>)> = Vec::new();
        for (j, job) in jobs.iter().enumerate() {
            if matches!(results[j], Err(Reason::NotSubstitution { .. })) {
                continue;
            }
            at += 1;
            if results[j].is_err() {
                continue;
            }
            match sites.iter_mut().find(|(start, _, _)| *start == job.edit.start) {
                Some((_, _, members)) => members.push(j),
                None => sites.push((job.edit.start, at - 1, vec![j])),
            }
        }
        let a_batch = (self.reading.chunk / self.tokens()).max(1);
        for sites in sites.chunks(a_batch) {
            let alternates: Vec<Vec<u8>> = sites
                .iter()
                .map(|(_, _, members)| members.iter().map(|&j| jobs[j].edit.alternate[0]).collect())
                .collect();
            let asked: Vec<Site<'_>> = sites
                .iter()
                .zip(&alternates)
                .map(|((_, context, members), alternates)| Site {
                    context: &contexts[*context].bases,
                    reference: jobs[members[0]].edit.reference[0],
                    alternates,
                })
                .collect();
            let scores = variants::author_scores(scorer.model, self.tokenizer, &asked)?;
            for ((_, _, members), scores) in sites.iter().zip(scores) {
                for (&j, score) in members.iter().zip(scores) {
                    results[j] = Ok(score);
                }
            }
        }
        Ok(results)
    }

    fn llr(&self, jobs: &[Job<'_>]) -> anyhow::Result<Vec<Result<f64, Reason>>> {
        let one = self.llr_strand(jobs, false)?;
        if !self.both_strands {
            return Ok(one);
        }
        let other = self.llr_strand(jobs, true)?;
        Ok(one
            .into_iter()
            .zip(other)
            .map(|pair| match pair {
                (Ok(one), Ok(other)) => Ok(f64::midpoint(one, other)),
                (Err(reason), _) | (_, Err(reason)) => Err(reason),
            })
            .collect())
    }

    fn llr_strand(&self, jobs: &[Job<'_>], reverse: bool) -> anyhow::Result<Vec<Result<f64, Reason>>> {
        let Some(first) = jobs.first() else { return Ok(Vec::new()) };
        let Sizes { left, right, share } = self.sizes;
        let scorer = self.scorer.as_ref().expect("checked against the family");
        let cell = first.edit.start / share * share;
        let longest = jobs.iter().map(|job| job.edit.end() - job.edit.start).max().unwrap_or(1);
        // Downstream on the strand that is read.
        let (before, after) = if reverse { (right, left) } else { (left, right) };
        let window =
            self.window(first.contig, cell.saturating_sub(before), cell + share + longest + after)?;
        let context = (scorer.reading.context as u64 - 1) * self.k;
        let mut results: Vec<Result<f64, Reason>> = Vec::with_capacity(jobs.len());
        let (mut edits, mut members) = (Vec::new(), Vec::new());
        for (j, job) in jobs.iter().enumerate() {
            let at = (job.edit.start - window.start) as usize;
            let length = job.edit.reference.len();
            let read = if reverse {
                at.saturating_sub(right as usize)..window.bases.len()
            } else {
                0..window.bases.len().min(at + length + right as usize)
            };
            let bases = window.bases.len() as u64 + job.edit.alternate.len().saturating_sub(length) as u64;
            if bases > context {
                let bases = job.edit.alternate.len().max(length) as u64;
                results.push(Err(Reason::TooLong { bases, limit: context }));
                continue;
            }
            if let Some(reason) = self.letters(&window, read) {
                results.push(Err(reason));
                continue;
            }
            results.push(Ok(f64::NAN));
            members.push(j);
            edits.push(if reverse {
                variants::Edit {
                    at: window.bases.len() - at - length,
                    length,
                    alternate: alphabet::reverse_complement(job.edit.alternate),
                    right: right as usize,
                }
            } else {
                variants::Edit { at, length, alternate: job.edit.alternate.to_vec(), right: right as usize }
            });
        }
        let sequence =
            if reverse { alphabet::reverse_complement(&window.bases) } else { window.bases.clone() };
        if !edits.is_empty() {
            for (j, ratio) in members.into_iter().zip(self.ratios(scorer, &sequence, &edits)?) {
                results[j] = Ok(ratio.log_ratio);
            }
        }
        Ok(results)
    }

    /// Exactly, or by edits of which some are computed exactly as well.
    fn ratios(
        &self,
        scorer: &Scorer<'_>,
        sequence: &[u8],
        edits: &[variants::Edit],
    ) -> anyhow::Result<Vec<Ratio>> {
        let Some(pie) = self.pie else { return Ok(scorer.ratios(sequence, edits)?) };
        let ratios = scorer.edited_ratios(sequence, edits, pie)?;
        let mut errors = self.errors.borrow_mut();
        let sample = errors.sample(&ratios);
        let checked: Vec<variants::Edit> = sample.iter().map(|&i| edits[i].clone()).collect();
        if !checked.is_empty() {
            for (i, exact) in sample.into_iter().zip(scorer.ratios(sequence, &checked)?) {
                errors.add(ratios[i].log_ratio, exact.log_ratio);
            }
        }
        Ok(ratios)
    }

    fn pll(&self, jobs: &[Job<'_>]) -> anyhow::Result<Vec<Result<f64, Reason>>> {
        let mut results = Vec::with_capacity(jobs.len());
        // The reference's own, by its window: alternates of one record share it.
        let mut known: Option<(Range<u64>, f64)> = None;
        for job in jobs {
            let (start, end) = (job.edit.start, job.edit.end());
            let window =
                self.window(job.contig, start.saturating_sub(self.sizes.left), end + self.sizes.right)?;
            if let Some(reason) = self.letters(&window, 0..window.bases.len()) {
                results.push(Err(reason));
                continue;
            }
            let at = (start - window.start) as usize;
            let own = match &known {
                Some((range, own)) if *range == (start..end) => *own,
                _ => self.pseudo_log_likelihood(&window.bases)?,
            };
            known = Some((start..end, own));
            let after = at + job.edit.reference.len();
            let changed = [&window.bases[..at], job.edit.alternate, &window.bases[after..]].concat();
            results.push(Ok(self.pseudo_log_likelihood(&changed)? - own));
        }
        Ok(results)
    }

    fn pseudo_log_likelihood(&self, bases: &[u8]) -> anyhow::Result<f64> {
        let encoding = self.tokenizer.encode(bases, true)?;
        let positions: Vec<usize> = (0..encoding.len()).filter(|&i| !encoding.special[i]).collect();
        let Some(mask) = self.tokenizer.special().mask else {
            bail!("the tokenizer has no mask token, which pseudo-log-likelihoods need");
        };
        let score =
            mlm::pseudo_log_likelihood(self.model, &encoding.ids, &positions, mask, self.reading.chunk);
        let Some(score) = score else {
            bail!("the checkpoint has no masked-language-model head, which pseudo-log-likelihoods need");
        };
        Ok(score)
    }
}

/// An alternate that can be scored.
struct Job<'r> {
    record: usize,
    alternate: usize,
    contig: &'r str,
    edit: Edit<'r>,
}

/// Part of a contig.
struct Window {
    start: u64,
    bases: Vec<u8>,
}
