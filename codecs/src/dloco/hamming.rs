//! H-LOCO: the words whose quaternary Hamming syndrome is zero.

use super::Error;
use super::candidates::Candidates;
use super::codebook::{Candidate, Codebook, Entry};
use super::params::{RunLimit, check_length};
use super::value::{LIMBS, Value, add, sub};

/// Symbols are elements of GF(4), whose sum is the exclusive or; the syndrome of a word is the sum of its symbols' multiples
/// of columns, no two of which are multiples of each other. Words of syndrome zero differ in three places or more, and the
/// syndrome of one substitution names its position and its value.
///
/// The columns sum to zero, so that adding 3 to every symbol, which is the complement, leaves the syndrome as it is. Words
/// are numbered in lexicographic order by counting the ways to go on from a state (last symbol, run) to a remaining
/// syndrome: `4 l 4^r m` counts, some megabytes. The price for the higher rate than [`Residue`](super::Residue) is a check
/// of `2 r` bits only: lists of two substitutions have dozens of words.
#[derive(Clone, Debug)]
pub struct Hamming {
    run_limit: RunLimit,
    length: usize,
    /// Number of syndromes, `4^r`.
    syndromes: usize,
    /// By position: the column's multiples by the symbols.
    multiples: Vec<[u8; 4]>,
    /// By syndrome less one: the position and the value of the substitution that causes it.
    causes: Vec<Option<(u8, u8)>>,
    /// By symbols to follow, state and syndrome to reach: ways to go on.
    counts: Vec<Count>,
    payload_bits: usize,
    half: Value,
    last: Value,
}

/// Enough for the words of 85 symbols.
type Count = [u64; 3];

/// Longest word: there are 85 columns of four elements.
const MAX_LENGTH: usize = 85;

impl Hamming {
    /// Tables for the balanced code of a run limit and a length up to 85.
    pub fn new(run_limit: usize, length: usize) -> Result<Self, Error> {
        let run_limit = RunLimit::new(run_limit)?;
        check_length(length, MAX_LENGTH)?;
        let columns = columns(length);
        let syndromes = 4_usize.pow(digits(length));
        let multiples: Vec<[u8; 4]> =
            columns.iter().map(|&column| std::array::from_fn(|s| times(s as u8, column))).collect();
        let mut causes = vec![None; syndromes - 1];
        for (position, row) in multiples.iter().enumerate() {
            for value in 1..4 {
                causes[usize::from(row[value]) - 1] = Some((position as u8, value as u8));
            }
        }
        let counts = counts(run_limit.get(), &multiples, syndromes);
        let mut code = Self {
            run_limit,
            length,
            syndromes,
            multiples,
            causes,
            counts,
            payload_bits: 0,
            half: Value::ZERO,
            last: Value::ZERO,
        };
        let words =
            (0..4).fold([0; 3], |sum, s| add(&sum, code.count(0, s, code.multiples[0][usize::from(s)])));
        let words = widen(&words);
        if words.is_zero() {
            return Err(Error::NoWords { run_limit: run_limit.get(), length });
        }
        code.half = words.half();
        code.last = words.sub(&Value::from(1));
        code.payload_bits = code.half.bits().saturating_sub(1);
        Ok(code)
    }

    /// Number of words.
    pub fn words(&self) -> Value {
        self.last.add(&Value::from(1))
    }

    /// Ways to go on after `position` from the state, a symbol times three plus the length of its run less one.
    fn at(&self, position: usize, state: u8, syndrome: u8) -> &Count {
        let follow = self.length - 1 - position;
        &self.counts[(follow * 12 + usize::from(state)) * self.syndromes + usize::from(syndrome)]
    }

    /// Ways to go on after a first symbol of a run.
    fn count(&self, position: usize, symbol: u8, syndrome: u8) -> &Count {
        self.at(position, symbol * 3, syndrome)
    }

    /// The state after `symbol`, if its run is not too long. Before the first symbol the state is 255.
    fn next(&self, state: u8, symbol: u8) -> Option<u8> {
        next(self.run_limit.get(), state, symbol)
    }

    fn syndrome(&self, word: &[u8]) -> u8 {
        word.iter().zip(&self.multiples).fold(0, |sum, (&symbol, row)| sum ^ row[usize::from(symbol & 3)])
    }

    fn rank(&self, word: &[u8]) -> Option<Value> {
        let (mut sum, mut state, mut rest) = ([0; 3], 255, 0);
        for (position, &symbol) in word.iter().enumerate() {
            for smaller in 0..symbol {
                if let Some(after) = self.next(state, smaller) {
                    let need = rest ^ self.multiples[position][usize::from(smaller)];
                    sum = add(&sum, self.at(position, after, need));
                }
            }
            state = self.next(state, symbol)?;
            rest ^= self.multiples[position][usize::from(symbol)];
        }
        Some(widen(&sum))
    }

    fn unrank(&self, index: &Value, word: &mut [u8]) {
        let (mut index, mut state, mut rest) = (*index.0.first_chunk().expect("ten limbs"), 255, 0);
        for (position, letter) in word.iter_mut().enumerate() {
            for symbol in 0..4 {
                let Some(after) = self.next(state, symbol) else { continue };
                let need = rest ^ self.multiples[position][usize::from(symbol)];
                let (left, below) = sub(&index, self.at(position, after, need));
                if below {
                    (*letter, state, rest) = (symbol, after, need);
                    break;
                }
                index = left;
            }
        }
    }
}

fn next(run_limit: usize, state: u8, symbol: u8) -> Option<u8> {
    if state == 255 || state / 3 != symbol {
        Some(symbol * 3)
    } else {
        (usize::from(state % 3) + 1 < run_limit).then_some(state + 1)
    }
}

fn widen(count: &Count) -> Value {
    let mut limbs = [0; LIMBS];
    limbs[..3].copy_from_slice(count);
    Value(limbs)
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

fn counts(run_limit: usize, multiples: &[[u8; 4]], syndromes: usize) -> Vec<Count> {
    let length = multiples.len();
    let mut counts = vec![[0; 3]; length * 12 * syndromes];
    for state in 0..12 {
        counts[state * syndromes] = [1, 0, 0];
    }
    for follow in 1..length {
        let row = &multiples[length - follow];
        let (before, here) = counts.split_at_mut(follow * 12 * syndromes);
        let before = &before[(follow - 1) * 12 * syndromes..];
        for state in 0..12 {
            for symbol in 0..4 {
                let Some(after) = next(run_limit, state, symbol) else { continue };
                for syndrome in 0..syndromes {
                    let rest = syndrome ^ usize::from(row[usize::from(symbol)]);
                    let way = &before[usize::from(after) * syndromes + rest];
                    let sum = &mut here[usize::from(state) * syndromes + syndrome];
                    *sum = add(sum, way);
                }
            }
        }
    }
    counts
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
        self.unrank(message, word);
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
        let index = self.rank(word)?;
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
                let rest = syndrome ^ self.multiples[first][usize::from(value)];
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
        let own = |place: usize, position: usize| self.multiples[place][usize::from(word[position] & 3)];
        // All symbols behind the lost one; then one after the other before it.
        let mut rest = (0..word.len()).fold(0, |sum, position| sum ^ own(position + 1, position));
        for place in 0..=word.len() {
            for symbol in (0..4).filter(|&symbol| place == 0 || word[place - 1] != symbol) {
                if rest == self.multiples[place][usize::from(symbol)] {
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
        let own = |place: usize, position: usize| self.multiples[place][usize::from(word[position] & 3)];
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
