//! GC content, of every window and of the whole.

use std::ops::RangeInclusive;

use super::super::base::Base;
use super::{Automaton, Corridor, Error};

/// Longest window: its state is the kinds of its bases, one bit each, in one number.
pub const MAX_WINDOW: usize = 64;

/// A share times a length is a number of bases if it is that close to one: 0.57 of 100 are 57.
const ROUNDING: f64 = 1e-9;

/// GC content within bounds in every window of so many bases. A sequence that is shorter has no window; a window with a
/// letter of the prompt that is no base is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowGc {
    window: u32,
    least: u32,
    most: u32,
}

impl WindowGc {
    /// Windows of `window` bases, `low` to `high` of which are `G` or `C`, bounds included.
    pub fn new(window: usize, low: f64, high: f64) -> Result<Self, Error> {
        if !(1..=MAX_WINDOW).contains(&window) {
            return Err(Error::Window { window });
        }
        let (least, most) = counts(window, low, high);
        Ok(Self { window: window as u32, least: least as u32, most: most as u32 })
    }

    const fn full(&self) -> u64 {
        1 << (self.window - 1)
    }

    /// Whether a window ends in the next `left` bases.
    const fn judges(&self, state: u64, left: usize) -> bool {
        state.ilog2() as usize + left >= self.window as usize
    }

    /// How many of the next `left` bases can be of a kind of which a window has at most so many: as early as possible is as
    /// many as possible. Bit `i` of `kind` is set if the base `i + 1` before is of the kind.
    fn most_ahead(&self, mut kind: u64, most: u32, left: usize) -> usize {
        let all = u64::MAX >> (64 - self.window);
        let mut add = |count: usize| {
            let step = |_| {
                kind = kind << 1 & all;
                let fits = kind.count_ones() < most;
                kind |= u64::from(fits);
                usize::from(fits)
            };
            (0..count).map(step).sum::<usize>()
        };
        // After one window, every window has the most, and one is as the next.
        let window = self.window as usize;
        let first = left.min(window);
        let rest = left - first;
        add(first) + rest / window * most as usize + add(rest % window)
    }
}

/// Bases of a sequence of `length` that `low` to `high` of it are.
fn counts(length: usize, low: f64, high: f64) -> (u64, u64) {
    let length = length as f64;
    ((low * length - ROUNDING).ceil() as u64, (high * length + ROUNDING).floor() as u64)
}

/// A state is a 1 and then the bases so far, but at most `window - 1`: 1 for `G` and `C`, 0 for `A` and `T`.
impl Automaton for WindowGc {
    fn name(&self) -> String {
        format!("{} to {} G or C in every {} bases", self.least, self.most, self.window)
    }

    fn start(&self) -> u64 {
        1
    }

    fn observe(&self, state: u64, base: Option<Base>) -> u64 {
        let Some(base) = base else { return self.start() };
        // Behind the 1 are all bases of the window; what falls out at the front is that 1 or the oldest base.
        let bits = state << 1 | u64::from(base.is_gc());
        if state < self.full() { bits } else { bits & (self.full() - 1) | self.full() }
    }

    fn step(&self, state: u64, base: Base) -> Option<u64> {
        if state >= self.full() {
            // Without the 1 in front, so many of the window's other bases are G or C.
            let count = state.count_ones() - 1 + u32::from(base.is_gc());
            if count < self.least || count > self.most {
                return None;
            }
        }
        Some(self.observe(state, Some(base)))
    }

    fn viable(&self, state: u64, left: usize, _: RangeInclusive<usize>) -> bool {
        let bases = state.ilog2();
        let gc = state.count_ones() - 1;
        !self.judges(state, left) || (gc <= self.most && bases - gc + self.least <= self.window)
    }

    fn gc_ahead(&self, state: u64, left: usize) -> RangeInclusive<usize> {
        if !self.judges(state, left) {
            return 0..=left;
        }
        let gc = state ^ 1 << state.ilog2();
        let at = gc ^ ((1 << state.ilog2()) - 1);
        left - self.most_ahead(at, self.window - self.least, left)..=self.most_ahead(gc, self.most, left)
    }

