//! Maximal homopolymer run.

use super::super::base::Base;
use super::Automaton;

/// No base more than so many times in a row: long runs are hard to synthesise and to sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaximalRun {
    /// Longest run that is allowed.
    pub longest: usize,
}

/// A state is `4 n + base`, with `n` its times in a row; below 4 if there is no base before.
impl Automaton for MaximalRun {
    fn name(&self) -> String {
        format!("maximal run {}", self.longest)
    }

    fn start(&self) -> u64 {
        0
    }

    fn observe(&self, state: u64, base: Option<Base>) -> u64 {
        let Some(base) = base else { return self.start() };
        let times = times(state, base).min(self.longest as u64);
        4 * times + base as u64
    }

    fn step(&self, state: u64, base: Base) -> Option<u64> {
        let times = times(state, base);
        (times <= self.longest as u64).then_some(4 * times + base as u64)
    }
}

/// How often `base` is there in a row once it comes after `state`.
fn times(state: u64, base: Base) -> u64 {
    if state % 4 == base as u64 { state / 4 + 1 } else { 1 }
}
