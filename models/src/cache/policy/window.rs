//! Attention sinks and a sliding window (StreamingLLM, Xiao et al. 2024): the first and the last positions stay.

use kilobase_kernels::attention::{KvView, Stats};

use super::budget::LayerBudgets;
use super::evict::{Evict, Retention, Scorer};
use super::{CachePolicy, INTERVAL, SINKS, Settings};

/// No scores: everything counts as recent, so the newest stay. With [`LayerBudgets::PerLayer`] some layers keep their
/// full attention (MASFormer, Zhang et al. 2023).
#[derive(Clone, Copy, Debug)]
pub struct Window;

impl Scorer for Window {
    fn name(&self) -> String {
        "window".to_owned()
    }

    fn scores(&mut self, _layer: usize, view: &dyn KvView, _stats: &Stats) -> Vec<Vec<f32>> {
        (0..view.heads()).map(|head| vec![0.0; view.positions(head).len()]).collect()
    }
}

/// `sinks` first positions and the newest of the rest, up to the budget.
pub fn policy(budgets: LayerBudgets, sinks: u32, interval: usize) -> Evict<Window> {
    Evict { scorer: Window, retention: Retention { budgets, sinks, recent: u32::MAX, interval } }
}

/// Four sinks, the rest of the budget a window.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    let sinks = SINKS.min(settings.budget as u32 / 2);
    Box::new(policy(LayerBudgets::Uniform(settings.budget), sinks, INTERVAL))
}
