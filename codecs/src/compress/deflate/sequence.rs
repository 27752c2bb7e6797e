//! A sequence prepared once for all the pairs that it will be the second of.

use super::index::Index;
use super::{CHAIN, WINDOW};

/// The code of a base, or 4.
pub(super) const CODE: [u8; 256] = {
    let mut table = [4; 256];
    table[b'A' as usize] = 0;
    table[b'C' as usize] = 1;
    table[b'G' as usize] = 2;
    table[b'T' as usize] = 3;
    table
};

/// Stands after the last byte of a sequence; never compared equal, since comparisons end there.
const PAST: u8 = 0xff;

/// What is known of a place before any pair is looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// The next 32 bases, the first in the highest bits; past the run of bases, zeros.
    pub(super) bases: u64,
    /// Bytes of the longest match that begins earlier in the sequence, less than 3 for none.
    pub(super) length: u16,
    /// How far back the nearest of these matches begins.
    pub(super) distance: u16,
    /// Letters of `ACGT` from here on, up to the first other letter or the end.
    pub(super) run: u16,
}

/// Letters, and for each place the longest match inside the sequence.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The letters and one byte more.
    pub(super) bytes: Vec<u8>,
    pub(super) places: Vec<Place>,
    /// Places of letters other than `ACGT`, ascending.
    pub(super) others: Vec<u16>,
    /// How often each triple of bases occurs.
    triples: [u16; 64],
    /// Triples that hold another letter.
    other_triples: u32,
    /// Which bytes occur.
    set: [u64; 4],
    /// Whether a match may begin at the first byte.
    pub(super) counts_first: bool,
}

impl Sequence {
    /// Prepares a sequence that others will stand before. None if it is longer than zlib's window.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        Self::prepare(bytes, 0)
    }

    /// The same for a sequence at the start of the stream, whose first byte zlib never takes for a match.
    pub(super) fn at_start(bytes: &[u8]) -> Option<Self> {
        Self::prepare(bytes, 1)
    }

    fn prepare(bytes: &[u8], first: usize) -> Option<Self> {
        if bytes.len() > WINDOW {
            return None;
        }
        let mut sequence = Self::scan(bytes);
        sequence.counts_first = first == 0;
        let mut index = Index::new(bytes.len());
        for at in 0..bytes.len() {
            let (length, distance) = index
                .longest(&sequence, &sequence, at)
                .map_or((0, 0), |found| (found.length, at - usize::from(found.at)));
            sequence.places[at].length = length;
            sequence.places[at].distance = distance as u16;
            if at >= first {
                index.insert(&sequence, at);
            }
        }
        Some(sequence)
    }

    fn scan(bytes: &[u8]) -> Self {
        let mut places = vec![Place::default(); bytes.len()];
        let (mut bases, mut run) = (0, 0);
        let mut set = [0; 4];
        let (mut triples, mut other_triples) = ([0; 64], 0);
        let mut others = Vec::new();
        for (at, &byte) in bytes.iter().enumerate().rev() {
            set[usize::from(byte >> 6)] |= 1 << (byte & 63);
            let code = CODE[usize::from(byte)];
            if code < 4 {
                bases = bases >> 2 | u64::from(code) << 62;
                run += 1;
            } else {
                (bases, run) = (0, 0);
                others.push(at as u16);
            }
            places[at] = Place { bases, run, ..Place::default() };
            if run >= 3 {
                triples[(bases >> 58) as usize] += 1;
            } else if at + 3 <= bytes.len() {
                other_triples += 1;
            }
        }
        others.reverse();
        let mut bytes = bytes.to_vec();
        bytes.push(PAST);
        Self { bytes, places, others, triples, other_triples, set, counts_first: true }
    }

    /// Bytes in the sequence.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether the byte occurs.
    pub(super) fn has(&self, byte: u8) -> bool {
        self.set[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    /// Whether zlib would look at every place that may match.
    pub(super) fn is_followed(&self) -> bool {
        let most = self.triples.iter().copied().max().unwrap_or_default();
        u32::from(most) + self.other_triples <= CHAIN
    }

    /// The same with `other` behind. Triples with another letter may share a hash with any other, so they count for all; so
    /// do the two over the border.
    pub(super) fn is_followed_by(&self, other: &Self) -> bool {
        let most = self.triples.iter().zip(&other.triples).map(|(a, b)| a + b).max().unwrap_or_default();
        u32::from(most) + self.other_triples + other.other_triples + 3 <= CHAIN
    }
}
