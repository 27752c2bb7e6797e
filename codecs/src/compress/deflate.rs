//! The length of zlib's output at level 9 without the output: bit-exact, and tens of times faster.
//!
//! For a distance by compression only the length of `x + separator + y` counts, for every query `x` and every training
//! sequence `y`. So nothing is written, and all that depends on one of the two alone is done once: `x`'s parse, its
//! index, and for each place in `y` its longest match inside `y`. What is left for a pair is zlib's lazy parse of `y`, which
//! looks for a longer match in `x` at the places it visits, and the cost of the three Huffman codes.
//!
//! The parse is that of `deflate_slow` of zlib with the settings of level 9 (lazy 258, nice 258, good 32, chain 4096).
//! Pairs on which a limit of zlib could bite that is not followed here are refused with none, and go to zlib itself.

mod huffman;
mod index;
mod parse;
mod sequence;
mod symbols;

pub use sequence::Sequence;

use index::Index;
use symbols::Symbols;

/// The farthest that zlib looks back: its window less the look-ahead.
pub const WINDOW: usize = 32_768 - 262;

/// Symbols in one block; the last that fits ends it.
const BLOCK: u32 = 16_383;

/// Equal hashes that zlib looks at once it has a good match, the least of its limits.
const CHAIN: u32 = 1024;

/// The code of a base, from 0 to 3; none for any other letter.
#[inline]
pub(crate) fn base_code(letter: u8) -> Option<u8> {
    let code = sequence::CODE[usize::from(letter)];
    (code < 4).then_some(code)
}

/// A query with all that its pairs share.
pub struct Query {
    sequence: Sequence,
    index: Box<Index>,
    /// Of the parse of the sequence alone.
    symbols: Symbols,
}

impl Query {
    /// Indexes a sequence. None if it is longer than zlib's window or repeats a triple so often that zlib would not look at
    /// all of its places.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let sequence = Sequence::at_start(bytes)?;
        if !sequence.is_followed() {
            return None;
        }
        let index = Index::of(&sequence);
        let mut symbols = Symbols::default();
        parse::alone(&sequence, &mut symbols);
        Some(Self { sequence, index, symbols })
    }

    /// Bytes of the raw DEFLATE stream of the query alone.
    pub fn size(&self) -> Option<u32> {
        self.symbols.clone().bytes(self.sequence.len())
    }

    /// Bytes of the raw DEFLATE stream of the query, `separator` and `other`, or none where only zlib itself can tell.
    pub fn size_with(&self, separator: u8, other: &Sequence) -> Option<u32> {
        let length = self.sequence.len() + 1 + other.len();
        if length > WINDOW
            || self.sequence.has(separator)
            || other.has(separator)
            || !self.sequence.is_followed_by(other)
        {
            return None;
        }
        let mut symbols = self.symbols.clone();
        symbols.literal(separator);
        parse::after(&self.sequence, &self.index, other, &mut symbols);
        symbols.bytes(length)
    }
}

/// Compares sizes with those of zlib: used by the property tests and the fuzz target. Tells whether the engine could tell.
#[doc(hidden)]
pub fn check(x: &[u8], y: &[u8]) -> bool {
    let mut zlib = super::zlib::Deflater::new(9);
    let (Some(query), Some(other)) = (Query::new(x), Sequence::new(y)) else { return false };
    if let Some(size) = query.size() {
        assert_eq!(u64::from(size), zlib.size(x), "alone: {}", String::from_utf8_lossy(x));
    }
    let Some(size) = query.size_with(b' ', &other) else { return false };
    let joined = [x, b" ", y].concat();
    assert_eq!(u64::from(size), zlib.size(&joined), "{}", String::from_utf8_lossy(&joined));
    true
}

#[cfg(test)]
mod tests;
