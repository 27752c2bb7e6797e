//! Edits of the cache in place of computing what follows an allele, and how far off that is.

use std::num::NonZeroU64;

use clap::{Args, ValueEnum};
use kilobase::models::run::variants::{Pie, Ratio};
use serde_json::{Value, json};

use super::Score;
use crate::cli::exit::Usage;
use crate::cli::output::{Console, Summary};

/// How what follows an allele is computed.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Approximation")]
pub(super) struct EditArgs {
    /// llr: how what follows an allele is computed
    #[arg(long, value_enum, default_value_t = Edit::Exact)]
    edit: Edit,
    /// pie: tokens after an allele that are computed anew
    #[arg(long, value_name = "TOKENS", default_value_t = 16, value_parser = positive())]
    edit_refresh: usize,
    /// pie: tokens behind those that one prediction stands for
    #[arg(long, value_name = "TOKENS", default_value_t = 8, value_parser = positive())]
    edit_stride: usize,
    /// pie: compute every N-th edited allele exactly as well, and the first 16, to tell the error
    #[arg(long, value_name = "N", default_value = "64")]
    edit_check: NonZeroU64,
}

fn positive() -> impl clap::builder::TypedValueParser<Value = usize> {
    use clap::builder::TypedValueParser;
    clap::value_parser!(u32).range(1..).map(|number| number as usize)
}

/// How what follows an allele is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Edit {
    /// All of it, anew
    Exact,
    /// From the cache of the reference, edited (positional integrity encoding): less work where much follows, an
    /// approximation. With k-mers an insertion or deletion of another length than whole tokens is computed exactly
    Pie,
}

impl EditArgs {
    /// What is computed anew, where not everything is.
    pub(super) fn pie(&self) -> Option<Pie> {
        (self.edit == Edit::Pie).then_some(Pie { refresh: self.edit_refresh, stride: self.edit_stride })
    }

    /// Refuses what would have no effect.
    pub(super) fn check(&self, scores: &[Score]) -> Result<(), Usage> {
        if self.pie().is_some() && !scores.contains(&Score::Llr) {
            return Err(Usage("--edit pie is about --score llr".to_owned()));
        }
        Ok(())
    }

    pub(super) fn errors(&self) -> Errors {
        Errors { every: self.edit_check.get(), ..Errors::default() }
    }

    /// For plans and metadata.
    pub(super) fn plan(&self) -> Value {
        self.pie().map_or(
            json!("exact"),
            |Pie { refresh, stride }| json!({ "pie": { "refresh": refresh, "stride": stride } }),
        )
    }
}

/// Alleles of which some are computed exactly as well.
const FIRST: u64 = 16;

/// What was edited, and what is known of its error.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Errors {
    every: u64,
    edited: u64,
    exact: u64,
    checked: u64,
    tokens: u64,
    tokens_run: u64,
    sum: f64,
    largest: f64,
    /// Sizes of the exact ratios.
    effects: f64,
}

impl Errors {
    /// Which of some ratios are to be computed exactly as well.
    pub(super) fn sample(&mut self, ratios: &[Ratio]) -> Vec<usize> {
        let mut sample = Vec::new();
        for (i, ratio) in ratios.iter().enumerate() {
            self.tokens += ratio.own as u64;
            self.tokens_run += ratio.run as u64;
            if ratio.is_exact() {
                self.exact += 1;
                continue;
            }
            if self.edited < FIRST || self.edited.is_multiple_of(self.every) {
                sample.push(i);
            }
            self.edited += 1;
        }
        sample
    }

    /// An allele both ways.
    pub(super) fn add(&mut self, edited: f64, exact: f64) {
        let error = (edited - exact).abs();
        self.checked += 1;
        self.sum += error;
        self.largest = self.largest.max(error);
        self.effects += exact.abs();
    }

    /// Tells it, in words and as facts.
    pub(super) fn tell(&self, summary: Summary, console: &Console) -> Summary {
        let mean = (self.checked > 0).then(|| self.sum / self.checked as f64);
        // The error is judged by what the variants do, not by the size of log-likelihoods.
        let share = (self.effects > 0.0).then(|| self.sum / self.effects);
        if let (Some(mean), Some(share)) = (mean, share) {
            console.warn(format_args!(
                "--edit pie approximates: {} of {} ratios are by edits, {:.0} % of their tokens were computed; of {} that were \
                 computed exactly as well the mean error is {mean:.3}, the largest {:.3}, which is {:.0} % of the mean size of \
                 the ratios",
                self.edited,
                self.edited + self.exact,
                100.0 * self.tokens_run as f64 / self.tokens as f64,
                self.checked,
                self.largest,
                100.0 * share
            ));
        }
        summary
            .fact("ratios_edited", self.edited)
            .fact("ratios_exact", self.exact)
            .fact("edit_tokens", self.tokens)
            .fact("edit_tokens_computed", self.tokens_run)
            .fact("edits_checked", self.checked)
            .fact("edit_error_mean", mean)
            .fact("edit_error_largest", (self.checked > 0).then_some(self.largest))
            .fact("edit_error_of_effect", share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_every_nth_edit_are_checked_and_exact_ratios_are_not() {
        let ratio = |run| Ratio { log_ratio: 0.0, shared: 1, own: 10, run };
        let mut errors = Errors { every: 10, ..Errors::default() };
        assert_eq!(errors.sample(&[ratio(10), ratio(4)]), [1]);
        assert_eq!(
            errors.sample(&vec![ratio(4); 40]),
            [(0..15).collect::<Vec<_>>(), vec![19, 29, 39]].concat()
        );
        assert_eq!(
            (errors.edited, errors.exact, errors.tokens, errors.tokens_run),
            (41, 1, 420, 10 + 41 * 4)
        );
        errors.add(1.0, 2.0);
        errors.add(-4.0, -1.0);
        assert!((errors.sum - 4.0).abs() < 1e-12 && (errors.largest - 3.0).abs() < 1e-12);
    }
}
