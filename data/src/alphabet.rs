//! Letters of nucleotide sequences: which are allowed, how they are counted, complemented and upper-cased.
//!
//! The codes are those of IUPAC-IUB (Nomenclature Committee, 1985), in both cases, with `U` for RNA.

pub(crate) mod scan;

/// What a byte of a nucleotide sequence stands for. Case does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Letter {
    /// `A`, `C`, `G` or `T`.
    Base,
    /// `U`, the base of RNA that stands where DNA has `T`.
    Uracil,
    /// `N`, any base.
    Any,
    /// One of `R Y S W K M B D H V`: two or three bases are possible.
    Ambiguous,
    /// `-` or `.`: no base here, or none was called.
    Gap,
    /// `*`: written by some tools for a deleted or masked position.
    Star,
    /// No nucleotide code.
    Other,
}

impl Letter {
    /// The class of one byte.
    pub const fn of(byte: u8) -> Self {
        match byte.to_ascii_uppercase() {
            b'A' | b'C' | b'G' | b'T' => Self::Base,
            b'U' => Self::Uracil,
            b'N' => Self::Any,
            b'R' | b'Y' | b'S' | b'W' | b'K' | b'M' | b'B' | b'D' | b'H' | b'V' => Self::Ambiguous,
            b'-' | b'.' => Self::Gap,
            b'*' => Self::Star,
            _ => Self::Other,
        }
    }
}

const NUCLEOTIDE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = !matches!(Letter::of(byte as u8), Letter::Other);
        byte += 1;
    }
    table
};

const COMPLEMENT: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = byte as u8;
        byte += 1;
    }
    let pairs = b"ATCGRYKMBVDH"; // S, W and N are their own complements
    let mut i = 0;
    while i < pairs.len() {
        let (a, b) = (pairs[i], pairs[i + 1]);
        table[a as usize] = b;
        table[b as usize] = a;
        table[a.to_ascii_lowercase() as usize] = b.to_ascii_lowercase();
        table[b.to_ascii_lowercase() as usize] = a.to_ascii_lowercase();
        i += 2;
    }
    table[b'U' as usize] = b'A';
    table[b'u' as usize] = b'a';
    table
};

/// Whether `byte` may stand in a nucleotide sequence: IUPAC codes of either case, `U`, and the marks `-`, `.` and `*`.
pub const fn is_nucleotide(byte: u8) -> bool {
    NUCLEOTIDE[byte as usize]
}

/// Whether `byte` is an amino acid code that no nucleotide code shares, so that it gives a protein away.
pub const fn is_protein_only(byte: u8) -> bool {
    matches!(byte.to_ascii_uppercase(), b'E' | b'F' | b'I' | b'L' | b'P' | b'Q' | b'J' | b'O' | b'X' | b'Z')
}

/// The index of the first byte that is no nucleotide code.
pub fn find_foreign(sequence: &[u8]) -> Option<usize> {
    if scan::is_nucleotides(sequence) {
        return None;
    }
    sequence.iter().position(|&byte| !is_nucleotide(byte))
}

/// Upper-cases in place. Soft-masked genomes need this before models that know upper case only.
pub fn to_upper(sequence: &mut [u8]) {
    sequence.make_ascii_uppercase();
}

/// The complement of one code; case is kept, `U` gives `A`, and bytes without a complement stay as they are.
pub const fn complement(byte: u8) -> u8 {
    COMPLEMENT[byte as usize]
}

/// The reverse complement as a new sequence.
pub fn reverse_complement(sequence: &[u8]) -> Vec<u8> {
    sequence.iter().rev().map(|&byte| complement(byte)).collect()
}

/// Reverse-complements in place.
pub fn reverse_complement_in_place(sequence: &mut [u8]) {
    sequence.reverse();
    for byte in sequence {
        *byte = complement(*byte);
    }
}

/// How many letters of each kind a sequence has, for summaries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// `A` or `a`.
    pub a: u64,
    /// `C` or `c`.
    pub c: u64,
    /// `G` or `g`.
    pub g: u64,
    /// `T` or `t`.
    pub t: u64,
    /// `N` or `n`.
    pub n: u64,
    /// Everything else, `U` included.
    pub other: u64,
    /// Letters in lower case; they are also counted under their own letter.
    pub lower: u64,
}

impl Counts {
    /// Counts one sequence.
    pub fn of(sequence: &[u8]) -> Self {
        let mut counts = Self::default();
        counts.add(sequence);
        counts
    }

    /// Adds another sequence, or another piece of the same one.
    pub fn add(&mut self, sequence: &[u8]) {
        self.merge(scan::count(sequence));
    }

    /// Adds what was counted elsewhere.
    pub const fn merge(&mut self, other: Self) {
        self.a += other.a;
        self.c += other.c;
        self.g += other.g;
        self.t += other.t;
        self.n += other.n;
        self.other += other.other;
        self.lower += other.lower;
    }

    /// All letters.
    pub const fn total(&self) -> u64 {
        self.acgt() + self.n + self.other
    }

    /// Letters that are one of the four bases of DNA.
    pub const fn acgt(&self) -> u64 {
        self.a + self.c + self.g + self.t
    }

    /// The share of `G` and `C` among `A`, `C`, `G` and `T`; none when there is no such letter.
    pub fn gc(&self) -> Option<f64> {
        (self.acgt() > 0).then(|| (self.g + self.c) as f64 / self.acgt() as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_are_classed_in_either_case() {
        assert_eq!(Letter::of(b'a'), Letter::Base);
        assert_eq!(Letter::of(b'U'), Letter::Uracil);
        assert_eq!(Letter::of(b'n'), Letter::Any);
        assert_eq!(Letter::of(b'y'), Letter::Ambiguous);
        assert_eq!(Letter::of(b'.'), Letter::Gap);
        assert_eq!(Letter::of(b'*'), Letter::Star);
        for foreign in b"EFILPQJOXZeq \t\0\x7f\xc3>@+0" {
            assert!(!is_nucleotide(*foreign), "{foreign}");
        }
        assert_eq!((0..=255).filter(|&byte| is_nucleotide(byte)).count(), 2 * 16 + 3);
    }

    #[test]
    fn reverse_complement_knows_iupac_and_keeps_case() {
        assert_eq!(reverse_complement(b"ACGTN"), b"NACGT");
        assert_eq!(reverse_complement(b"RYSWKMBDHV-acgtn"), b"nacgt-BDHVKMWSRY");
        assert_eq!(reverse_complement(b"ACGU"), b"ACGT");
    }

    #[test]
    fn counts_see_case_and_gaps() {
        let counts = Counts::of(b"ACGTNacgtn-U");
        assert_eq!((counts.a, counts.c, counts.g, counts.t, counts.n, counts.other), (2, 2, 2, 2, 2, 2));
        assert_eq!((counts.lower, counts.total(), counts.gc()), (5, 12, Some(0.5)));
        assert_eq!(Counts::of(b"NN").gc(), None);
    }

    proptest! {
        #[test]
        fn complementing_twice_gives_the_sequence_back(sequence in "[ACGTRYSWKMBDHVNacgtn.*-]{0,200}") {
            let mut twice = reverse_complement(sequence.as_bytes());
            reverse_complement_in_place(&mut twice);
            prop_assert_eq!(twice, sequence.into_bytes());
        }
    }
}
