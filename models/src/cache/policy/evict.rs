//! Eviction by scores: what all methods that drop slots have in common.

use std::fmt::Debug;

use kilobase_kernels::attention::{Collect, KvView, Stats};

use super::budget::LayerBudgets;
use super::{CachePolicy, Kind, Needs, Step, rank};
use crate::cache::Config;
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};
use crate::cache::plan::Plan;

/// Scores slots; the highest are kept.
pub trait Scorer: Clone + Debug + Send + Sync + 'static {
    /// Name and settings.
    fn name(&self) -> String;

    /// Sums of attention that the scores come from.
    fn stats(&self) -> Option<Collect> {
        None
    }

    /// Whether it adds up the sums of every step, and not only of those in which something is dropped.
    fn every_step(&self) -> bool {
        false
    }

    /// `[kv heads][slots]`
    fn scores(&mut self, layer: usize, view: &dyn KvView, stats: &Stats) -> Vec<Vec<f32>>;

    /// As [`CachePolicy::on_move`].
    fn on_move(&mut self, _layer: usize, _moves: &[Vec<usize>]) {}

    /// As [`CachePolicy::save`].
    fn save(&self, _out: &mut Encoder<'_>) {}

    /// As [`CachePolicy::load`].
    fn load(&mut self, _input: &mut Decoder<'_>, _config: &Config) -> Result<(), FileFault> {
        Ok(())
    }
}

/// How much stays, and what in any case.
#[derive(Clone, Debug, PartialEq)]
pub struct Retention {
    /// Slots of each key/value head.
    pub budgets: LayerBudgets,
    /// First positions, always kept.
    pub sinks: u32,
    /// Last positions, always kept.
    pub recent: u32,
    /// While decoding, drop only when this many slots are over the budget. Dropping page by page costs less.
    pub interval: usize,
}

impl Retention {
    /// Whether something is to be dropped: after every chunk of several tokens, and every `interval` single ones.
    pub fn is_over(&self, layer: usize, step: Step) -> bool {
        let over = step.slots.saturating_sub(self.budgets.slots(layer, step.length));
        over > 0 && (step.rows > 1 || over >= self.interval)
    }
}

/// Keeps, for each key/value head by itself, the slots with the highest scores.
#[derive(Clone, Debug)]
pub struct Evict<S> {
    /// What the scores are.
    pub scorer: S,
    /// How much stays.
    pub retention: Retention,
}

impl<S: Scorer> CachePolicy for Evict<S> {
    fn name(&self) -> String {
        format!("{} {:?}", self.scorer.name(), self.retention)
    }

    fn needs(&self) -> Needs {
        Needs { stats: self.scorer.stats(), ..Needs::new(Kind::Evict) }
    }

    fn due(&self, layer: usize, step: Step) -> bool {
        self.scorer.every_step() || self.retention.is_over(layer, step)
    }

    fn plan(&mut self, layer: usize, step: Step, view: &dyn KvView, stats: &Stats) -> Plan {
        let scores = self.scorer.scores(layer, view, stats);
        if !self.retention.is_over(layer, step) {
            return Plan::Noop;
        }
        let Retention { budgets, sinks, recent, .. } = &self.retention;
        let budget = budgets.slots(layer, step.length);
        let heads = scores.iter().enumerate();
        Plan::Keep(heads.map(|(h, s)| rank::retain(s, view.positions(h), budget, *sinks, *recent)).collect())
    }

    fn kept(&self, layer: usize, slots: usize, length: u32) -> usize {
        slots.min(self.retention.budgets.slots(layer, length))
    }

    fn on_move(&mut self, layer: usize, _view: &dyn KvView, moves: &[Vec<usize>]) {
        self.scorer.on_move(layer, moves);
    }

    fn save(&self, out: &mut Encoder<'_>) {
        self.scorer.save(out);
    }

    fn load(&mut self, input: &mut Decoder<'_>, config: &Config) -> Result<(), FileFault> {
        self.scorer.load(input, config)
    }
}
