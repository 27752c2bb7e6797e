//! The four bases, and which of them an IUPAC code stands for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::constraint::ParseError;

/// A base of DNA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// Adenine.
    A,
    /// Cytosine.
    C,
    /// Guanine.
    G,
    /// Thymine.
    T,
}

impl Base {
    /// All four, in the order of their letters.
    pub const ALL: [Self; 4] = [Self::A, Self::C, Self::G, Self::T];

    /// The base that an upper-case letter names.
    pub const fn of(letter: u8) -> Option<Self> {
        match letter {
            b'A' => Some(Self::A),
            b'C' => Some(Self::C),
            b'G' => Some(Self::G),
            b'T' => Some(Self::T),
            _ => None,
        }
    }

    /// Its upper-case letter.
    pub const fn letter(self) -> u8 {
        b"ACGT"[self as usize]
    }

    /// Whether it is `G` or `C`.
    pub const fn is_gc(self) -> bool {
        matches!(self, Self::C | Self::G)
    }
}

/// A sequence of bases, as text `ACGT` of either case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Dna(pub Vec<Base>);

impl FromStr for Dna {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let base = |letter: u8| Base::of(letter.to_ascii_uppercase());
        let bases = text.bytes().map(base).collect::<Option<Vec<_>>>().filter(|bases| !bases.is_empty());
        bases.map(Self).ok_or_else(|| ParseError::new("sequence", text, "letters A, C, G and T"))
    }
}

impl fmt::Display for Dna {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|base| write!(f, "{}", base.letter() as char))
    }
}

/// A sequence of IUPAC codes, each of which stands for one or more bases; text of either case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Motif {
    /// The bases at each place: bit `1 << base`.
    sets: Vec<u8>,
}

/// The codes by the set of bases, bit `1 << base`: 1 is `A`, 15 is `N`.
const CODES: &[u8; 16] = b"-ACMGRSVTWYHKDBN";

/// The bases that an upper-case IUPAC code stands for, bit `1 << base`.
pub(crate) fn bases_of(code: u8) -> Option<u8> {
    CODES.iter().position(|&known| known == code).filter(|&set| set > 0).map(|set| set as u8)
}

impl Motif {
    /// Number of letters, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a motif is never empty")]
    pub const fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether `base` can stand at place `at`.
    ///
    /// # Panics
    /// If `at` is past the end.
    pub fn allows(&self, at: usize, base: Base) -> bool {
        self.sets[at] >> base as usize & 1 == 1
    }

    /// The motif as the other strand reads it.
    #[must_use]
    pub fn reverse_complement(&self) -> Self {
        // The complement of a base is the base at the mirrored bit.
        let complement = |set: &u8| set.reverse_bits() >> 4;
        Self { sets: self.sets.iter().rev().map(complement).collect() }
    }

    /// Where the motif begins in `text` first; letters that are no bases match nothing, not even `N`.
    pub fn find(&self, text: &[u8]) -> Option<usize> {
        let fits = |window: &[u8]| {
            window
                .iter()
                .enumerate()
                .all(|(at, &letter)| Base::of(letter).is_some_and(|b| self.allows(at, b)))
        };
        text.windows(self.len()).position(fits)
    }
}

impl FromStr for Motif {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let sets = text
            .bytes()
            .map(|letter| bases_of(letter.to_ascii_uppercase()))
            .collect::<Option<Vec<_>>>()
            .filter(|sets| !sets.is_empty());
        sets.map(|sets| Self { sets }).ok_or_else(|| ParseError::new("motif", text, "IUPAC codes of DNA"))
    }
}

impl fmt::Display for Motif {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sets.iter().try_for_each(|&set| write!(f, "{}", CODES[usize::from(set)] as char))
    }
}

/// Writes and reads a type as the text that [`FromStr`] takes, which is also how outputs record it.
macro_rules! as_text {
    ($($type:ty),*) => { $(
        impl TryFrom<String> for $type {
            type Error = $crate::decode::constraint::ParseError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )* };
}
pub(super) use as_text;

as_text!(Dna, Motif);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_for_the_bases_of_the_nomenclature() {
        let table = [
            ("R", "AG"),
            ("Y", "CT"),
            ("S", "CG"),
            ("W", "AT"),
            ("K", "GT"),
            ("M", "AC"),
            ("B", "CGT"),
            ("D", "AGT"),
            ("H", "ACT"),
            ("V", "ACG"),
            ("N", "ACGT"),
            ("A", "A"),
            ("C", "C"),
            ("G", "G"),
            ("T", "T"),
        ];
        for (code, bases) in table {
            let motif: Motif = code.parse().expect("a code");
            for base in Base::ALL {
                let allowed = bases.as_bytes().contains(&base.letter());
                assert_eq!(motif.allows(0, base), allowed, "{code} {base:?}");
            }
        }
    }

    #[test]
    fn the_other_strand_is_read_backwards() {
        for (motif, other) in [("GAATTC", "GAATTC"), ("ggtctc", "GAGACC"), ("RYSWKMBDHVN", "NBDHVKMWSRY")] {
            let motif: Motif = motif.parse().expect("a motif");
            assert_eq!(motif.reverse_complement().to_string(), other);
        }
    }

    #[test]
    fn text_that_is_no_dna_is_refused() {
        for text in ["", "AC-T", "ACE", "A C", "Å"] {
            assert!(text.parse::<Motif>().is_err(), "{text}");
            assert!(text.parse::<Dna>().is_err(), "{text}");
        }
        let error = "ANT".parse::<Dna>().expect_err("N is no base").to_string();
        assert_eq!(error, "sequence `ANT`: expected letters A, C, G and T");
    }

    #[test]
    fn a_motif_is_found_where_it_begins() {
        let motif: Motif = "TNA".parse().expect("a motif");
        assert_eq!(motif.find(b"GGTTTCAA"), Some(4));
        assert_eq!(motif.find(b"TNA"), None);
        assert_eq!(motif.find(b"T"), None);
    }
}
