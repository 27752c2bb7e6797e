//! zlib's lazy parse.

use super::index::{Index, MOST};
use super::sequence::Sequence;
use super::symbols::Symbols;

/// A match of three bytes is worth less than three literals farther back than this.
const TOO_FAR: usize = 4096;

/// What the parse decides on: length 0 for no match.
#[derive(Clone, Copy)]
struct Match {
    length: u16,
    distance: u16,
}

impl Match {
    const NONE: Self = Self { length: 0, distance: 0 };

    #[inline]
    fn worth(length: u16, distance: usize) -> Self {
        if length < 3 || length == 3 && distance > TOO_FAR {
            return Self::NONE;
        }
        Self { length, distance: distance as u16 }
    }
}

/// Counts the symbols of a sequence that nothing stands before.
pub(super) fn alone(sequence: &Sequence, symbols: &mut Symbols) {
    parse(sequence, symbols, |at, _| {
        let place = &sequence.places[at];
        Match::worth(place.length, usize::from(place.distance))
    });
}

/// Counts the symbols of a sequence that stands behind `before` and a separator.
pub(super) fn after(before: &Sequence, index: &Index, sequence: &Sequence, symbols: &mut Symbols) {
    let offset = before.len() + 1;
    parse(sequence, symbols, |at, least| {
        let place = &sequence.places[at];
        // Among equal lengths the nearest counts, and that is the sequence's own.
        match index.longer(before, sequence, at, place.length.max(least).max(2)) {
            Some(found) => Match::worth(found.length, offset + at - usize::from(found.at)),
            None => Match::worth(place.length, usize::from(place.distance)),
        }
    });
}

/// `best` gives the best match at a place, or any other that is not longer than the second argument if that one is not.
#[inline]
fn parse(sequence: &Sequence, symbols: &mut Symbols, best: impl Fn(usize, u16) -> Match) {
    let bytes = &sequence.bytes[..sequence.len()];
    let mut at = 0;
    while at < bytes.len() {
        let mut found = best(at, 0);
        if found.length == 0 {
            symbols.literal(bytes[at]);
            at += 1;
            continue;
        }
        // A match waits for the next place, which may have a longer one.
        while usize::from(found.length) < MOST && at + 1 < bytes.len() {
            let next = best(at + 1, found.length);
            if next.length <= found.length {
                break;
            }
            symbols.literal(bytes[at]);
            at += 1;
            found = next;
        }
        symbols.repeat(found.length, found.distance);
        at += usize::from(found.length);
    }
}
