//! Counts of the bases after contexts of one length, in both directions.

use super::estimate::{Estimates, logarithm};
use crate::compress::prefetch::prefetch;
use crate::compress::table::Table;

/// Longest context.
pub(super) const LONGEST: u32 = 32;

/// The bases before, and the reverse complement of the bases up to here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct History {
    /// The last base in the lowest bits.
    forward: u64,
    /// The complement of the last base in the highest of `2 * LONGEST` bits.
    inverted: u64,
    /// Bases so far.
    pub(super) length: u64,
}

impl History {
    pub(super) fn push(&mut self, base: u8) {
        self.forward = self.forward << 2 | u64::from(base);
        self.inverted = self.inverted >> 2 | u64::from(3 - base) << (2 * (LONGEST - 1));
        self.length += 1;
    }

    /// The last `order` bases.
    #[inline]
    pub(super) fn last(&self, order: u32) -> u64 {
        self.forward & mask(order)
    }

    /// The reverse complement of the last `order` bases.
    #[inline]
    pub(super) fn inverted(&self, order: u32) -> u64 {
        self.inverted >> (2 * (LONGEST - order))
    }

    /// The base so many places back, 0 for the last.
    #[inline]
    pub(super) fn back(&self, places: u32) -> u8 {
        (self.forward >> (2 * places) & 3) as u8
    }
}

#[inline]
fn mask(order: u32) -> u64 {
    u64::MAX.checked_shr(u64::BITS - 2 * order).unwrap_or(0)
}

/// Four counts of four bits in two bytes.
const MOST: u16 = 15;
/// The sum of the other three counts is told up to here.
const REST: usize = 46;

/// A model of one order. Short contexts have large counts and their plain shares; long ones have four bits a count, and what a
/// pair of counts is worth is learned.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Short(Short),
    Long(Long),
}

/// Contexts up to here have large counts.
const SHORT: u32 = 11;
/// Sixteen contexts that differ in their last two bases lie side by side, so that they can be fetched two bases ahead.
const NEIGHBOURS: u32 = 2;
/// Mirror images are counted so many bases later, when their memory has come.
const LATER: usize = 8;

/// Places whose memory was asked for, and the bases to be counted there.
#[derive(Clone, Debug, Default)]
struct Mirrors {
    waiting: [Option<(u32, u8)>; LATER],
    turn: usize,
}

