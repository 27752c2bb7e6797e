//! An arithmetic coder for four symbols (a range coder with carry, after Schindler).

/// Sum of the shares of the four symbols.
pub(super) const TOTAL: u32 = 1 << 16;
const TOTAL_BITS: u32 = 16;
const TOP: u32 = 1 << 24;

/// Writes symbols.
#[derive(Debug, Default)]
pub struct Encoder {
    low: u64,
    range: u32,
    /// The byte that a carry may still change, and how many of 0xff follow it.
    cache: u8,
    pending: u64,
    out: Vec<u8>,
    is_begun: bool,
}

impl Encoder {
    /// A coder that wrote nothing yet.
    pub fn new() -> Self {
        Self { range: u32::MAX, ..Self::default() }
    }

    /// Writes a symbol from 0 to 3. The shares are not 0 and their sum is `2^16`.
    pub fn encode(&mut self, share: [u32; 4], symbol: u8) {
        let symbol = usize::from(symbol & 3);
        let start: u32 = share[..symbol].iter().sum();
        let unit = self.range >> TOTAL_BITS;
        self.low += u64::from(unit) * u64::from(start);
        self.range = unit * share[symbol];
        while self.range < TOP {
            self.shift();
            self.range <<= 8;
        }
    }

    fn shift(&mut self) {
        if self.low < 0xff00_0000 || self.low > u64::from(u32::MAX) {
            let carry = (self.low >> 32) as u8;
            if self.is_begun {
                self.out.push(self.cache.wrapping_add(carry));
            }
            self.is_begun = true;
            for _ in 0..self.pending {
                self.out.push(0xff_u8.wrapping_add(carry));
            }
            self.pending = 0;
            self.cache = (self.low >> 24) as u8;
        } else {
            self.pending += 1;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    /// The bytes.
    pub fn finish(mut self) -> Vec<u8> {
        for _ in 0..5 {
            self.shift();
        }
        // Past its end a decoder reads zeros.
        while self.out.last() == Some(&0) {
            self.out.pop();
        }
        self.out
    }
}

/// Reads symbols.
#[derive(Debug)]
pub struct Decoder<'a> {
    code: u32,
    range: u32,
    bytes: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Reads from bytes of [`Encoder::finish`]. Other bytes decode to something; a checksum has to tell.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { code: 0, range: u32::MAX, bytes };
        for _ in 0..4 {
            decoder.code = decoder.code << 8 | u32::from(decoder.byte());
        }
        decoder
    }

    fn byte(&mut self) -> u8 {
        self.bytes.split_off_first().copied().unwrap_or(0)
    }

    /// Reads a symbol that was written with the same shares.
    pub fn decode(&mut self, share: [u32; 4]) -> u8 {
        let unit = self.range >> TOTAL_BITS;
        let at = (self.code / unit).min(TOTAL - 1);
        let (mut symbol, mut start) = (0, 0);
        while symbol < 3 && at >= start + share[symbol] {
            start += share[symbol];
            symbol += 1;
        }
        self.code = self.code.wrapping_sub(unit * start);
        self.range = unit * share[symbol];
        while self.range < TOP {
            self.code = self.code << 8 | u32::from(self.byte());
            self.range <<= 8;
        }
        symbol as u8
    }
}
