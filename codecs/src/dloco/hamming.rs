//! H-LOCO: the words whose quaternary Hamming syndrome is zero.

use super::Error;
use super::candidates::Candidates;
use super::codebook::{Candidate, Codebook, Entry};
use super::params::{RunLimit, check_length};
use super::value::Value;

mod ways;

use ways::Ways;

/// Symbols are elements of GF(4), whose sum is the exclusive or; the syndrome of a word is the sum of its symbols' multiples
/// of columns, no two of which are multiples of each other. Words of syndrome zero differ in three places or more, and the
/// syndrome of one substitution names its position and its value.
///
/// The columns sum to zero, so that adding 3 to every symbol, which is the complement, leaves the syndrome as it is. Words
/// are numbered in lexicographic order by counting the ways to go on from a run to a remaining syndrome: `(l + 1) 4^r m`
/// counts, one or two megabytes. The price for the higher rate than [`Residue`](super::Residue) is a check
/// of `2 r` bits only: lists of two substitutions have dozens of words.
#[derive(Clone, Debug)]
pub struct Hamming {
    run_limit: RunLimit,
    length: usize,
    ways: Ways,
    /// By syndrome less one: the position and the value of the substitution that causes it.
    causes: Vec<Option<(u8, u8)>>,
    payload_bits: usize,
    half: Value,
    last: Value,
}

/// Longest word: there are 85 columns of four elements.
const MAX_LENGTH: usize = 85;

impl Hamming {
    /// Tables for the balanced code of a run limit and a length up to 85.
    pub fn new(run_limit: usize, length: usize) -> Result<Self, Error> {
        let run_limit = RunLimit::new(run_limit)?;
        check_length(length, MAX_LENGTH)?;
        let syndromes = 4_usize.pow(digits(length));
        let ways = Ways::new(run_limit.get(), &columns(length), syndromes);
        let mut causes = vec![None; syndromes - 1];
        for (position, row) in ways.multiples().iter().enumerate() {
            for value in 1..4 {
                causes[usize::from(row[value]) - 1] = Some((position as u8, value as u8));
            }
        }
        let words = ways.words();
        if words.is_zero() {
            return Err(Error::NoWords { run_limit: run_limit.get(), length });
        }
        let half = words.half();
        Ok(Self {
            run_limit,
            length,
            ways,
            causes,
            payload_bits: half.bits().saturating_sub(1),
            half,
            last: words.sub(&Value::from(1)),
        })
    }

    /// Number of words.
    pub fn words(&self) -> Value {
        self.last.add(&Value::from(1))
    }

    fn syndrome(&self, word: &[u8]) -> u8 {
        word.iter()
            .zip(self.ways.multiples())
            .fold(0, |sum, (&symbol, row)| sum ^ row[usize::from(symbol & 3)])
    }
}

/// `r`: elements of a column, so that there are enough of them.
fn digits(length: usize) -> u32 {
    (1..=4).find(|&r| 3 * length < 4_usize.pow(r)).expect("lengths are 85 at most")
}

/// The product of a symbol with each of the elements of GF(4) packed into `column`, two bits each.
fn times(symbol: u8, column: u8) -> u8 {
    const PRODUCTS: [[u8; 4]; 4] = [[0, 0, 0, 0], [0, 1, 2, 3], [0, 2, 3, 1], [0, 3, 1, 2]];
    (0..4).fold(0, |sum, digit| {
        sum | PRODUCTS[usize::from(symbol)][usize::from(column >> (2 * digit) & 3)] << (2 * digit)
    })
}

/// Columns, no two of which are multiples of each other, with sum zero.
///
/// A fixed pseudo-random search: all but the last are drawn, and the last is what is missing to zero, if it is new.
fn columns(length: usize) -> Vec<u8> {
    let syndromes = 4_u32.pow(digits(length));
    // Of the three multiples of a column, the one whose highest element is 1.
    let leader = |column: u8| (1..4).map(|s| times(s, column)).min().expect("three multiples");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    loop {
        let mut free: Vec<u8> = (1..syndromes).map(|c| c as u8).filter(|&c| leader(c) == c).collect();
        let mut drawn = Vec::with_capacity(length);
        for _ in 1..length {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let column = free.swap_remove((state >> 33) as usize % free.len());
            drawn.push(times(1 + ((state >> 24) % 3) as u8, column));
        }
        let last = drawn.iter().fold(0, |sum, column| sum ^ column);
        if last != 0 && free.contains(&leader(last)) {
            drawn.push(last);
            return drawn;
        }
    }
}

impl Codebook for Hamming {
    fn run_limit(&self) -> RunLimit {
        self.run_limit
    }

