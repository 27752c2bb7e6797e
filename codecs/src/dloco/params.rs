//! Parameters that fit together.

use std::fmt;

use super::{Error, admissible, divisor, residue};

/// Shortest word.
pub const MIN_LENGTH: usize = 3;
/// Longest word.
pub const MAX_LENGTH: usize = 300;

/// Largest divisor: beyond, a word of any length would spend more bits on checking than three words need.
const MAX_DIVISOR: u32 = 1 << 24;

/// The longest run of one nucleotide that may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunLimit(u8);

impl RunLimit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self(1), Self(2), Self(3)];

    /// 1, 2 or 3.
    pub fn new(limit: usize) -> Result<Self, Error> {
        if (1..=3).contains(&limit) { Ok(Self(limit as u8)) } else { Err(Error::RunLimit(limit)) }
    }

    /// As a number.
    pub fn get(self) -> usize {
        self.0.into()
    }

    /// Bits that a nucleotide can carry at most under this limit: `log2` of the root of `x^l = 3 (x^(l-1) + ... + 1)`.
    pub fn capacity(self) -> f64 {
        let limit = self.get() as i32;
        let excess = |x: f64| x.powi(limit) - 3.0 * (0..limit).map(|i| x.powi(i)).sum::<f64>();
        let (mut low, mut high) = (3.0, 4.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if excess(middle) < 0.0 { low = middle } else { high = middle }
        }
        high.log2()
    }
}

impl fmt::Display for RunLimit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// How messages are laid on words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One word a message.
    Plain,
    /// Two complementary words a message, of opposite GC disparity; one bit less.
    Balanced,
}

/// Run limit, word length, divisor and mode of a residue code under which every single substitution is corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    run_limit: RunLimit,
    length: u16,
    divisor: u32,
    mode: Mode,
}

impl Params {
    /// With the smallest proven divisor of the table, balanced.
    pub fn new(run_limit: usize, length: usize) -> Result<Self, Error> {
        let run_limit = RunLimit::new(run_limit)?;
        let divisor = divisor::listed(run_limit, check_length(length, MAX_LENGTH)?)?;
        Ok(Self { run_limit, length: length as u16, divisor, mode: Mode::Balanced })
    }

    /// With a divisor of the caller's, which is proven first (milliseconds): larger ones detect more and list less.
    pub fn with_divisor(run_limit: usize, length: usize, divisor: u32) -> Result<Self, Error> {
        let limit = RunLimit::new(run_limit)?;
        check_length(length, MAX_LENGTH)?;
        let params = Self { run_limit: limit, length: length as u16, divisor, mode: Mode::Balanced };
        let listed = divisor::listed(limit, length) == Ok(divisor);
        let sound = || {
            (3..=MAX_DIVISOR).contains(&divisor)
                && !divisor.is_multiple_of(2)
                && residue::has_words(params)
                && admissible::proves(limit, length, divisor)
        };
        if listed || sound() { Ok(params) } else { Err(Error::Divisor { divisor, run_limit, length }) }
    }

    /// With the smallest odd divisor that can be proven, from `least` on, for any length (up to seconds).
    pub fn search(run_limit: usize, length: usize, least: u32) -> Result<Self, Error> {
        let limit = RunLimit::new(run_limit)?;
        check_length(length, MAX_LENGTH)?;
        let none = || Error::Divisor { divisor: least, run_limit, length };
        let divisor = admissible::search(limit, length, least, MAX_DIVISOR).ok_or_else(none)?;
        let params = Self { run_limit: limit, length: length as u16, divisor, mode: Mode::Balanced };
        if residue::has_words(params) { Ok(params) } else { Err(none()) }
    }

    /// The same in another mode.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Longest run.
    pub fn run_limit(&self) -> RunLimit {
        self.run_limit
    }

    /// Symbols of a word.
    pub fn length(&self) -> usize {
        self.length.into()
    }

    /// `R`: indices of words are congruent modulo this.
    pub fn divisor(&self) -> u32 {
        self.divisor
    }

    /// How messages are laid on words.
    pub fn layout(&self) -> Mode {
        self.mode
    }

    /// Lengths of the table for a run limit, ascending.
    pub fn listed(run_limit: RunLimit) -> impl Iterator<Item = usize> {
        divisor::table(run_limit).iter().map(|&(length, _)| length.into())
    }
}

pub(super) fn check_length(length: usize, max: usize) -> Result<usize, Error> {
    if (MIN_LENGTH..=max).contains(&length) {
        Ok(length)
    } else {
        Err(Error::Length { length, min: MIN_LENGTH, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_are_those_of_the_constraint() {
        let close = |limit: usize, bits: f64| (RunLimit(limit as u8).capacity() - bits).abs() < 1e-5;
        assert!(close(1, 1.58496) && close(2, 1.92269) && close(3, 1.98235));
    }

    #[test]
    fn parameters_that_do_not_fit_are_refused() {
        assert_eq!(Params::new(4, 64), Err(Error::RunLimit(4)));
        assert!(matches!(Params::new(3, 301), Err(Error::Length { .. })));
        assert!(matches!(Params::new(3, 65), Err(Error::NoDivisor { .. })));
        assert!(matches!(Params::with_divisor(3, 64, 82_342), Err(Error::Divisor { .. })));
        assert!(matches!(Params::with_divisor(3, 64, 3), Err(Error::Divisor { .. })));
        assert!(Params::with_divisor(3, 64, 700_001).is_ok());
    }
}
