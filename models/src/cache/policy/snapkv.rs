//! SnapKV (Li et al. 2024): the last queries of the prompt vote for what stays.

use kilobase_kernels::attention::{Collect, KvView, Stats};

use super::budget::LayerBudgets;
use super::evict::{Evict, Retention, Scorer};
use super::{CachePolicy, INTERVAL, Settings, rank};

/// Attention by the queries of a window at the end, averaged over them, then over neighbouring positions.
#[derive(Clone, Copy, Debug)]
pub struct SnapKv {
    /// Queries that vote, 32 to 64 in the paper. Their own slots always stay.
    pub window: usize,
    /// Positions that are averaged, odd, 5 to 7 in the paper.
    pub kernel: usize,
}

impl Scorer for SnapKv {
    fn name(&self) -> String {
        format!("snapkv with a window of {} and a kernel of {}", self.window, self.kernel)
    }

    fn stats(&self) -> Option<Collect> {
        Some(Collect::ColumnMass { last: Some(self.window) })
    }

    fn scores(&mut self, _layer: usize, view: &dyn KvView, stats: &Stats) -> Vec<Vec<f32>> {
        let heads = stats.mass.iter().enumerate();
        heads.map(|(head, mass)| scores(mass, view.positions(head), self.window, self.kernel)).collect()
    }
}

/// Scores of the slots before the last `window` positions; those in it have 0. `mass` is the sum over the window's
/// queries. The average runs over `kernel` neighbours in the order of positions, with zeros beyond both ends and
/// always the same divisor.
pub fn scores(mass: &[f32], positions: &[u32], window: usize, kernel: usize) -> Vec<f32> {
    let end = positions.iter().max().map_or(0, |last| u64::from(*last) + 1);
    let mut slots = rank::by_position(positions);
    slots.retain(|&slot| u64::from(positions[slot]) + (window as u64) < end);
    let mut scores = vec![0.0; positions.len()];
    let divisor = (window * kernel).max(1) as f32;
    for (i, &slot) in slots.iter().enumerate() {
        let first = i.saturating_sub(kernel / 2);
        let last = (i + kernel / 2 + 1).min(slots.len());
        scores[slot] = slots[first..last].iter().map(|&slot| mass[slot]).sum::<f32>() / divisor;
    }
    scores
}

/// A SnapKV whose window always stays.
pub fn policy(budgets: LayerBudgets, window: usize, kernel: usize, interval: usize) -> Evict<SnapKv> {
    let retention = Retention { budgets, sinks: 0, recent: window as u32, interval };
    Evict { scorer: SnapKv { window, kernel }, retention }
}

/// A window of 32 queries, or half of the budget if that is less, and a kernel of 5.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    let window = (settings.budget / 2).clamp(1, 32);
    Box::new(policy(LayerBudgets::Uniform(settings.budget), window, 5, INTERVAL))
}
