//! What stands before a base, as a number.

use std::fmt;

use super::frame::CODONS;
use crate::compress::deflate::base_code;

/// A context: which letters before a base its probability depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Context {
    /// So many bases.
    Bases(u8),
    /// So many amino acids in the reading frame, and the bases of the codon so far.
    Amino(u8),
    /// The same in seven groups of amino acids.
    Groups(u8),
}

/// Stands for a context that is not whole: at the start, or after an ambiguous letter.
pub(super) const NONE: u64 = u64::MAX;

/// Bits of the codon so far: nothing, one of 4, or one of 16.
const STATE_BITS: u32 = 5;
const AMINO_BITS: u32 = 5;
const GROUP_BITS: u32 = 3;

impl Context {
    /// Most bits that a key may have.
    pub(super) const KEY_BITS: u32 = 40;

    /// Whether it needs a reading frame.
    pub fn is_coding(self) -> bool {
        !matches!(self, Self::Bases(_))
    }

    /// Whether its keys have room.
    pub(super) fn is_valid(self) -> bool {
        let (Self::Bases(count) | Self::Amino(count) | Self::Groups(count)) = self;
        count > 0 && count <= 20 && self.key_bits() <= Self::KEY_BITS
    }

    /// Bits of a key.
    pub(super) fn key_bits(self) -> u32 {
        match self {
            Self::Bases(count) => 2 * u32::from(count),
            Self::Amino(count) => AMINO_BITS * u32::from(count) + STATE_BITS,
            Self::Groups(count) => GROUP_BITS * u32::from(count) + STATE_BITS,
        }
    }

    /// Which word of a [`Place`] is its own.
    #[inline]
    pub(super) fn kind(self) -> usize {
        match self {
            Self::Bases(_) => 0,
            Self::Amino(_) => 1,
            Self::Groups(_) => 2,
        }
    }

    /// Its key in that word, and whether all of it stands there.
    #[inline]
    pub(super) fn key(self, word: u64) -> (u64, bool) {
        let (Self::Bases(count) | Self::Amino(count) | Self::Groups(count)) = self;
        let whole = word & ((1 << WHOLE_BITS) - 1);
        (word >> WHOLE_BITS & mask(self.key_bits()), whole >= u64::from(count))
    }

    /// What is added to every count: the longer the context, the less.
    pub(super) fn prior(self) -> f32 {
        match self {
            Self::Bases(0..8) => 1.0,
            Self::Amino(0..3) => 0.5,
            Self::Bases(8..11) | Self::Groups(_) => 0.25,
            Self::Bases(_) | Self::Amino(_) => 1.0 / 16.0,
        }
    }

    /// As a letter and a number, as in model files.
    pub(super) fn code(self) -> (u8, u8) {
        match self {
            Self::Bases(count) => (b'b', count),
            Self::Amino(count) => (b'a', count),
            Self::Groups(count) => (b'g', count),
        }
    }

    /// The context of a code, if it is one.
    pub(super) fn from_code((kind, count): (u8, u8)) -> Option<Self> {
        let context = match kind {
            b'b' => Self::Bases(count),
            b'a' => Self::Amino(count),
            b'g' => Self::Groups(count),
            _ => return None,
        };
        context.is_valid().then_some(context)
    }
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bases(count) => write!(f, "{count} bases"),
            Self::Amino(count) => write!(f, "{count} amino acids"),
            Self::Groups(count) => write!(f, "{count} groups of amino acids"),
        }
    }
}

/// Walks along a sequence with all that contexts need.
pub(super) struct Walk<'a> {
    sequence: &'a [u8],
    /// The reading frame, if one is followed.
    frame: Option<usize>,
    at: usize,
    bases: u64,
    /// Bases since the last other letter.
    run: usize,
    aminos: u64,
    groups: u64,
    /// Whole codons since the last that was not.
    codons: usize,
    /// The bases of the codon so far; none once it holds another letter.
    codon: Option<u64>,
    /// How many these are, whole or not.
    phase: u8,
}

impl<'a> Walk<'a> {
    /// Begins at the first letter. Without a frame there are no contexts in it.
    pub(super) fn new(sequence: &'a [u8], frame: Option<usize>) -> Self {
        Self {
            sequence,
            frame,
            at: 0,
            bases: 0,
            run: 0,
            aminos: 0,
            groups: 0,
            codons: 0,
            codon: Some(0),
            phase: 0,
        }
    }

    /// Whether all letters are behind.
    pub(super) fn is_done(&self) -> bool {
        self.at >= self.sequence.len()
    }

    /// The base at hand, from 0 to 3; none for another letter and at the end.
    pub(super) fn base(&self) -> Option<u8> {
        base_code(*self.sequence.get(self.at)?)
    }

    /// What stands before the base at hand.
    #[inline]
    pub(super) fn place(&self) -> Place {
        let state = match (self.codon, self.phase) {
            (None, _) => None,
            (Some(_), 0) => Some(0),
            (Some(codon), 1) => Some(1 + codon),
            (Some(codon), _) => Some(5 + codon),
        };
        let in_frame = self.frame.is_some_and(|frame| self.at >= frame);
        let (state, codons) = match state {
            Some(state) if in_frame => (state, self.codons),
            _ => (0, 0),
        };
        let word = |history: u64, whole: usize| history << WHOLE_BITS | whole.min(255) as u64;
        let coding = |history: u64| word(history << STATE_BITS | state, codons);
        Place([word(self.bases, self.run), coding(self.aminos), coding(self.groups)])
    }

    /// Goes to the next letter.
    #[inline]
    pub(super) fn advance(&mut self) {
        let base = self.base();
        match base {
            Some(base) => {
                self.bases = self.bases << 2 | u64::from(base);
                self.run += 1;
            }
            None => self.run = 0,
        }
        self.at += 1;
        let Some(frame) = self.frame else { return };
        if self.at <= frame {
            return;
        }
        self.codon = self.codon.zip(base).map(|(codon, base)| codon << 2 | u64::from(base));
        self.phase += 1;
        if self.phase < 3 {
            return;
        }
        match self.codon {
            Some(codon) => {
                let (amino, group) = CODONS[codon as usize];
                self.aminos = self.aminos << AMINO_BITS | u64::from(amino);
                self.groups = self.groups << GROUP_BITS | u64::from(group);
                self.codons += 1;
            }
            None => self.codons = 0,
        }
        (self.phase, self.codon) = (0, Some(0));
    }
}

/// What stands before a letter, a word for each kind of context: above the longest key, below how many letters of it are whole,
/// up to 255.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(pub(super) [u64; KINDS]);

/// Kinds of contexts.
pub(super) const KINDS: usize = 3;

const WHOLE_BITS: u32 = 8;

impl Place {
    /// The key of a context, and whether all of it stands there.
    #[inline]
    pub(super) fn key(&self, context: Context) -> (u64, bool) {
        context.key(self.0[context.kind()])
    }
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}