    fn narrow(&self, state: u64, left: usize, corridor: &mut Corridor) {
        let bases = state.ilog2();
        for before in 1..=bases {
            // The window that ends with the last `before` bases and so many of the next.
            let count = i64::from((state & ((1 << before) - 1)).count_ones());
            let (least, most) = (i64::from(self.least) - count, i64::from(self.most) - count);
            corridor.demand_sum((self.window - before) as usize, least, most);
        }
        if left >= self.window as usize {
            corridor.demand_windows(self.window as usize, self.least..=self.most);
        }
    }

    fn prefers_gc(&self, _: u64, left: usize) -> Option<bool> {
        // As evenly as the middle of the bounds allows, so that no window is near them.
        let (window, twice) = (2 * u64::from(self.window), u64::from(self.least + self.most));
        let left = left as u64;
        Some((left + 1) * twice / window > left * twice / window)
    }
}

/// GC content of all that is generated within bounds. Of nothing, it is within any.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TotalGc {
    /// Least share of `G` and `C`.
    pub low: f64,
    /// Most.
    pub high: f64,
}

impl TotalGc {
    fn allows(&self, bases: u64, gc: RangeInclusive<u64>) -> bool {
        let (least, most) = counts(bases as usize, self.low, self.high);
        (*gc.start()).max(least) <= (*gc.end()).min(most)
    }
}

/// A state is `2^32 bases + those that are G or C`.
impl Automaton for TotalGc {
    fn name(&self) -> String {
        format!("total GC {} to {}", self.low, self.high)
    }

    fn start(&self) -> u64 {
        0
    }

    fn step(&self, state: u64, base: Base) -> Option<u64> {
        state.checked_add(1 << 32).map(|state| state + u64::from(base.is_gc()))
    }

    fn accepts(&self, state: u64) -> bool {
        self.viable(state, 0, 0..=0)
    }

    fn viable(&self, state: u64, left: usize, ahead: RangeInclusive<usize>) -> bool {
        let (bases, gc) = (state >> 32, state & 0xffff_ffff);
        self.allows(bases + left as u64, gc + *ahead.start() as u64..=gc + *ahead.end() as u64)
    }

    fn narrow(&self, state: u64, left: usize, corridor: &mut Corridor) {
        let (bases, gc) = (state >> 32, (state & 0xffff_ffff) as i64);
        let (least, most) = counts(bases as usize + left, self.low, self.high);
        corridor.demand_sum(left, least as i64 - gc, most as i64 - gc);
    }

    fn prefers_gc(&self, state: u64, _: usize) -> Option<bool> {
        let (bases, gc) = (state >> 32, state & 0xffff_ffff);
        let share = f64::midpoint(self.low, self.high);
        Some((gc as f64) < share * (bases + 1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fewest and most of the next bases, by trying all.
    fn tried(window: &WindowGc, state: u64, left: usize) -> Option<(usize, usize)> {
        let mut found = None;
        for kinds in 0..1_u32 << left {
            let base = |i: usize| if kinds >> i & 1 == 1 { Base::G } else { Base::A };
            if (0..left).try_fold(state, |state, i| window.step(state, base(i))).is_some() {
                let gc = kinds.count_ones() as usize;
                let (least, most) = found.unwrap_or((gc, gc));
                found = Some((least.min(gc), most.max(gc)));
            }
        }
        found
    }

    #[test]
    fn what_can_come_is_known_without_trying() {
        let mut compared = 0;
        for (window, least, most) in
            [(1, 0, 1), (2, 1, 1), (3, 1, 2), (4, 1, 2), (5, 2, 4), (5, 0, 1), (4, 2, 2)]
        {
            let window = WindowGc { window, least, most };
            for state in 1..window.full() * 2 {
                for left in 0..11 {
                    let ahead = window.gc_ahead(state, left);
                    let tried = tried(&window, state, left);
                    assert_eq!(
                        window.viable(state, left, 0..=left),
                        tried.is_some(),
                        "{window:?} {state} {left}"
                    );
                    if let Some(tried) = tried {
                        assert_eq!((*ahead.start(), *ahead.end()), tried, "{window:?} {state} {left}");
                        compared += 1;
                    }
                }
            }
        }
        assert!(compared > 500, "{compared}");
    }
}
