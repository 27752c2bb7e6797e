//! LM-Infinite (Han et al. 2024): the first tokens and a window, at distances that the model has seen in training.
//!
//! It is a rule of attention: a key is visible at most `local - 1` positions before the query or below `sinks`, and no
//! distance counts as more than `local`. The cache drops what no later query can see, which changes no result.

use kilobase_kernels::attention::{AttnSpec, KeyForm, KvView, MaskRule, PosRule, Stats};

use super::{CachePolicy, Kind, Needs, SINKS, Settings, Step};
use crate::cache::plan::Plan;

/// The Λ-shaped mask with capped distances.
#[derive(Clone, Copy, Debug)]
pub struct LmInfinite {
    /// Keys of the window, the query's own included; also the largest distance. The training length.
    pub local: u32,
    /// First positions, always visible; 10 to 100 in the paper.
    pub sinks: u32,
}

/// The same attention with no distance above `cap`. T5's buckets have a cap of their own.
pub fn capped(mut spec: AttnSpec, cap: u32) -> AttnSpec {
    if let PosRule::Rope { cap: limit, .. } | PosRule::Alibi { cap: limit, .. } = &mut spec.pos {
        *limit = Some(limit.map_or(cap, |limit| limit.min(cap)));
    }
    spec
}

impl CachePolicy for LmInfinite {
    fn name(&self) -> String {
        format!("lm-infinite with a window of {} and {} sinks", self.local, self.sinks)
    }

    fn needs(&self) -> Needs {
        Needs { key_form: Some(KeyForm::Raw), ..Needs::new(Kind::Evict) }
    }

    fn attention(&self, spec: AttnSpec) -> AttnSpec {
        let window = MaskRule::Window { left: self.local.saturating_sub(1), right: 0, sink: self.sinks };
        let mut spec = capped(spec, self.local);
        spec.mask = match spec.mask {
            MaskRule::Full => window,
            other => MaskRule::And(vec![other, window]),
        };
        spec
    }

    fn kept(&self, _layer: usize, slots: usize, _length: u32) -> usize {
        slots.min((self.local.saturating_sub(1) + self.sinks) as usize)
    }

    fn reads(&self, slots: usize) -> usize {
        slots.min((self.local + self.sinks) as usize)
    }

    fn due(&self, _layer: usize, step: Step) -> bool {
        let visible = (self.local.saturating_sub(1) + self.sinks) as usize;
        step.slots > visible && (step.rows > 1 || step.slots >= visible + super::INTERVAL)
    }

    fn plan(&mut self, _layer: usize, step: Step, view: &dyn KvView, _stats: &Stats) -> Plan {
        // The next query stands at `length`.
        let first = step.length.saturating_sub(self.local.saturating_sub(1));
        let keep = |head| {
            let positions = view.positions(head).iter().enumerate();
            positions.filter(|(_, p)| **p < self.sinks || **p >= first).map(|(slot, _)| slot).collect()
        };
        Plan::Keep((0..view.heads()).map(keep).collect())
    }
}

/// Four sinks, the rest of the budget a window.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    let sinks = SINKS.min(settings.budget as u32 / 2);
    Box::new(LmInfinite { local: settings.budget as u32 - sinks, sinks })
}
