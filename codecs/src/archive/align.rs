//! Edit distances and alignments by bit-parallel dynamic programming.
//!
//! One column of the table is a pair of bit vectors, the places where the distance grows and where it shrinks from row to row
//! (Myers 1999; Hyyrö 2003 for the form used here). An alignment keeps the vectors of all columns and goes back through them.

/// What happened to a symbol of the draft in a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The draft's symbol at this place was read as this symbol, the same or another.
    Read {
        /// Place in the draft.
        place: usize,
        /// Symbol of the read.
        symbol: u8,
    },
    /// The draft's symbol at this place is missing.
    Missing {
        /// Place in the draft.
        place: usize,
    },
    /// The read has this symbol before the draft's place.
    Added {
        /// Place in the draft, or its length.
        place: usize,
        /// Symbol of the read.
        symbol: u8,
    },
}

/// A read, prepared for comparison with many others.
#[derive(Clone, Debug)]
pub struct Aligner {
    length: usize,
    words: usize,
    /// By symbol, then by word: where the read has it.
    places: Vec<u64>,
    read: Vec<u8>,
}

impl Aligner {
    /// For `read`, in symbols.
    pub fn new(read: &[u8]) -> Self {
        let words = read.len().div_ceil(64).max(1);
        let mut places = vec![0; 4 * words];
        for (position, &symbol) in read.iter().enumerate() {
            places[usize::from(symbol & 3) * words + position / 64] |= 1 << (position % 64);
        }
        Self { length: read.len(), words, places, read: read.to_vec() }
    }

    /// Edits between the read and `draft`.
    pub fn distance(&self, draft: &[u8]) -> usize {
        self.columns(draft, |_, _| ())
    }

    /// How the read came out of `draft`, with as few edits as possible, from the beginning. A gap that could stand in several
    /// places stands in the last of them.
    pub fn align(&self, draft: &[u8]) -> Vec<Edit> {
        let mut grows = Vec::with_capacity(self.words * draft.len());
        let mut shrinks = Vec::with_capacity(self.words * draft.len());
        self.columns(draft, |up, down| {
            grows.extend_from_slice(up);
            shrinks.extend_from_slice(down);
        });
        let bit = |bits: &[u64], column: usize, row: usize| {
            bits[column * self.words + row / 64] >> (row % 64) & 1 == 1
        };
        let (mut place, mut row) = (draft.len(), self.length);
        let mut edits = Vec::with_capacity(draft.len() + 8);
        while place > 0 && row > 0 {
            if bit(&grows, place - 1, row - 1) {
                row -= 1;
                edits.push(Edit::Added { place, symbol: self.read[row] });
            } else {
                place -= 1;
                if place > 0 && bit(&shrinks, place - 1, row - 1) {
                    edits.push(Edit::Missing { place });
                } else {
                    row -= 1;
                    edits.push(Edit::Read { place, symbol: self.read[row] });
                }
            }
        }
        edits.extend((0..place).rev().map(|place| Edit::Missing { place }));
        edits.extend(self.read[..row].iter().rev().map(|&symbol| Edit::Added { place: 0, symbol }));
        edits.reverse();
        edits
    }

    /// Computes the columns, shows each, and gives the distance.
    fn columns(&self, draft: &[u8], mut show: impl FnMut(&[u64], &[u64])) -> usize {
        if self.length == 0 {
            return draft.len();
        }
        let mut up = vec![u64::MAX; self.words];
        let mut down = vec![0; self.words];
        let (last_word, last_bit) = ((self.length - 1) / 64, (self.length - 1) % 64);
        let mut distance = self.length;
        for &symbol in draft {
            let places = &self.places[usize::from(symbol & 3) * self.words..][..self.words];
            // The distance of nothing to the beginning of the draft grows with every symbol.
            let (mut carry, mut right_in, mut left_in) = (false, 1, 0);
            for (word, &same) in places.iter().enumerate() {
                let (u, d) = (up[word], down[word]);
                let (sum, over) = (same & u).carrying_add(u, carry);
                carry = over;
                let diagonal = (sum ^ u) | same | d;
                let right = d | !(diagonal | u);
                let left = diagonal & u;
                if word == last_word {
                    distance = distance + (right >> last_bit & 1) as usize - (left >> last_bit & 1) as usize;
                }
                let (right_now, left_now) = (right << 1 | right_in, left << 1 | left_in);
                (right_in, left_in) = (right >> 63, left >> 63);
                up[word] = left_now | !(diagonal | right_now);
                down[word] = right_now & diagonal;
            }
            show(&up, &down);
        }
        distance
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain_distance(a: &[u8], b: &[u8]) -> usize {
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.iter().enumerate() {
            let mut before = row[0];
            row[0] = i + 1;
            for (j, y) in b.iter().enumerate() {
                let change = before + usize::from(x != y);
                before = row[j + 1];
                row[j + 1] = change.min(before + 1).min(row[j] + 1);
            }
        }
        row[b.len()]
    }

    proptest! {
        #[test]
        fn alignment_is_a_cheapest_way_from_draft_to_read(
            draft in prop::collection::vec(0_u8..4, 0..200), noise in prop::collection::vec((0_usize..200, 0_u8..3, 0_u8..4), 0..30),
            other in prop::collection::vec(0_u8..4, 0..140), unrelated: bool,
        ) {
            let mut read = draft.clone();
            for (place, kind, symbol) in noise {
                let place = place.min(read.len());
                match kind {
                    0 => read.insert(place, symbol),
                    _ if place == read.len() => (),
                    1 => read[place] = symbol,
                    _ => drop(read.remove(place)),
                }
            }
            let read = if unrelated { other } else { read };
            let aligner = Aligner::new(&read);
            let expected = plain_distance(&draft, &read);
            prop_assert_eq!(aligner.distance(&draft), expected);
            let edits = aligner.align(&draft);
            let mut rebuilt = Vec::new();
            let mut next = 0;
            let mut cost = 0;
            for edit in edits {
                match edit {
                    Edit::Read { place, symbol } => {
                        prop_assert_eq!(place, next);
                        next += 1;
                        cost += usize::from(draft[place] != symbol);
                        rebuilt.push(symbol);
                    }
                    Edit::Missing { place } => {
                        prop_assert_eq!(place, next);
                        next += 1;
                        cost += 1;
                    }
                    Edit::Added { place, symbol } => {
                        prop_assert_eq!(place, next);
                        cost += 1;
                        rebuilt.push(symbol);
                    }
                }
            }
            prop_assert_eq!((rebuilt, next, cost), (read, draft.len(), expected));
        }
    }
}
