//! What is generated begins, ends or agrees as a whole with given letters.

use std::ops::RangeInclusive;

use super::super::base::{Base, Dna, Motif};
use super::{Automaton, Corridor};

/// What is generated begins with these bases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(pub Dna);

/// A state is how many of the bases are there.
impl Automaton for Prefix {
    fn name(&self) -> String {
        format!("prefix {}", self.0)
    }

    fn start(&self) -> u64 {
        0
    }

    fn step(&self, state: u64, base: Base) -> Option<u64> {
        match self.0.0.get(state as usize) {
            None => Some(state),
            Some(&next) => (next == base).then_some(state + 1),
        }
    }

    fn accepts(&self, state: u64) -> bool {
        self.viable(state, 0, 0..=0)
    }

    fn viable(&self, state: u64, left: usize, _: RangeInclusive<usize>) -> bool {
        state as usize + left >= self.0.0.len()
    }

    fn narrow(&self, state: u64, _: usize, corridor: &mut Corridor) {
        let next = self.0.0.get(state as usize..).unwrap_or_default();
        next.iter().enumerate().for_each(|(at, &base)| corridor.demand_base(at, |other| other == base));
    }
}

/// What is generated ends with these bases (Knuth, Morris & Pratt 1977).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suffix {
    bases: Dna,
    /// For each length of a beginning: the length of its longest border, a beginning of it that is also its end.
    borders: Vec<usize>,
}

impl Suffix {
    /// For these bases.
    pub fn new(bases: Dna) -> Self {
        let mut borders = vec![0; bases.0.len() + 1];
        for end in 1..bases.0.len() {
            borders[end + 1] = longer(&bases.0, &borders, borders[end], bases.0[end]);
        }
        Self { bases, borders }
    }
}

/// The longest beginning that ends with `base` and goes on from a beginning of `length` or a border of it.
fn longer(bases: &[Base], borders: &[usize], mut length: usize, base: Base) -> usize {
    loop {
        if bases.get(length) == Some(&base) {
            return length + 1;
        }
        if length == 0 {
            return 0;
        }
        length = borders[length];
    }
}

/// A state is the length of the longest beginning of the bases that the sequence ends with.
impl Automaton for Suffix {
    fn name(&self) -> String {
        format!("suffix {}", self.bases)
    }

    fn start(&self) -> u64 {
        0
    }

    fn step(&self, state: u64, base: Base) -> Option<u64> {
        Some(longer(&self.bases.0, &self.borders, state as usize, base) as u64)
    }

    fn accepts(&self, state: u64) -> bool {
        state as usize == self.bases.0.len()
    }

    fn viable(&self, state: u64, left: usize, _: RangeInclusive<usize>) -> bool {
        // The last bases must be there already: as a border, or all there is.
        let Some(there) = self.bases.0.len().checked_sub(left) else { return true };
        let mut length = state as usize;
        while length > there {
            length = self.borders[length];
        }
        length == there
    }

    fn narrow(&self, _: u64, left: usize, corridor: &mut Corridor) {
        let bases = &self.bases.0;
        for (i, &base) in bases.iter().enumerate() {
            if let Some(at) = (left + i).checked_sub(bases.len()) {
                corridor.demand_base(at, |other| other == base);
            }
        }
    }
}

/// What is generated agrees letter by letter with a sequence of IUPAC codes, which gives it its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Motif);

/// A state is how many bases there are.
impl Automaton for Template {
    fn name(&self) -> String {
        format!("template {}", self.0)
    }

    fn start(&self) -> u64 {
        0
    }

    fn step(&self, state: u64, base: Base) -> Option<u64> {
        let at = state as usize;
        (at < self.0.len() && self.0.allows(at, base)).then_some(state + 1)
    }

    fn accepts(&self, state: u64) -> bool {
        self.viable(state, 0, 0..=0)
    }

    fn viable(&self, state: u64, left: usize, _: RangeInclusive<usize>) -> bool {
        state as usize + left == self.0.len()
    }

    fn narrow(&self, state: u64, left: usize, corridor: &mut Corridor) {
        for at in 0..left.min(self.0.len().saturating_sub(state as usize)) {
            corridor.demand_base(at, |base| self.0.allows(state as usize + at, base));
        }
    }
}