impl Mirrors {
    /// Puts one in, and takes out the one whose turn it is.
    #[inline]
    fn push(&mut self, place: usize, base: u8) -> Option<(usize, u8)> {
        let due = self.waiting[self.turn].replace((place as u32, base));
        self.turn = (self.turn + 1) % LATER;
        due.map(|(place, base)| (place as usize, base))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Short {
    order: u32,
    counts: Table<[u16; 4]>,
    limit: u16,
    at: usize,
    mirrors: Mirrors,
}

#[derive(Clone, Debug)]
pub(super) struct Long {
    order: u32,
    bits: u32,
    counts: Table<u16>,
    estimates: Estimates,
    at: usize,
    states: [usize; 4],
    mirrors: Mirrors,
}

impl Order {
    pub(super) fn new(order: u32, most_bits: u32) -> Self {
        if order <= SHORT && 2 * order <= most_bits {
            let limit = match order {
                0..=2 => 60_000,
                3..=8 => 4000,
                9..=10 => 1000,
                _ => 255,
            };
            let counts = Table::zeroed(1 << (2 * order));
            return Self::Short(Short { order, counts, limit, at: 0, mirrors: Mirrors::default() });
        }
        let bits = (2 * order).min(most_bits);
        let estimates = Estimates::new(usize::from(MOST + 1) * REST, 1000, |state| {
            let (own, rest) = (state / REST, state % REST);
            (own as f32 + 0.06) / ((own + rest) as f32 + 0.24)
        });
        Self::Long(Long {
            order,
            bits,
            counts: Table::zeroed(1 << bits),
            estimates,
            at: 0,
            states: [0; 4],
            mirrors: Mirrors::default(),
        })
    }

    /// Looks the context up and gives the logarithms of its four probabilities; also how many outcomes it has seen.
    #[inline]
    pub(super) fn predict(&mut self, history: &History) -> ([f32; 4], u32) {
        match self {
            Self::Short(short) => short.predict(history),
            Self::Long(long) => long.predict(history),
        }
    }

    /// Counts the base that came, and its mirror image. `history` does not have it yet; `next` has it.
    #[inline]
    pub(super) fn update(&mut self, base: u8, history: &History, next: &History) {
        match self {
            Self::Short(short) => short.update(base, history, next),
            Self::Long(long) => long.update(base, history, next),
        }
    }
}

impl Short {
    #[inline]
    fn predict(&mut self, history: &History) -> ([f32; 4], u32) {
        self.at = history.last(self.order) as usize;
        let counts = self.counts[self.at];
        let total: u32 = counts.iter().map(|&count| u32::from(count)).sum();
        // In 1/16 of a count.
        let prior = if self.order < 9 { 32 } else { 8 };
        let scale = (1_u64 << 40) / u64::from(16 * total + 4 * prior);
        let share = |count: u16| ((u64::from(16 * u32::from(count) + prior) * scale) >> 24) as u32;
        (counts.map(|count| logarithm(share(count))), total)
    }

    #[inline]
    fn update(&mut self, base: u8, history: &History, next: &History) {
        add(&mut self.counts[self.at], base, self.limit);
        if history.length < u64::from(self.order) {
            return;
        }
        let mirror = next.inverted(self.order) as usize;
        if let Some((place, base)) = self.mirrors.push(mirror, 3 - history.before(self.order, base)) {
            add(&mut self.counts[place], base, self.limit);
        }
    }
}

impl Long {
    #[inline]
    fn predict(&mut self, history: &History) -> ([f32; 4], u32) {
        self.at = self.place(history.last(self.order));
        let counts = unpack(self.counts[self.at]);
        let total: u16 = counts.iter().sum();
        self.states = counts.map(|own| usize::from(own) * REST + usize::from(total - own));
        if total == 0 {
            return ([logarithm(16_384); 4], 0);
        }
        let raw = self.states.map(|state| self.estimates.get(state));
        let sum: u32 = raw.iter().sum();
        // The sum is below 2^18, so the scale is above 2^13, and the products are below 2^32.
        let scale = (1 << 31) / sum;
        (raw.map(|raw| logarithm((raw * scale) >> 15)), u32::from(total))
    }

    #[inline]
    fn update(&mut self, base: u8, history: &History, next: &History) {
        for (symbol, state) in self.states.into_iter().enumerate() {
            if state > 0 {
                self.estimates.update(state, symbol == usize::from(base));
            }
        }
        self.counts[self.at] = raised(self.counts[self.at], base);
        prefetch(&self.counts, self.line(next.last(self.order - NEIGHBOURS)));
        if history.length < u64::from(self.order) {
            return;
        }
        let mirror = self.place(next.inverted(self.order));
        prefetch(&self.counts, mirror);
        if let Some((place, base)) = self.mirrors.push(mirror, 3 - history.before(self.order, base)) {
            self.counts[place] = raised(self.counts[place], base);
        }
    }

    /// Where a context is counted.
    #[inline]
    fn place(&self, key: u64) -> usize {
        self.line(key >> (2 * NEIGHBOURS)) | key as usize & 15
    }

    /// Where the contexts are that begin like this one.
    #[inline]
    fn line(&self, key: u64) -> usize {
        let bits = self.bits - 2 * NEIGHBOURS;
        if 2 * self.order <= self.bits {
            return (key as usize) << (2 * NEIGHBOURS);
        }
        // Fibonacci hashing.
        (((key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize) << (2 * NEIGHBOURS)
    }
}

impl History {
    /// The base `order` places before the newest, which this history does not have yet.
    #[inline]
    fn before(&self, order: u32, newest: u8) -> u8 {
        if order == 0 { newest } else { self.back(order - 1) }
    }
}

fn add(counts: &mut [u16; 4], base: u8, limit: u16) {
    let count = &mut counts[usize::from(base)];
    *count += 1;
    if *count >= limit {
        for count in counts {
            *count /= 2;
        }
    }
}

#[inline]
fn unpack(counts: u16) -> [u16; 4] {
    [counts & 15, counts >> 4 & 15, counts >> 8 & 15, counts >> 12]
}

/// The count of the base that came grows; larger others shrink, since what was last seen counts more.
#[inline]
fn raised(counts: u16, base: u8) -> u16 {
    let mut counts = unpack(counts);
    for (symbol, count) in counts.iter_mut().enumerate() {
        if symbol == usize::from(base) {
            *count += 1;
        } else if *count > 2 {
            *count = (*count * 3 + 1) / 4;
        }
    }
    if counts[usize::from(base)] > MOST {
        counts = counts.map(|count| count / 2);
    }
    counts[0] | counts[1] << 4 | counts[2] << 8 | counts[3] << 12
}
