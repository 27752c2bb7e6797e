//! What a checkpoint says beside its numbers.

use crate::train::schedule::{Plateau, Schedule};
use crate::train::store::Exact;
use serde::{Deserialize, Serialize};

/// Steps of the mean that tells whether training diverges.
pub(super) const WINDOW: u64 = 20;
/// A mean so many times as high as the lowest one is divergence.
const DIVERGED: f64 = 2.0;

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Steps that are done.
    pub step: u64,
    /// The epoch of the next batch, from 0.
    pub epoch: u64,
    /// The next batch in it.
    pub batch: u64,
    /// Bases that were read.
    pub bases: u64,
    /// The newest losses.
    recent: Vec<Exact>,
    /// The lowest mean of so many.
    lowest: Option<Exact>,
    best_held_out: Option<Exact>,
    waited: u64,
    plateau: Exact,
    /// All that decides the numbers.
    pub plan: serde_json::Value,
}

impl State {
    /// The beginning.
    pub fn new(plan: serde_json::Value) -> Self {
        Self {
            step: 0,
            epoch: 0,
            batch: 0,
            bases: 0,
            recent: Vec::new(),
            lowest: None,
            best_held_out: None,
            waited: 0,
            plateau: Exact(1.0),
            plan,
        }
    }

    pub(super) fn plateau(&self) -> Plateau {
        Plateau { best: self.best_held_out.map(|best| best.0), waited: self.waited, share: self.plateau.0 }
    }

    pub(super) fn observe_held_out(&mut self, loss: f64, schedule: &Schedule) {
        let mut plateau = self.plateau();
        schedule.observe(loss, &mut plateau);
        self.best_held_out = plateau.best.map(Exact);
        self.waited = plateau.waited;
        self.plateau = Exact(plateau.share);
    }

    /// Takes a step's loss. Returns the mean of the newest losses and the lowest one where they say that training diverges.
    pub(super) fn observe(&mut self, loss: f64) -> Option<(f64, f64)> {
        self.recent.push(Exact(loss));
        if self.recent.len() > WINDOW as usize {
            self.recent.remove(0);
        }
        // The first losses stand alone, so that a run that is blown up by its first steps is found out.
        let mean = self.recent.iter().map(|loss| loss.0).sum::<f64>() / self.recent.len() as f64;
        let lowest = self.lowest.map_or(mean, |lowest| lowest.0.min(mean));
        self.lowest = Some(Exact(lowest));
        (self.recent.len() == WINDOW as usize && mean > DIVERGED * lowest).then_some((mean, lowest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divergence_is_a_mean_far_above_the_lowest() {
        let mut state = State::new(serde_json::Value::Null);
        for step in 0..100 {
            assert_eq!(state.observe(8.0 - f64::from(step) * 0.05), None);
        }
        let mut blown_up = State::new(serde_json::Value::Null);
        let losses = std::iter::once(8.0).chain(std::iter::repeat(500.0));
        assert_eq!(losses.take(20).filter_map(|loss| blown_up.observe(loss)).count(), 1);
        // One bad batch is none.
        assert_eq!(state.observe(30.0), None);
        let (mean, lowest) = (0..20).find_map(|_| state.observe(9.0)).expect("told");
        assert!(mean > 2.0 * lowest && lowest < 4.0);
    }
}
