//! A word as bits by position: sixty-four symbols are looked at together.

use super::params::{MAX_LENGTH, RunLimit};

/// Positions of one number.
const WIDTH: usize = 64;
/// Numbers for the longest word.
const NUMBERS: usize = MAX_LENGTH.div_ceil(WIDTH);

/// Bits by position, the first lowest.
type Plane = [u64; NUMBERS];

/// The two bits of each symbol of a word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    length: usize,
    low: Plane,
    high: Plane,
}

/// Which of the numbers of a position belong to the place of a word, eight positions a byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks([[u8; 8 * NUMBERS]; TERMS]);

/// The lower and the upper bit of the symbol; that the symbol before is smaller, that it is so and ends a run of two or more,
/// and of three or more.
pub(super) const TERMS: usize = 5;

impl Marks {
    /// Of positions `8 block` to `8 block + 7`, the first in the lowest bit.
    #[inline]
    pub(super) fn of_block(&self, block: usize) -> [u8; TERMS] {
        std::array::from_fn(|term| self.0[term][block])
    }
}

impl Planes {
    /// Of a word of up to [`MAX_LENGTH`] symbols.
    #[inline]
    pub(super) fn new(word: &[u8]) -> Self {
        let mut planes = Self { length: word.len(), low: [0; NUMBERS], high: [0; NUMBERS] };
        for (number, part) in word.chunks(WIDTH).enumerate() {
            let (eights, rest) = part.as_chunks::<8>();
            let mut take = |at: usize, eight: [u8; 8]| {
                let symbols = u64::from_le_bytes(eight);
                planes.low[number] |= lowest_bits(symbols) << (8 * at);
                planes.high[number] |= lowest_bits(symbols >> 1) << (8 * at);
            };
            for (at, &eight) in eights.iter().enumerate() {
                take(at, eight);
            }
            if !rest.is_empty() {
                let mut eight = [0; 8];
                eight[..rest.len()].copy_from_slice(rest);
                take(eights.len(), eight);
            }
        }
        planes
    }

    /// Whether the word begins with one of the two larger symbols.
    pub(super) fn starts_high(&self) -> bool {
        self.high[0] & 1 == 1
    }

    /// Of the word with `3 - s` for every symbol `s`.
    #[inline]
    pub(super) fn complement(mut self) -> Self {
        for number in 0..self.numbers() {
            let used = self.used(number);
            self.low[number] ^= used;
            self.high[number] ^= used;
        }
        self
    }

    fn numbers(&self) -> usize {
        self.length.div_ceil(WIDTH)
    }

    /// The bits that belong to positions of the word.
    #[inline]
    fn used(&self, number: usize) -> u64 {
        u64::MAX >> (WIDTH - (self.length - WIDTH * number).min(WIDTH))
    }

    /// What of each position counts, if no run is longer than the limit.
    #[inline]
    pub(super) fn marks(&self, run_limit: RunLimit) -> Option<Marks> {
        let mut marks = [[0; 8 * NUMBERS]; TERMS];
        let mut too_long = 0;
        // There is no symbol before the first: bits of positions that are not there are neither equal nor smaller.
        let (mut low_before, mut high_before, mut equal_before) = (0, 0, 0);
        for number in 0..self.numbers() {
            let (low, high) = (self.low[number], self.high[number]);
            let (last_low, last_high) = (shifted(low, low_before, 1), shifted(high, high_before, 1));
            let follows = if number == 0 { u64::MAX - 1 } else { u64::MAX };
            let high_equal = !(high ^ last_high);
            let equal = high_equal & !(low ^ last_low) & follows & self.used(number);
            let smaller = (high & !last_high | high_equal & low & !last_low) & follows;
            let [two, three] = [1, 2].map(|back| shifted(equal, equal_before, back));
            too_long |= match run_limit.get() {
                1 => equal,
                2 => equal & two,
                _ => equal & two & three,
            };
            for (plane, mark) in
                marks.iter_mut().zip([low, high, smaller, smaller & two, smaller & two & three])
            {
                plane[8 * number..][..8].copy_from_slice(&mark.to_le_bytes());
            }
            (low_before, high_before, equal_before) = (low, high, equal);
        }
        (too_long == 0).then_some(Marks(marks))
    }
}

/// Bits of the positions `back` places before.
#[inline]
fn shifted(bits: u64, before: u64, back: u32) -> u64 {
    bits << back | before >> (WIDTH as u32 - back)
}

/// The lowest bit of each of eight bytes: the product has those of all bytes side by side in its highest byte, and no two of
/// its other terms on the same place.
#[inline]
fn lowest_bits(bytes: u64) -> u64 {
    (bytes & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56
}
