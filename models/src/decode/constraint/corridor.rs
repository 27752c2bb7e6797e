//! How many of the next bases can be `G` or `C`, by all constraints that have a say in it at once.

use std::ops::RangeInclusive;

use super::super::base::Base;

/// Demands on the kinds of the next bases. With `S_j` the number of `G` and `C` among the next `j`, all of them are bounds of
/// some `S_j` or of a difference of two; such a system has whole-number solutions exactly if tightening the bounds by the
/// differences leaves no bound empty (shortest paths without negative cycle).
#[derive(Clone, Debug)]
pub struct Corridor {
    /// Least and most of `S_j`, for `j` from 0 on.
    sums: Vec<(i64, i64)>,
    /// Least and most of `S_(j+1) - S_j`.
    steps: Vec<(i64, i64)>,
    /// A length, and least and most in all stretches of it.
    windows: Vec<(usize, i64, i64)>,
}

/// Rounds of tightening; bounds that still move then are left as they are, which only makes the answer less sharp.
const ROUNDS: usize = 32;

impl Corridor {
    /// Nothing is demanded of the next `left` bases.
    pub fn new(left: usize) -> Self {
        let sums = (0..=left as i64).map(|j| (0, j)).collect();
        Self { sums, steps: vec![(0, 1); left], windows: Vec::new() }
    }

    /// So many of the next `count` bases are `G` or `C`; the bounds may be out of what is possible.
    pub fn demand_sum(&mut self, count: usize, least: i64, most: i64) {
        if let Some(sum) = self.sums.get_mut(count) {
            *sum = (sum.0.max(least), sum.1.min(most));
        }
    }

    /// Base number `at` of the next is one of those allowed.
    pub fn demand_base(&mut self, at: usize, allowed: impl Fn(Base) -> bool) {
        if let Some(step) = self.steps.get_mut(at) {
            let other = [Base::A, Base::T].into_iter().any(&allowed);
            let gc = [Base::C, Base::G].into_iter().any(&allowed);
            *step = (step.0.max(i64::from(!other)), step.1.min(i64::from(gc)));
        }
    }

    /// So many of every `window` of the next bases are `G` or `C`.
    pub fn demand_windows(&mut self, window: usize, range: RangeInclusive<u32>) {
        self.windows.push((window, i64::from(*range.start()), i64::from(*range.end())));
    }

    /// Whether all demands can be met; a doubtful yes is possible, a no is certain.
    pub(super) fn into_answer(mut self) -> bool {
        if self.steps.iter().any(|(least, most)| least > most) {
            return false;
        }
        for _ in 0..ROUNDS {
            let before = self.sums.clone();
            for j in 1..self.sums.len() {
                self.raise(j - 1, j, self.steps[j - 1]);
                for i in 0..self.windows.len() {
                    let (window, least, most) = self.windows[i];
                    if window <= j {
                        self.raise(j - window, j, (least, most));
                    }
                }
            }
            for j in (1..self.sums.len()).rev() {
                self.lower(j - 1, j, self.steps[j - 1]);
                for i in 0..self.windows.len() {
                    let (window, least, most) = self.windows[i];
                    if window <= j {
                        self.lower(j - window, j, (least, most));
                    }
                }
            }
            if self.sums.iter().any(|(least, most)| least > most) {
                return false;
            }
            if self.sums == before {
                break;
            }
        }
        true
    }

    /// Tightens the later sum by the earlier one.
    fn raise(&mut self, from: usize, to: usize, (least, most): (i64, i64)) {
        let (low, high) = self.sums[from];
        let sum = &mut self.sums[to];
        *sum = (sum.0.max(low + least), sum.1.min(high + most));
    }

    /// Tightens the earlier sum by the later one.
    fn lower(&mut self, from: usize, to: usize, (least, most): (i64, i64)) {
        let (low, high) = self.sums[to];
        let sum = &mut self.sums[from];
        *sum = (sum.0.max(low - most), sum.1.min(high - least));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_corridor_is_open_exactly_if_a_sequence_goes_through(
            left in 0..10_usize,
            sums in prop::collection::vec((0..10_usize, -2_i64..8, 0_i64..5), 0..4),
            bases in prop::collection::vec((0..10_usize, any::<bool>()), 0..3),
            windows in prop::collection::vec((1..6_usize, 0_u32..4, 0_u32..3), 0..3),
        ) {
            let mut corridor = Corridor::new(left);
            for &(count, least, more) in &sums {
                corridor.demand_sum(count, least, least + more);
            }
            for &(at, gc) in &bases {
                corridor.demand_base(at, |base| base.is_gc() == gc);
            }
            for &(window, least, more) in &windows {
                corridor.demand_windows(window, least..=least + more);
            }
            let goes = |kinds: u32| {
                let count = |from: usize, to: usize| (from..to).filter(|i| kinds >> i & 1 == 1).count() as i64;
                let sum = |&(end, least, more): &(usize, i64, i64)| {
                    end > left || (least..=least + more).contains(&count(0, end))
                };
                let base = |&(at, gc): &(usize, bool)| at >= left || (kinds >> at & 1 == 1) == gc;
                let window = |&(window, least, more): &(usize, u32, u32)| {
                    let range = i64::from(least)..=i64::from(least + more);
                    (window..=left).all(|end| range.contains(&count(end - window, end)))
                };
                sums.iter().all(sum) && bases.iter().all(base) && windows.iter().all(window)
            };
            prop_assert_eq!(corridor.into_answer(), (0..1 << left).any(goes));
        }
    }
}
