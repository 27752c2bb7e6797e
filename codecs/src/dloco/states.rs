//! What of the beginning of a word decides how it may go on: the last symbol and the length of its run.

use super::params::RunLimit;
use super::value::Value;
use super::weights::Weights;

/// Rows of a table by state; more than there are states, so that a state needs no check of bounds.
pub(super) const COUNT: usize = 16;

/// State 0 is the beginning, `1 + p l + r - 1` a run of `r` symbols `p`, and the one after the last says that a run was too
/// long.
#[derive(Clone, Debug)]
pub(super) struct States {
    run_limit: u8,
    /// By [`at`](Self::at): the state that follows.
    strict: [u8; 4 * COUNT],
    /// The same with runs that are too long taken for runs of the longest legal length, after which contributions are the
    /// same.
    formal: [u8; 4 * COUNT],
}

impl States {
    pub(super) fn new(run_limit: RunLimit) -> Self {
        let run_limit = run_limit.get() as u8;
        let mut states = Self { run_limit, strict: [0; 4 * COUNT], formal: [0; 4 * COUNT] };
        let broken = states.broken();
        states.strict.fill(broken);
        for state in 0..broken {
            for symbol in 0..4 {
                let (last, run) = states.run(state).unwrap_or((4, 0));
                let start = 1 + symbol * run_limit;
                let at = Self::at(state, symbol);
                (states.strict[at], states.formal[at]) = match last == symbol {
                    true if run == run_limit => (broken, state),
                    true => (state + 1, state + 1),
                    false => (start, start),
                };
            }
        }
        states
    }

    /// Where tables have what belongs to a state and a symbol.
    #[inline]
    fn at(state: u8, symbol: u8) -> usize {
        (4 * usize::from(state) + usize::from(symbol)) % (4 * COUNT)
    }

    /// After a run that was too long.
    pub(super) fn broken(&self) -> u8 {
        1 + 4 * self.run_limit
    }

    /// The last symbol and the length of its run, if there is one.
    fn run(&self, state: u8) -> Option<(u8, u8)> {
        let number = state.checked_sub(1)?;
        Some((number / self.run_limit, number % self.run_limit + 1))
    }

    #[inline]
    pub(super) fn next(&self, state: u8, symbol: u8) -> u8 {
        self.strict[Self::at(state, symbol)]
    }

    #[inline]
    pub(super) fn formal_next(&self, state: u8, symbol: u8) -> u8 {
        self.formal[Self::at(state, symbol)]
    }

    /// For every state and symbol, in the order of [`at`](Self::at): how many words go on with a smaller symbol, when
    /// `follow` symbols come after it.
    pub(super) fn contributions(&self, weights: &Weights, follow: usize) -> impl Iterator<Item = Value> {
        let one = weights.get(follow, 1);
        (0..COUNT as u8).flat_map(move |state| {
            let run = if state < self.broken() { self.run(state) } else { None };
            let deficit =
                run.map_or(Value::ZERO, |(_, run)| one.sub(&weights.get(follow, usize::from(run) + 1)));
            (0..4).map(move |symbol| {
                let whole = one.mul_small(u64::from(symbol));
                match run {
                    Some((last, _)) if last < symbol => whole.sub(&deficit),
                    None if state > 0 => Value::ZERO,
                    _ => whole,
                }
            })
        })
    }
}
