//! Where the words of a sequence stand: the longest match with the nearest beginning.

use super::sequence::{Place, Sequence};

/// Shortest match of DEFLATE.
const LEAST: usize = 3;
/// Longest match of DEFLATE.
pub(super) const MOST: usize = 258;
/// Words of so many bases have chains; of shorter ones only the last place is kept.
const WORD: usize = 8;

const WORDS: usize = 1 << (2 * WORD);
const SHORT: usize = 1 << (2 * (WORD - 1));
/// Where the places of words of 3, 4, 5, 6 and 7 bases begin in one table.
const LEVELS: [usize; 5] = [0, 64, 64 + 256, 64 + 256 + 1024, 64 + 256 + 1024 + 4096];
const LEVEL_TOTAL: usize = LEVELS[4] + SHORT;

/// A match in an indexed sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) length: u16,
    pub(super) at: u16,
}

/// Places by word, of the part of a sequence that was inserted so far.
pub(super) struct Index {
    /// The last place of each word of 8 bases, plus one.
    heads: [u16; WORDS],
    /// For each place the one before with the same word, plus one.
    before: Vec<u16>,
    /// The last place of each shorter word, plus one.
    last: [u16; LEVEL_TOTAL],
    /// Which words of 8 bases occur, small enough for the first cache.
    present: [u64; WORDS / 64],
    /// By 7 bases: the longest prefix that occurs, and its last place. Filled by [`finish`](Self::finish).
    prefix_length: [u8; SHORT],
    prefix_at: [u16; SHORT],
}

impl Index {
    /// An index of nothing yet, for a sequence of `length` bytes.
    pub(super) fn new(length: usize) -> Box<Self> {
        #[allow(
            clippy::large_stack_arrays,
            reason = "threads have megabytes of stack, and this is made in its box when optimised"
        )]
        Box::new(Self {
            heads: [0; WORDS],
            before: vec![0; length],
            last: [0; LEVEL_TOTAL],
            present: [0; WORDS / 64],
            prefix_length: [0; SHORT],
            prefix_at: [0; SHORT],
        })
    }

    /// The index of a sequence at the start of the stream, whose first place does not count.
    pub(super) fn of(sequence: &Sequence) -> Box<Self> {
        let mut index = Self::new(sequence.len());
        for at in 1..sequence.len() {
            index.insert(sequence, at);
        }
        index.finish();
        index
    }

    pub(super) fn insert(&mut self, sequence: &Sequence, at: usize) {
        let Place { bases, run, .. } = sequence.places[at];
        let next = at as u16 + 1;
        for (level, &start) in LEVELS.iter().enumerate() {
            let length = LEAST + level;
            if usize::from(run) >= length {
                self.last[start + word(bases, length)] = next;
            }
        }
        if usize::from(run) >= WORD {
            let word = word(bases, WORD);
            self.before[at] = std::mem::replace(&mut self.heads[word], next);
            self.present[word / 64] |= 1 << (word % 64);
        }
    }

    /// Makes the table by 7 bases, once all places are inserted.
    fn finish(&mut self) {
        for seven in 0..SHORT {
            for level in (0..LEVELS.len()).rev() {
                let at = self.last[LEVELS[level] + (seven >> (2 * (4 - level)))];
                if at > 0 {
                    self.prefix_length[seven] = (LEAST + level) as u8;
                    self.prefix_at[seven] = at - 1;
                    break;
                }
            }
        }
    }

    /// The longest match of what stands at `at` in `target`; the nearest of several.
    #[inline]
    pub(super) fn longest(&self, source: &Sequence, target: &Sequence, at: usize) -> Option<Found> {
        let place = target.places[at];
        if usize::from(place.run) < WORD {
            return self.longest_near_border(source, target, at);
        }
        self.longest_word(source, target, at).or_else(|| self.last_prefix(place.bases, WORD - 1))
    }

    /// The longest match of more than `least` bytes in a finished index.
    #[inline]
    pub(super) fn longer(
        &self,
        source: &Sequence,
        target: &Sequence,
        at: usize,
        least: u16,
    ) -> Option<Found> {
        let place = &target.places[at];
        let word = word(place.bases, WORD);
        if usize::from(place.run) < WORD {
            return self.longest_near_border(source, target, at).filter(|found| found.length > least);
        }
        if self.present[word / 64] >> (word % 64) & 1 == 1 {
            return self.longest_word(source, target, at).filter(|found| found.length > least);
        }
        let length = u16::from(self.prefix_length[word >> 2]);
        (length > least).then(|| Found { length, at: self.prefix_at[word >> 2] })
    }

    /// Among the places of the 8 bases at `at`.
    #[inline]
    fn longest_word(&self, source: &Sequence, target: &Sequence, at: usize) -> Option<Found> {
        let mut next = self.heads[word(target.places[at].bases, WORD)];
        let mut best: Option<Found> = None;
        while next > 0 {
            let from = next - 1;
            let length = common(source, usize::from(from), target, at);
            if best.is_none_or(|best| length > best.length) {
                best = Some(Found { length, at: from });
            }
            next = self.before[usize::from(from)];
        }
        best
    }

    /// Where the run of bases ends before a whole word: either the sequence ends there, or another letter stands there.
    #[cold]
    fn longest_near_border(&self, source: &Sequence, target: &Sequence, at: usize) -> Option<Found> {
        let run = usize::from(target.places[at].run);
        let border = at + run;
        let mut best: Option<Found> = None;
        if border < target.len() {
            // A match over the border holds the same other letter at the same distance.
            for &other in source.others.iter().rev() {
                let Some(from) = usize::from(other).checked_sub(run) else { continue };
                // Such places are not in the tables: in the sequence itself only what lies before counts, and at the start
                // of the stream not the first byte.
                let inside = std::ptr::eq(source, target);
                if inside && from >= at || from == 0 && !source.counts_first {
                    continue;
                }
                let length = common(source, from, target, at);
                let enough = usize::from(length) > run.max(LEAST - 1);
                if enough && best.is_none_or(|best| length > best.length) {
                    best = Some(Found { length, at: from as u16 });
                }
            }
        }
        best.or_else(|| self.last_prefix(target.places[at].bases, run))
    }

    fn last_prefix(&self, bases: u64, most: usize) -> Option<Found> {
        (LEAST..=most).rev().find_map(|length| {
            let at = self.last[LEVELS[length - LEAST] + word(bases, length)];
            (at > 0).then(|| Found { length: length as u16, at: at - 1 })
        })
    }
}

#[inline]
fn word(bases: u64, length: usize) -> usize {
    (bases >> (64 - 2 * length)) as usize
}

/// Bytes that are equal from `from` in `source` and `at` in `target` on, at most 258.
#[inline]
fn common(source: &Sequence, from: usize, target: &Sequence, at: usize) -> u16 {
    let (mut a, mut b) = (from, at);
    while b - at < MOST {
        let (Some(one), Some(other)) = (source.places.get(a), target.places.get(b)) else { break };
        let run = one.run.min(other.run);
        let equal = ((one.bases ^ other.bases).leading_zeros() / 2).min(u32::from(run)) as usize;
        a += equal;
        b += equal;
        if equal == 32 {
            continue;
        }
        if equal < usize::from(run) {
            break; // two bases that differ
        }
        if a < source.len() && b < target.len() && source.bytes[a] == target.bytes[b] {
            a += 1;
            b += 1;
        } else {
            break;
        }
    }
    (b - at).min(MOST) as u16
}
