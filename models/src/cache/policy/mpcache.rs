//! MPCache (Zeng et al. 2025), both of its halves: [`Votes`] drops keys after the prompt, [`Policy`] chooses for each query
//! clusters of those that stayed. See [`select::mpcache`](crate::cache::select::mpcache).
//!
//! Each layer chooses for itself; in the paper every second layer reads what the one before it chose.

use kilobase_kernels::attention::{Collect, KeyForm, KvView, Selection, Stats};

use super::budget::LayerBudgets;
use super::evict::{Evict, Retention, Scorer};
use super::summary::{Summaries, Summary};
use super::tokens::select;
use super::{CachePolicy, INTERVAL, Kind, Needs, Queries, Settings};
use crate::cache::Config;
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};
use crate::cache::select::join;
use crate::cache::select::mpcache::{Clustered, MpCache, voters};

/// The static half: attention from the last queries of the prompt.
#[derive(Clone, Copy, Debug)]
pub struct Votes {
    /// How many queries, a fifth of the prompt in the paper: see [`voters`].
    pub last: usize,
}

impl Scorer for Votes {
    fn name(&self) -> String {
        format!("mpcache by {} votes", self.last)
    }

    fn stats(&self) -> Option<Collect> {
        Some(Collect::ColumnMass { last: Some(self.last) })
    }

    fn scores(&mut self, _layer: usize, _view: &dyn KvView, stats: &Stats) -> Vec<Vec<f32>> {
        stats.mass.clone()
    }
}

/// The dynamic half. A query chooses among whole clusters of the keys before it, and reads those after the last such
/// cluster in any case.
#[derive(Clone, Debug)]
pub struct Policy {
    sizes: MpCache,
    /// Queries that see at most so many keys read them all.
    dense: usize,
    clusters: Summaries<Clustered>,
}

impl Policy {
    /// For a model of so many layers.
    ///
    /// # Panics
    /// If a cluster has no tokens.
    pub fn new(layers: usize, sizes: MpCache, dense: usize) -> Self {
        assert!(sizes.coarse > 0 && sizes.fine > 0, "clusters of no tokens");
        Self { sizes, dense, clusters: Summaries::new(layers) }
    }
}

impl CachePolicy for Policy {
    fn name(&self) -> String {
        format!("{:?}, all of {}", self.sizes, self.dense)
    }

    fn needs(&self) -> Needs {
        Needs { key_form: Some(KeyForm::Rotated), ..Needs::new(Kind::Select) }
    }

    fn reads(&self, slots: usize) -> usize {
        let MpCache { coarse, fine, n_fine, .. } = self.sizes;
        if slots <= self.dense { slots } else { slots.min(n_fine * fine + slots % coarse) }
    }

    fn on_append(&mut self, layer: usize, view: &dyn KvView, _rows: usize) {
        self.clusters.follow(layer, view, |dim| Clustered::new(self.sizes, dim));
    }

    fn select(&mut self, layer: usize, queries: Queries<'_>, view: &dyn KvView) -> Option<Selection> {
        select(queries, view, 1, self.dense, |group| {
            let Some(clusters) = self.clusters.get(layer, group.head) else { return group.all() };
            let whole = (group.seen.end / self.sizes.coarse).min(clusters.clusters());
            let chosen = self.sizes.select(&group.queries, clusters, whole);
            let rest = whole * self.sizes.coarse..group.seen.end;
            join(chosen.into_iter().chain(std::iter::once(rest)))
        })
    }

    fn on_move(&mut self, layer: usize, _view: &dyn KvView, _moves: &[Vec<usize>]) {
        self.clusters.forget(layer);
    }

    fn save(&self, out: &mut Encoder<'_>) {
        self.clusters.save(out);
    }

    fn load(&mut self, input: &mut Decoder<'_>, config: &Config) -> Result<(), FileFault> {
        self.clusters.load(input, config, |dim| Clustered::new(self.sizes, dim))
    }
}

impl Summary for Clustered {
    fn stride(&self) -> usize {
        Clustered::stride(self)
    }

    fn append(&mut self, keys: &[f32]) {
        Clustered::append(self, keys);
    }

    fn save(&self, out: &mut Encoder<'_>) {
        Clustered::save(self, out);
    }

    fn load(&mut self, input: &mut Decoder<'_>, tokens: usize) -> Result<(), FileFault> {
        Clustered::load(self, input, tokens)
    }
}

/// The static half for a prompt of which six tenths go, as in the paper. The newest eighth of the budget always stays.
pub fn build_static(settings: &Settings) -> Box<dyn CachePolicy> {
    let budgets = LayerBudgets::Uniform(settings.budget);
    let recent = settings.budget as u32 / 8;
    let retention = Retention { budgets, sinks: 0, recent, interval: INTERVAL };
    let last = voters(settings.budget.saturating_mul(5) / 2).max(1);
    Box::new(Evict { scorer: Votes { last }, retention })
}

/// The dynamic half: fine clusters of an eighth of the budget, at most 16 tokens, coarse ones of two; what the keys after
/// the last cluster leave of the budget is read, chosen from half as much again.
pub fn build_dynamic(settings: &Settings) -> Box<dyn CachePolicy> {
    let fine = (settings.budget / 8).clamp(1, 16);
    let coarse = 2 * fine;
    let n_fine = settings.budget.saturating_sub(coarse) / fine;
    let sizes = MpCache { coarse, fine, n_coarse: (3 * n_fine).div_ceil(4), n_fine, alpha: 0.6 };
    Box::new(Policy::new(settings.layers, sizes, settings.budget))
}
