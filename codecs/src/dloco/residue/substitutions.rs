//! One and two substitutions.
//!
//! A substitution changes the contributions of its own symbol and of at most `l` that follow, until the states agree
//! again. So the difference of the index modulo `R` is found locally, without a table of differences and for any received
//! word, also one with runs that are too long.

use super::Residue;
use crate::dloco::candidates::{Candidates, long_runs};
use crate::dloco::codebook::{Candidate, Codebook, Entry};

/// The received word, and what its index leaves, counted formally past runs that are too long.
struct Received<'a> {
    code: &'a Residue,
    word: &'a [u8],
    states: Vec<u8>,
    /// What is missing to the residue of the codebook.
    missing: u32,
}

impl<'a> Received<'a> {
    fn new(code: &'a Residue, word: &'a [u8]) -> Self {
        let states = code.states_of(word);
        let found =
            (0..word.len()).fold(0, |sum, i| code.plus(sum, code.contribution(states[i], word[i], i)));
        Self { code, word, states, missing: code.minus(code.rho, found) }
    }

    /// The difference made by `symbol` at `position` when the state before it is `state`, and where its influence ends.
    fn difference(&self, state: u8, position: usize, symbol: u8) -> (u32, usize) {
        let code = self.code;
        let change = |state: u8, symbol: u8, at: usize| {
            let old = code.contribution(self.states[at], self.word[at], at);
            code.minus(code.contribution(state, symbol, at), old)
        };
        let mut sum = change(state, symbol, position);
        let mut state = code.next(state, symbol);
        let mut at = position + 1;
        while at < self.word.len() && state != self.states[at] {
            sum = code.plus(sum, change(state, self.word[at], at));
            state = code.next(state, self.word[at]);
            at += 1;
        }
        (sum, at)
    }

    /// Other symbols than the one at `position`.
    fn others(&self, position: usize) -> impl Iterator<Item = u8> + use<> {
        let own = self.word[position];
        (0..4).filter(move |&symbol| symbol != own)
    }
}

pub(super) fn correct(code: &Residue, word: &[u8]) -> Option<(Entry, usize, u8)> {
    // A run that is too long is broken inside of it; two of them are not broken at once.
    let (count, positions) = long_runs(word, code.run_limit().get());
    if word.len() != code.length() || count > 1 {
        return None;
    }
    let received = Received::new(code, word);
    let mut fixed = word.to_vec();
    for position in positions {
        for symbol in received.others(position) {
            let (difference, _) = received.difference(received.states[position], position, symbol);
            if difference == received.missing {
                fixed[position] = symbol;
                if let Some(entry) = code.lookup(&fixed) {
                    return Some((entry, position, symbol));
                }
                fixed[position] = word[position];
            }
        }
    }
    None
}

/// A substitution whose influence has ended, in the chain of its residue.
struct Ended {
    difference: u32,
    position: usize,
    symbol: u8,
    before: u32,
}

/// Differences of ended substitutions by residue: a hash table with chains.
struct Lookup {
    heads: Vec<u32>,
    ended: Vec<Ended>,
}

const NONE: u32 = u32::MAX;

impl Lookup {
    fn new(capacity: usize) -> Self {
        Self { heads: vec![NONE; (2 * capacity).next_power_of_two()], ended: Vec::with_capacity(capacity) }
    }

    fn slot(&self, difference: u32) -> usize {
        let hash = u64::from(difference).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        hash as usize & (self.heads.len() - 1)
    }

    fn insert(&mut self, difference: u32, position: usize, symbol: u8) {
        let slot = self.slot(difference);
        self.ended.push(Ended { difference, position, symbol, before: self.heads[slot] });
        self.heads[slot] = self.ended.len() as u32 - 1;
    }

    fn find(&self, difference: u32) -> impl Iterator<Item = (usize, u8)> {
        let mut at = self.heads[self.slot(difference)];
        std::iter::from_fn(move || {
            while at != NONE {
                let ended = &self.ended[at as usize];
                at = ended.before;
                if ended.difference == difference {
                    return Some((ended.position, ended.symbol));
                }
            }
            None
        })
    }
}

pub(super) fn within_two(code: &Residue, word: &[u8]) -> Vec<Candidate> {
    let (count, _) = long_runs(word, code.run_limit().get());
    if word.len() != code.length() || count > 2 {
        return Vec::new();
    }
    let received = Received::new(code, word);
    let mut found = Candidates::default();
    if received.missing == 0 {
        found.offer(code, 0, word);
    }
    let mut fixed = word.to_vec();
    let mut lookup = Lookup::new(3 * word.len());
    // Substitutions whose influence goes on: those of the last few positions.
    let mut open: Vec<(usize, u32, usize, u8)> = Vec::new();
    for position in 0..word.len() {
        open.retain(|&(end, difference, at, symbol)| {
            if end <= position {
                lookup.insert(difference, at, symbol);
            }
            end > position
        });
        for symbol in received.others(position) {
            let (difference, end) = received.difference(received.states[position], position, symbol);
            open.push((end, difference, position, symbol));
            fixed[position] = symbol;
            if difference == received.missing {
                found.offer(code, 1, &fixed);
            }
            // Earlier substitutions that have ended add to this one.
            for (earlier, other) in lookup.find(code.minus(received.missing, difference)) {
                fixed[earlier] = other;
                found.offer(code, 2, &fixed);
                fixed[earlier] = word[earlier];
            }
            close_pairs(&received, position, symbol, end, &mut fixed, &mut found);
            fixed[position] = word[position];
        }
    }
    found.sorted()
}

/// Second substitutions inside the influence of the one of `symbol` at `position`, which `fixed` has already.
fn close_pairs(
    received: &Received<'_>,
    position: usize,
    symbol: u8,
    end: usize,
    fixed: &mut [u8],
    found: &mut Candidates,
) {
    let (code, word) = (received.code, received.word);
    let contribution = |at: usize| code.contribution(received.states[at], word[at], at);
    let before = received.states[position];
    let mut sum = code.minus(code.contribution(before, symbol, position), contribution(position));
    let mut state = code.next(before, symbol);
    for second in position + 1..end {
        for other in received.others(second) {
            let (difference, _) = received.difference(state, second, other);
            if code.plus(sum, difference) == received.missing {
                fixed[second] = other;
                found.offer(code, 2, fixed);
                fixed[second] = word[second];
            }
        }
        let change = code.minus(code.contribution(state, word[second], second), contribution(second));
        sum = code.plus(sum, change);
        state = code.next(state, word[second]);
    }
}
