//! Followers of an earlier occurrence: what came there comes here again, or on the other strand what came before, inverted. A
//! follower stays through substitutions, and leaves when it is wrong too often.

use super::counts::History;
use super::estimate::{Estimates, logarithm};
use crate::compress::table::Table;

/// Outcomes that decide what a follower is worth.
const RECENT: u32 = 8;
/// Classes of the number of hits since the last miss.
pub(super) const LENGTHS: usize = 16;
/// Misses among 16 outcomes with which a follower stays.
const MOST_MISSES: u32 = 8;
/// With fewer hits in a row a follower leaves for a later occurrence.
const SURE: u32 = 20;

/// Two followers, one a strand, of the last occurrence of words of one length.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    word: u32,
    /// For each word the place after it, plus one.
    last: Table<u32>,
    bits: u32,
    pub(super) followers: [Follower; 2],
}

impl Pair {
    /// Of words of so many bases, in a table of so many bits.
    pub(super) fn new(word: u32, bits: u32) -> Self {
        Self {
            word,
            last: Table::zeroed(1 << bits),
            bits,
            followers: [Follower::new(false), Follower::new(true)],
        }
    }

    fn slot(&self, word: u64) -> usize {
        (word.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - self.bits)) as usize
    }

    /// Learns the base that came. `bases` has it at its end, and so has `history`.
    #[inline]
    pub(super) fn update(&mut self, base: u8, bases: &[u8], history: &History) {
        for follower in &mut self.followers {
            follower.learn(base);
        }
        if history.length < u64::from(self.word) {
            return;
        }
        let (here, inverted) = (self.slot(history.last(self.word)), self.slot(history.inverted(self.word)));
        for (follower, slot) in self.followers.iter_mut().zip([here, inverted]) {
            if follower.is_sure() {
                continue;
            }
            let Some(after) = self.last[slot].checked_sub(1) else { continue };
            let after = after as usize;
            // An inverted repeat goes on before the reverse complement of the last word.
            let next =
                if follower.is_inverted { after.checked_sub(self.word as usize + 1) } else { Some(after) };
            if let Some(next) = next {
                follower.join(next, self.word as usize, bases);
            }
        }
        self.last[here] = bases.len() as u32 + 1;
    }
}

/// One follower.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    is_inverted: bool,
    /// The place of the next base there.
    at: Option<usize>,
    /// The last outcomes, 1 for a miss.
    misses: u32,
    /// Hits since the last miss.
    length: u32,
    estimates: Estimates,
    state: usize,
    predicted: u8,
}

impl Follower {
    fn new(is_inverted: bool) -> Self {
        let estimates = Estimates::new((1 << RECENT) * LENGTHS, 1000, |state| {
            let misses = (state % (1 << RECENT)).count_ones() as f32;
            let length = (state >> RECENT) as f32;
            ((4.0 + 2.0 * length) / (6.0 + 2.0 * length) - 0.08 * misses).max(0.3)
        });
        Self { is_inverted, at: None, misses: 0, length: 0, estimates, state: 0, predicted: 0 }
    }

    /// Logarithms of the four probabilities, and the class of how long the follower was right; none without an occurrence.
    #[inline]
    pub(super) fn predict(&mut self, bases: &[u8]) -> Option<([f32; 4], usize)> {
        let at = self.at?;
        self.predicted = if self.is_inverted { 3 - bases[at] } else { bases[at] };
        let length = class_of(self.length);
        self.state = length << RECENT | (self.misses & ((1 << RECENT) - 1)) as usize;
        let hit = self.estimates.get(self.state);
        let miss = logarithm((65_536 - hit) / 3);
        let mut logs = [miss; 4];
        logs[usize::from(self.predicted)] = logarithm(hit);
        Some((logs, length))
    }

    #[inline]
    fn learn(&mut self, base: u8) {
        let Some(at) = self.at else { return };
        let is_hit = self.predicted == base;
        self.estimates.update(self.state, is_hit);
        self.misses = self.misses << 1 | u32::from(!is_hit);
        self.length = if is_hit { self.length + 1 } else { 0 };
        let next = if self.is_inverted { at.checked_sub(1) } else { Some(at + 1) };
        self.at = next.filter(|_| (self.misses & 0xffff).count_ones() <= MOST_MISSES);
    }

    fn is_sure(&self) -> bool {
        self.at.is_some() && self.length >= SURE
    }

    /// Goes to another occurrence, if the last word stands before it: slots are shared.
    fn join(&mut self, next: usize, word: usize, bases: &[u8]) {
        if self.at == Some(next) {
            return;
        }
        let here = &bases[bases.len() - word..];
        let is_word = if self.is_inverted {
            let there = &bases[next + 1..next + 1 + word];
            here.iter().rev().zip(there).all(|(&a, &b)| a == 3 - b)
        } else {
            next >= word && next < bases.len() && here == &bases[next - word..next]
        };
        if is_word {
            (self.at, self.misses, self.length) = (Some(next), 0, 0);
        }
    }
}

/// Coarser for longer ones.
fn class_of(length: u32) -> usize {
    let class = match length {
        0..=15 => length / 2,
        16..=31 => 8 + (length - 16) / 8,
        32..=63 => 10 + (length - 32) / 16,
        64..=127 => 12,
        128..=255 => 13,
        256..=511 => 14,
        _ => 15,
    };
    class as usize
}
