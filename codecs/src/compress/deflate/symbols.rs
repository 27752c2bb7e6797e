//! Counts of DEFLATE's symbols (RFC 1951), and what they cost in a block of the kind that zlib takes.

use super::BLOCK;
use super::huffman::{Cost, Tree};

const END: usize = 256;
/// Literals, the end of a block, and 29 classes of lengths.
const LITERALS: usize = 286;
const DISTANCES: usize = 30;

const LENGTH_EXTRA: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_EXTRA: [u8; DISTANCES] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];

/// The class of a length less 3.
const LENGTH_CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let (mut class, mut length) = (0, 0);
    while class < 28 {
        let mut left = 1 << LENGTH_EXTRA[class];
        while left > 0 && length < 255 {
            table[length] = class as u8;
            length += 1;
            left -= 1;
        }
        class += 1;
    }
    table[255] = 28;
    table
};

/// The class of a distance less 1: directly below 256, by its upper bits above.
const DISTANCE_CLASS: [u8; 512] = {
    let mut table = [0; 512];
    let mut at = 0;
    while at < 512 {
        let distance: u32 = if at < 256 { at as u32 } else { (at as u32 - 256) << 7 };
        table[at] = if distance < 4 {
            distance as u8
        } else {
            let top = distance.ilog2();
            (2 * top + (distance >> (top - 1) & 1)) as u8
        };
        at += 1;
    }
    table
};

/// The order in which a block tells the lengths of the code of code lengths.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const ORDER_EXTRA: [u8; 19] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];

/// How often each symbol occurs.
#[derive(Clone, Debug)]
pub(super) struct Symbols {
    literals: [u16; LITERALS],
    distances: [u16; DISTANCES],
    total: u32,
}

impl Default for Symbols {
    fn default() -> Self {
        let mut literals = [0; LITERALS];
        literals[END] = 1;
        Self { literals, distances: [0; DISTANCES], total: 0 }
    }
}

impl Symbols {
    #[inline]
    pub(super) fn literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
        self.total += 1;
    }

    #[inline]
    pub(super) fn repeat(&mut self, length: u16, distance: u16) {
        let length = LENGTH_CLASS[usize::from(length - 3) & 255];
        let far = usize::from(distance - 1);
        let distance = DISTANCE_CLASS[if far < 256 { far } else { 256 + (far >> 7) } & 511];
        self.literals[END + 1 + usize::from(length)] += 1;
        self.distances[usize::from(distance) % 32 % DISTANCES] += 1;
        self.total += 1;
    }

    /// Bytes of the only block, for `length` bytes of input. None where zlib makes more than one block or bounds the
    /// length of a code.
    pub(super) fn bytes(&self, length: usize) -> Option<u32> {
        if self.total >= BLOCK {
            return None;
        }
        let literals = Tree::<LITERALS>::new(&self.literals, 15)?;
        let distances = Tree::<DISTANCES>::new(&self.distances, 15)?;
        let mut orders = [0; 19];
        literals.count_lengths(&mut orders);
        distances.count_lengths(&mut orders);
        let order = Tree::<19>::new(&orders, 7)?;
        let told = 1 + (3..19).rev().find(|&at| order.length(ORDER[at]) > 0).unwrap_or(2);
        let extra = self.extra();
        let Cost(literal_bits) = literals.cost();
        let Cost(distance_bits) = distances.cost();
        let Cost(order_bits) = order.cost();
        let order_extra: u32 = (16..19).map(|at| u32::from(orders[at]) * u32::from(ORDER_EXTRA[at])).sum();
        let head = 5 + 5 + 4 + 3 * told as u32 + order_bits + order_extra;
        let dynamic = (head + literal_bits + distance_bits + extra + 3).div_ceil(8);
        let fixed = (self.fixed() + extra + 3).div_ceil(8);
        let best = dynamic.min(fixed);
        let stored = length as u32 + 4;
        Some(if stored <= best { stored + 1 } else { best })
    }

    fn extra(&self) -> u32 {
        let lengths = self.literals[END + 1..].iter().zip(LENGTH_EXTRA);
        let distances = self.distances.iter().zip(DISTANCE_EXTRA);
        lengths.chain(distances).map(|(&count, extra)| u32::from(count) * u32::from(extra)).sum()
    }

    /// Bits in the code of RFC 1951, 3.2.6.
    fn fixed(&self) -> u32 {
        let literals = |range: std::ops::Range<usize>| -> u32 {
            self.literals[range].iter().map(|&count| u32::from(count)).sum()
        };
        let distances: u32 = self.distances.iter().map(|&count| u32::from(count)).sum();
        8 * literals(0..144)
            + 9 * literals(144..256)
            + 7 * literals(256..280)
            + 8 * literals(280..LITERALS)
            + 5 * distances
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_those_of_rfc_1951() {
        assert_eq!(
            [3, 10, 11, 12, 13, 257, 258].map(|l: usize| LENGTH_CLASS[l - 3]),
            [0, 7, 8, 8, 9, 27, 28]
        );
        let class = |distance: usize| {
            let far = distance - 1;
            DISTANCE_CLASS[if far < 256 { far } else { 256 + (far >> 7) }]
        };
        assert_eq!([1, 4, 5, 256, 257, 24_576, 24_577, 32_768].map(class), [0, 3, 4, 15, 16, 28, 29, 29]);
    }
}
