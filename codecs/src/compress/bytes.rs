//! The common compressors of bytes, with the settings and the exact sizes of their reference implementations.

use std::str::FromStr;

use rayon::prelude::*;

use super::code_length::{CodeLength, Corpus, Result, Row};
use super::deflate::{Query, Sequence};

mod encoder;

pub use encoder::Encoder;

/// A format, and thereby a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// DEFLATE in the frame of RFC 1952.
    Gzip,
    /// DEFLATE in the frame of RFC 1950.
    Zlib,
    /// Brotli with a window of 4 MiB.
    Brotli,
    /// LZMA2 in an xz container with a CRC-64.
    Xz,
    /// Zstandard.
    Zstd,
    /// Burrows and Wheeler's transform.
    Bz2,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Gzip, Self::Zlib, Self::Brotli, Self::Xz, Self::Zstd, Self::Bz2];

    /// As written on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
            Self::Brotli => "brotli",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bz2 => "bz2",
        }
    }

    /// The level of the paper and of Python's modules: 9 for gzip, zlib and bz2, 11 for brotli, 6 for xz, 3 for zstd.
    pub fn default_level(self) -> u8 {
        match self {
            Self::Gzip | Self::Zlib | Self::Bz2 => 9,
            Self::Brotli => 11,
            Self::Xz => 6,
            Self::Zstd => 3,
        }
    }

    /// The levels that there are.
    pub fn levels(self) -> std::ops::RangeInclusive<u8> {
        match self {
            Self::Gzip | Self::Zlib | Self::Xz => 0..=9,
            Self::Brotli => 0..=11,
            Self::Zstd => 1..=22,
            Self::Bz2 => 1..=9,
        }
    }

    /// Bytes of frame around the raw stream.
    fn frame(self) -> u64 {
        match self {
            Self::Gzip => 18,
            Self::Zlib => 6,
            _ => 0,
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> std::result::Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

/// No compressor has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compressor {0:?} is not known")]
pub struct UnknownKind(String);

/// A compressor with its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressor {
    kind: Kind,
    level: u8,
    separator: Option<u8>,
    overhead: bool,
}

impl Compressor {
    /// A compressor of a level, or none where it has no such level. Two sequences are joined by one space.
    pub fn new(kind: Kind, level: u8) -> Option<Self> {
        kind.levels().contains(&level).then_some(Self { kind, level, separator: Some(b' '), overhead: true })
    }

    /// The byte between two sequences, or none.
    #[must_use]
    pub fn separator(mut self, separator: Option<u8>) -> Self {
        self.separator = separator;
        self
    }

    /// Leaves out what even the empty sequence costs, which rules the distances of very short sequences.
    #[must_use]
    pub fn without_overhead(mut self) -> Self {
        self.overhead = false;
        self
    }

    /// Which format.
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// The byte between two sequences.
    pub fn separator_byte(self) -> Option<u8> {
        self.separator
    }

    /// Whether the frame counts.
    pub fn has_overhead(self) -> bool {
        self.overhead
    }

    /// How hard it tries.
    pub fn level(self) -> u8 {
        self.level
    }

    /// How far back the format sees, in bytes, where that bounds what a distance can see.
    pub fn window(self) -> Option<usize> {
        match self.kind {
            Kind::Gzip | Kind::Zlib => Some(super::deflate::WINDOW),
            Kind::Bz2 => Some(usize::from(self.level) * 100_000),
            _ => None,
        }
    }

    fn is_fast(self) -> bool {
        matches!(self.kind, Kind::Gzip | Kind::Zlib) && self.level == 9 && self.separator.is_some()
    }

    fn encoder(self) -> Encoder {
        Encoder::new(self.kind, self.level)
    }

    /// Bytes that every output has.
    fn constant(self) -> u64 {
        if self.overhead {
            return 0;
        }
        self.encoder().size(b"")
    }

    fn join(self, first: &[u8], second: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(first);
        out.extend(self.separator);
        out.extend_from_slice(second);
    }
}

fn bits(bytes: u64) -> f64 {
    8.0 * bytes as f64
}

impl CodeLength for Compressor {
    fn name(&self) -> String {
        format!("{}-{}", self.kind.name(), self.level)
    }

    fn bits(&self, sequence: &[u8]) -> Result<f64> {
        Ok(bits(self.encoder().size(sequence) - self.constant()))
    }

    fn joint_bits(&self, first: &[u8], second: &[u8]) -> Result<f64> {
        let mut joined = Vec::new();
        self.join(first, second, &mut joined);
        Ok(bits(self.encoder().size(&joined) - self.constant()))
    }

    fn corpus<'a>(&'a self, sequences: &'a [Vec<u8>]) -> Result<Box<dyn Corpus + 'a>> {
        let constant = self.constant();
        let alone = sequences
            .par_iter()
            .map_init(|| self.encoder(), |encoder, sequence| bits(encoder.size(sequence) - constant))
            .collect();
        let prepared = if self.is_fast() {
            sequences.par_iter().map(|sequence| Sequence::new(sequence)).collect()
        } else {
            Vec::new()
        };
        Ok(Box::new(Prepared { compressor: *self, constant, sequences, engine: prepared, alone }))
    }
}

struct Prepared<'a> {
    compressor: Compressor,
    constant: u64,
    sequences: &'a [Vec<u8>],
    /// For the size-only engine, where it serves.
    engine: Vec<Option<Sequence>>,
    alone: Vec<f64>,
}

impl Corpus for Prepared<'_> {
    fn alone(&self) -> &[f64] {
        &self.alone
    }

    fn row(&self, query: &[u8]) -> Result<Row> {
        let mut encoder = None;
        let mut joined = Vec::new();
        // Made where the engine cannot tell: an encoder clears up to some megabytes when it is made.
        let mut slow = |bytes: &[u8]| {
            let encoder = encoder.get_or_insert_with(|| self.compressor.encoder());
            encoder.size(bytes)
        };
        let fast = if self.compressor.is_fast() { Query::new(query) } else { None };
        let frame = self.compressor.kind.frame();
        let alone = match fast.as_ref().and_then(Query::size) {
            Some(size) => u64::from(size) + frame,
            None => slow(query),
        };
        let mut joint = Vec::with_capacity(self.sequences.len());
        for (at, other) in self.sequences.iter().enumerate() {
            let size = match (&fast, self.engine.get(at), self.compressor.separator) {
                (Some(query), Some(Some(other)), Some(separator)) => query.size_with(separator, other),
                _ => None,
            };
            let size = if let Some(size) = size {
                u64::from(size) + frame
            } else {
                self.compressor.join(query, other, &mut joined);
                slow(&joined)
            };
            joint.push(bits(size - self.constant));
        }
        Ok(Row { alone: bits(alone - self.constant), joint })
    }

    fn backward(&self, query: &[u8]) -> Result<Vec<f64>> {
        let mut encoder = None;
        let mut joined = Vec::new();
        let second = if self.compressor.is_fast() { Sequence::new(query) } else { None };
        let frame = self.compressor.kind.frame();
        let size = |other: &Vec<u8>| {
            if let (Some(second), Some(separator)) = (&second, self.compressor.separator)
                && let Some(size) = Query::new(other).and_then(|first| first.size_with(separator, second))
            {
                return bits(u64::from(size) + frame - self.constant);
            }
            self.compressor.join(other, query, &mut joined);
            bits(encoder.get_or_insert_with(|| self.compressor.encoder()).size(&joined) - self.constant)
        };
        Ok(self.sequences.iter().map(size).collect())
    }
}
