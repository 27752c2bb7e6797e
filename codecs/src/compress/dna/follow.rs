//! Followers of an earlier occurrence: what came there comes here again, or on the other strand what came before, inverted. A
//! follower stays through substitutions, and leaves when it is wrong too often.

use super::counts::History;
use super::estimate::{Estimates, logarithm};

/// Outcomes that decide what a follower is worth.
const RECENT: u32 = 8;
/// Classes of the number of hits since the last miss.
const LENGTHS: usize = 16;
/// Misses among 16 outcomes with which a follower stays.
const MOST_MISSES: u32 = 8;
/// With fewer hits in a row a follower leaves for a later occurrence.
const SURE: u32 = 20;

/// A follower of the last occurrence of words of one length, on one strand.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    word: u32,
    is_inverted: bool,
    /// For each word the place after it, plus one.
    last: Vec<u32>,
    bits: u32,
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
    pub(super) fn new(word: u32, is_inverted: bool, bits: u32) -> Self {
        let estimates = Estimates::new((1 << RECENT) * LENGTHS, 1000, |state| {
            let misses = (state % (1 << RECENT)).count_ones() as f32;
            let length = (state >> RECENT) as f32;
            ((4.0 + 2.0 * length) / (6.0 + 2.0 * length) - 0.08 * misses).max(0.3)
        });
        let last = vec![0; 1 << bits];
        Self {
            word,
            is_inverted,
            last,
            bits,
            at: None,
            misses: 0,
            length: 0,
            estimates,
            state: 0,
            predicted: 0,
        }
    }

    fn slot(&self, word: u64) -> usize {
        ((word + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - self.bits)) as usize
    }

    /// Logarithms of the four probabilities, and how long the follower was right; none without an occurrence.
    #[inline]
    pub(super) fn predict(&mut self, bases: &[u8]) -> Option<([f32; 4], u32)> {
        let at = self.at?;
        self.predicted = if self.is_inverted { 3 - bases[at] } else { bases[at] };
        let length = match self.length {
            0..=15 => self.length / 2,
            16..=31 => 8 + (self.length - 16) / 8,
            32..=63 => 10 + (self.length - 32) / 16,
            64..=127 => 12,
            128..=255 => 13,
            256..=511 => 14,
            _ => 15,
        };
        self.state = (length as usize) << RECENT | (self.misses & ((1 << RECENT) - 1)) as usize;
        let hit = self.estimates.get(self.state);
        let miss = logarithm((65_536 - hit) / 3);
        let mut logs = [miss; 4];
        logs[usize::from(self.predicted)] = logarithm(hit);
        Some((logs, length))
    }

    /// Learns the base that came. `bases` has it at its end.
    #[inline]
    pub(super) fn update(&mut self, base: u8, bases: &[u8], history: &History) {
        if let Some(at) = self.at {
            let is_hit = self.predicted == base;
            self.estimates.update(self.state, is_hit);
            self.misses = self.misses << 1 | u32::from(!is_hit);
            self.length = if is_hit { self.length + 1 } else { 0 };
            let next = if self.is_inverted { at.checked_sub(1) } else { Some(at + 1) };
            self.at = next.filter(|_| (self.misses & 0xffff).count_ones() <= MOST_MISSES);
        }
        if history.length < u64::from(self.word) {
            return;
        }
        let here = history.last(self.word);
        if self.at.is_none() || self.length < SURE {
            // An inverted repeat is where the reverse complement of the last word stands; it goes on before that.
            let wanted = if self.is_inverted { history.inverted(self.word) } else { here };
            let slot = self.slot(wanted);
            if let Some(after) = self.last[slot].checked_sub(1) {
                let after = after as usize;
                let next =
                    if self.is_inverted { after.checked_sub(self.word as usize + 1) } else { Some(after) };
                if let Some(next) = next
                    && self.at != Some(next)
                    && self.is_word(next, bases)
                {
                    (self.at, self.misses, self.length) = (Some(next), 0, 0);
                }
            }
        }
        let slot = self.slot(here);
        self.last[slot] = bases.len() as u32 + 1;
    }

    /// Whether the word before `next` is the last one here: slots are shared.
    fn is_word(&self, next: usize, bases: &[u8]) -> bool {
        let word = self.word as usize;
        let here = &bases[bases.len() - word..];
        if self.is_inverted {
            let there = &bases[next + 1..next + 1 + word];
            here.iter().rev().zip(there).all(|(&a, &b)| a == 3 - b)
        } else {
            next >= word && here == &bases[next - word..next]
        }
    }
}
