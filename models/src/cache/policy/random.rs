//! Random eviction: the baseline that every method has to beat.

use kilobase_kernels::attention::{KvView, Stats};

use super::budget::LayerBudgets;
use super::evict::{Evict, Retention, Scorer};
use super::{CachePolicy, INTERVAL, Settings};

/// A score drawn for each layer, head and position. The same slot has the same score at every step, so what stays is a
/// uniform sample of all positions.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    /// Of the draw.
    pub seed: u64,
}

impl Scorer for Random {
    fn name(&self) -> String {
        format!("random of seed {}", self.seed)
    }

    fn scores(&mut self, layer: usize, view: &dyn KvView, _stats: &Stats) -> Vec<Vec<f32>> {
        let draw = |head: usize, position: u32| {
            let place = (layer as u64) << 48 ^ (head as u64) << 32 ^ u64::from(position);
            mix(mix(self.seed) ^ place) as f32
        };
        (0..view.heads()).map(|head| view.positions(head).iter().map(|&p| draw(head, p)).collect()).collect()
    }
}

/// Splitmix64's finaliser: every bit of the result depends on every bit of `x`.
pub(super) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// No sinks, the newest sixteenth of the budget in any case.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    let recent = settings.budget as u32 / 16;
    let budgets = LayerBudgets::Uniform(settings.budget);
    let retention = Retention { budgets, sinks: 0, recent, interval: INTERVAL };
    Box::new(Evict { scorer: Random { seed: settings.seed }, retention })
}
