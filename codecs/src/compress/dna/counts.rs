//! Counts of the bases after contexts of one length, in both directions.

use super::estimate::{Estimates, logarithm};

/// Longest context.
pub(super) const LONGEST: u32 = 24;

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
    (1 << (2 * order)) - 1
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

#[derive(Clone, Debug)]
pub(super) struct Short {
    order: u32,
    counts: Vec<[u16; 4]>,
    limit: u16,
    at: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Long {
    order: u32,
    bits: u32,
    counts: Vec<u16>,
    estimates: Estimates,
    at: usize,
    states: [usize; 4],
}

impl Order {
    pub(super) fn new(order: u32, most_bits: u32) -> Self {
        if order <= 11 && 2 * order <= most_bits {
            let limit = match order {
                0..=2 => 60_000,
                3..=8 => 4000,
                9..=10 => 1000,
                _ => 255,
            };
            return Self::Short(Short { order, counts: vec![[0; 4]; 1 << (2 * order)], limit, at: 0 });
        }
        let bits = (2 * order).min(most_bits);
        let estimates = Estimates::new(usize::from(MOST + 1) * REST, 1000, |state| {
            let (own, rest) = (state / REST, state % REST);
            (own as f32 + 0.06) / ((own + rest) as f32 + 0.24)
        });
        Self::Long(Long { order, bits, counts: vec![0; 1 << bits], estimates, at: 0, states: [0; 4] })
    }

    /// Looks the context up and gives the logarithms of its four probabilities; also how many outcomes it has seen.
    #[inline]
    pub(super) fn predict(&mut self, history: &History) -> ([f32; 4], u32) {
        match self {
            Self::Short(short) => {
                short.at = history.last(short.order) as usize;
                let counts = short.counts[short.at];
                let total: u32 = counts.iter().map(|&count| u32::from(count)).sum();
                let a = if short.order < 9 { 32 } else { 8 };
                // In 1/16 of a count, so that short contexts do not begin too sure.
                let scale = (1 << 24) / (16 * total + 4 * a);
                (counts.map(|count| logarithm(((16 * u32::from(count) + a) * scale) >> 8)), total)
            }
            Self::Long(long) => {
                long.at = long.place(history.last(long.order));
                let counts = unpack(long.counts[long.at]);
                let total: u16 = counts.iter().sum();
                long.states = counts.map(|own| usize::from(own) * REST + usize::from(total - own));
                if total == 0 {
                    return ([logarithm(16_384); 4], 0);
                }
                let raw = long.states.map(|state| long.estimates.get(state));
                let sum: u32 = raw.iter().sum();
                let scale = (1_u64 << 32) / u64::from(sum);
                (raw.map(|raw| logarithm(((u64::from(raw) * scale) >> 16) as u32)), u32::from(total))
            }
        }
    }

    /// Counts the base that came, and its mirror image. `history` does not have it yet; `next` has it.
    #[inline]
    pub(super) fn update(&mut self, base: u8, history: &History, next: &History) {
        match self {
            Self::Short(short) => {
                add(&mut short.counts[short.at], base, short.limit);
                if history.length >= u64::from(short.order) {
                    let mirror = next.inverted(short.order) as usize;
                    let before = 3 - history.back_or_zero(short.order, base);
                    add(&mut short.counts[mirror], before, short.limit);
                }
            }
            Self::Long(long) => {
                for (symbol, state) in long.states.into_iter().enumerate() {
                    if state > 0 {
                        long.estimates.update(state, symbol == usize::from(base));
                    }
                }
                let counts = &mut long.counts[long.at];
                *counts = raised(*counts, base);
                if history.length >= u64::from(long.order) {
                    let mirror = long.place(next.inverted(long.order));
                    let before = 3 - history.back_or_zero(long.order, base);
                    long.counts[mirror] = raised(long.counts[mirror], before);
                }
            }
        }
    }
}

impl History {
    /// The base `order` places before the newest, which this history does not have yet.
    #[inline]
    fn back_or_zero(&self, order: u32, newest: u8) -> u8 {
        if order == 0 { newest } else { self.back(order - 1) }
    }
}

impl Long {
    #[inline]
    fn place(&self, key: u64) -> usize {
        if 2 * self.order <= self.bits {
            return key as usize;
        }
        // Fibonacci hashing.
        ((key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - self.bits)) as usize
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