    fn length(&self) -> usize {
        self.length
    }

    fn payload_bits(&self) -> usize {
        self.payload_bits
    }

    fn encode_into(&self, message: &Value, complement: bool, word: &mut [u8]) {
        self.ways.unrank(message, word);
        if complement {
            for symbol in word {
                *symbol = 3 - *symbol;
            }
        }
    }

    fn lookup(&self, word: &[u8]) -> Option<Entry> {
        if word.len() != self.length || self.syndrome(word) != 0 {
            return None;
        }
        let index = self.ways.rank(word)?;
        let complement = index >= self.half;
        let message = if complement { self.last.sub(&index) } else { index };
        (message.bits() <= self.payload_bits).then_some(Entry { message, complement })
    }

    fn correct(&self, word: &[u8]) -> Option<(Entry, usize, u8)> {
        if word.len() != self.length {
            return None;
        }
        let cause = usize::from(self.syndrome(word)).checked_sub(1)?;
        let (position, value) = self.causes[cause]?;
        let mut fixed = word.to_vec();
        fixed[usize::from(position)] ^= value;
        let entry = self.lookup(&fixed)?;
        Some((entry, position.into(), fixed[usize::from(position)]))
    }

    fn within_two(&self, word: &[u8]) -> Vec<Candidate> {
        let mut found = Candidates::default();
        if word.len() != self.length {
            return Vec::new();
        }
        let syndrome = self.syndrome(word);
        if syndrome == 0 {
            found.offer(self, 0, word);
        }
        let mut fixed = word.to_vec();
        for first in 0..word.len() {
            for value in 1..4 {
                fixed[first] = word[first] ^ value;
                let rest = syndrome ^ self.ways.multiples()[first][usize::from(value)];
                if rest == 0 {
                    found.offer(self, 1, &fixed);
                } else if let Some((second, other)) = self.causes[usize::from(rest) - 1] {
                    let second = usize::from(second);
                    // Each pair from its first position.
                    if second > first {
                        fixed[second] ^= other;
                        found.offer(self, 2, &fixed);
                        fixed[second] = word[second];
                    }
                }
            }
            fixed[first] = word[first];
        }
        found.sorted()
    }

    fn after_deletion(&self, word: &[u8]) -> Vec<Candidate> {
        let mut found = Candidates::default();
        if word.len() + 1 != self.length {
            return Vec::new();
        }
        let own =
            |place: usize, position: usize| self.ways.multiples()[place][usize::from(word[position] & 3)];
        // All symbols behind the lost one; then one after the other before it.
        let mut rest = (0..word.len()).fold(0, |sum, position| sum ^ own(position + 1, position));
        for place in 0..=word.len() {
            for symbol in (0..4).filter(|&symbol| place == 0 || word[place - 1] != symbol) {
                if rest == self.ways.multiples()[place][usize::from(symbol)] {
                    found.offer(self, 1, &[&word[..place], &[symbol], &word[place..]].concat());
                }
            }
            if place < word.len() {
                rest ^= own(place + 1, place) ^ own(place, place);
            }
        }
        found.sorted()
    }

    fn after_insertion(&self, word: &[u8]) -> Vec<Candidate> {
        let mut found = Candidates::default();
        if word.len() != self.length + 1 {
            return Vec::new();
        }
        let own =
            |place: usize, position: usize| self.ways.multiples()[place][usize::from(word[position] & 3)];
        let mut rest = (1..word.len()).fold(0, |sum, position| sum ^ own(position - 1, position));
        for place in 0..word.len() {
            if rest == 0 && (place == 0 || word[place - 1] != word[place]) {
                found.offer(self, 1, &[&word[..place], &word[place + 1..]].concat());
            }
            if place + 1 < word.len() {
                rest ^= own(place, place + 1) ^ own(place, place);
            }
        }
        found.sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_independent_and_sum_to_zero() {
        for length in 3..=MAX_LENGTH {
            let columns = columns(length);
            assert_eq!(columns.len(), length);
            assert_eq!(columns.iter().fold(0, |sum, column| sum ^ column), 0);
            let mut multiples: Vec<u8> =
                columns.iter().flat_map(|&column| (1..4).map(move |s| times(s, column))).collect();
            multiples.sort_unstable();
            multiples.dedup();
            assert_eq!(multiples.len(), 3 * length, "{length}");
        }
    }

    #[test]
    fn payload_is_that_of_the_prototype() {
        for (run_limit, length, bits) in [(3, 64, 117), (3, 80, 149), (2, 64, 114), (1, 64, 92)] {
            assert_eq!(Hamming::new(run_limit, length).unwrap().payload_bits(), bits);
        }
    }
}
