//! DEFLATE (RFC 1951). The order of work follows libdeflate: 56 bits at hand before each copy, codes by table, copies of
//! whole words that may write past their end.

use std::io::{self, Read};

use super::huffman::{
    self, DISTANCE_INDEX, DistanceTable, END, Entry, LENGTH_INDEX, LITERAL, LengthTable, LengthsTable,
    NoCode, SECOND, SPECIAL,
};
use super::input::Input;
use super::window::{SLACK, Window};

/// Why a stream could not be read on.
pub(super) enum Fault {
    Io(io::Error),
    /// The input ends inside the stream.
    Truncated,
    /// The bits mean nothing.
    Data,
}

impl From<NoCode> for Fault {
    fn from(_: NoCode) -> Self {
        Self::Data
    }
}

/// Where a stream is.
enum State {
    /// Before the header of a block.
    Header,
    /// Inside a block of plain bytes, with so many left.
    Stored(usize),
    /// Inside a block of codes.
    Codes,
}

/// Why [`Deflate::run`] stopped.
pub(super) enum Stop {
    /// The window is full.
    Full,
    /// The stream has ended; the input stands behind its last byte.
    End,
}

/// One DEFLATE stream.
pub(super) struct Deflate {
    bits: Bits,
    state: State,
    is_last: bool,
    tables: Box<Tables>,
}

struct Tables {
    length: LengthTable,
    distance: DistanceTable,
}

/// Bits taken from the input and not used yet, lowest first. Those above `count` may be set; they are those of the input.
#[derive(Clone, Copy, Default)]
struct Bits {
    value: u64,
    count: u32,
}

impl Bits {
    /// Loads at least 56 bits. Eight bytes from `at` on must be there.
    #[inline(always)]
    fn refill(&mut self, input: &[u8], at: &mut usize) {
        let bytes = input[*at..].first_chunk().expect("the input is padded");
        self.value |= u64::from_le_bytes(*bytes) << self.count;
        *at += ((63 - self.count) >> 3) as usize;
        self.count |= 0x38;
    }

    #[inline(always)]
    fn skip(&mut self, count: u32) {
        self.value >>= count;
        self.count -= count;
    }

    /// Gives whole bytes back to the input.
    fn unread(&mut self, at: &mut usize) {
        *at -= (self.count >> 3) as usize;
        self.count &= 7;
        self.value &= (1 << self.count) - 1;
    }
}

/// The header of a block of codes is below this: 14 bits, 19 lengths of 3 bits, and 316 of at most 14.
const HEADER: usize = 1024;

impl Deflate {
    pub(super) fn new() -> Self {
        Self {
            bits: Bits::default(),
            state: State::Header,
            is_last: false,
            tables: Box::new(Tables { length: [SPECIAL; 2342], distance: [SPECIAL; 402] }),
        }
    }

    /// Begins another stream.
    pub(super) fn reset(&mut self) {
        self.bits = Bits::default();
        self.state = State::Header;
        self.is_last = false;
    }

    /// Reads on until the window is full or the stream has ended. What the window holds after a fault is right.
    pub(super) fn run(&mut self, input: &mut Input<impl Read>, window: &mut Window) -> Result<Stop, Fault> {
        let outcome = self.advance(input, window);
        self.bits.unread(&mut input.at);
        outcome
    }

    fn advance(&mut self, input: &mut Input<impl Read>, window: &mut Window) -> Result<Stop, Fault> {
        loop {
            if window.is_full() {
                return Ok(Stop::Full);
            }
            self.bits.unread(&mut input.at);
            input.ensure(HEADER).map_err(Fault::Io)?;
            match self.state {
                State::Header if self.is_last => {
                    self.bits = Bits::default();
                    return Ok(Stop::End);
                }
                State::Header => self.read_header(input)?,
                State::Stored(0) => self.state = State::Header,
                State::Stored(left) => {
                    let ready = input.ready();
                    if ready.is_empty() {
                        return Err(Fault::Truncated);
                    }
                    let count = window.push(&ready[..left.min(ready.len())]);
                    input.at += count;
                    self.state = State::Stored(left - count);
                }
                State::Codes => {
                    // Away from both ends nothing needs to be looked at twice.
                    let ended = if input.end - input.at >= 2 * SAFE {
                        self.codes::<false>(input, window)?
                    } else {
                        self.codes::<true>(input, window)?
                    };
                    if ended {
                        self.state = State::Header;
                    }
                }
            }
        }
    }

    fn take(&mut self, input: &mut Input<impl Read>, count: u32) -> Result<u32, Fault> {
        if self.bits.count < count {
            self.bits.refill(&input.bytes, &mut input.at);
        }
        let value = self.bits.value as u32 & ((1 << count) - 1);
        self.bits.skip(count);
        self.check_end(input.at, input.end)?;
        Ok(value)
    }

    /// Whether the bits used so far are all of the input.
    #[inline(always)]
    fn check_end(&self, at: usize, end: usize) -> Result<(), Fault> {
        if 8 * at > 8 * end + self.bits.count as usize { Err(Fault::Truncated) } else { Ok(()) }
    }

    fn read_header(&mut self, input: &mut Input<impl Read>) -> Result<(), Fault> {
        self.is_last = self.take(input, 1)? == 1;
        match self.take(input, 2)? {
            0 => {
                let odd = self.bits.count & 7;
                self.bits.skip(odd);
                let (length, inverse) = (self.take(input, 16)?, self.take(input, 16)?);
                if length != !inverse & 0xffff {
                    return Err(Fault::Data);
                }
                self.state = State::Stored(length as usize);
                return Ok(());
            }
            1 => {
                let mut lengths = [8; 288];
                lengths[144..256].fill(9);
                lengths[256..280].fill(7);
                huffman::length_table(&mut self.tables.length, &lengths)?;
                huffman::distance_table(&mut self.tables.distance, &[5; 32])?;
            }
            2 => self.read_codes(input)?,
            _ => return Err(Fault::Data),
        }
        self.state = State::Codes;
        Ok(())
    }

    /// Reads the codes of a block (RFC 1951, 3.2.7).
    fn read_codes(&mut self, input: &mut Input<impl Read>) -> Result<(), Fault> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let literals = 257 + self.take(input, 5)? as usize;
        let distances = 1 + self.take(input, 5)? as usize;
        let given = 4 + self.take(input, 4)? as usize;
        if literals > 286 || distances > 30 {
            return Err(Fault::Data);
        }
        let mut lengths = [0; 19];
        for &symbol in &ORDER[..given] {
            lengths[symbol] = self.take(input, 3)? as u8;
        }
        let mut table: LengthsTable = [SPECIAL; 128];
        huffman::lengths_table(&mut table, &lengths)?;
        let mut lengths = [0_u8; 320];
        let (all, mut at) = (literals + distances, 0);
        while at < all {
            if self.bits.count < 14 {
                self.bits.refill(&input.bytes, &mut input.at);
            }
            let entry = table[(self.bits.value & 127) as usize];
            self.bits.skip(huffman::bits(entry));
            let (value, count) = match huffman::value(entry) {
                length @ 0..16 => (length as u8, 1),
                16 if at == 0 => return Err(Fault::Data),
                16 => (lengths[at - 1], 3 + self.take(input, 2)?),
                17 => (0, 3 + self.take(input, 3)?),
                _ => (0, 11 + self.take(input, 7)?),
            };
            self.check_end(input.at, input.end)?;
            let next = at + count as usize;
            if next > all {
                return Err(Fault::Data);
            }
            lengths[at..next].fill(value);
            at = next;
        }
        if lengths[256] == 0 {
            return Err(Fault::Data);
        }
        huffman::length_table(&mut self.tables.length, &lengths[..literals])?;
        huffman::distance_table(&mut self.tables.distance, &lengths[literals..all])?;
        Ok(())
    }

    /// Reads codes until the block ends (true), the window is full, or the input runs low. `NEAR` is for the last bytes of
    /// the input: each code is believed only when all of its bits were there.
    fn codes<const NEAR: bool>(
        &mut self,
        input: &mut Input<impl Read>,
        window: &mut Window,
    ) -> Result<bool, Fault> {
        let Tables { length: lengths, distance: distances } = &*self.tables;
        let (bytes, mut at) = (&input.bytes[..], input.at);
        let mut bits = self.bits;
        let in_end = if NEAR { input.end } else { input.end - SAFE };
        let (first, out_end) = (window.first(), Window::LIMIT);
        let (out, mut to) = window.parts();
        let mut outcome = Ok(false);
        while to < out_end && (NEAR || at < in_end) {
            bits.refill(bytes, &mut at);
            let mut entry = lengths[(bits.value & ((1 << LENGTH_INDEX) - 1)) as usize];
            if !NEAR && entry & LITERAL != 0 {
                // Up to three literals of the first table are at most 33 bits.
                out[to] = huffman::value(entry) as u8;
                to += 1;
                bits.skip(huffman::bits(entry));
                entry = lengths[(bits.value & ((1 << LENGTH_INDEX) - 1)) as usize];
                if entry & LITERAL != 0 {
                    out[to] = huffman::value(entry) as u8;
                    to += 1;
                    bits.skip(huffman::bits(entry));
                    entry = lengths[(bits.value & ((1 << LENGTH_INDEX) - 1)) as usize];
                    if entry & LITERAL != 0 {
                        out[to] = huffman::value(entry) as u8;
                        to += 1;
                        bits.skip(huffman::bits(entry));
                        continue;
                    }
                }
                bits.refill(bytes, &mut at);
            }
            if entry & SPECIAL != 0 && entry & SECOND != 0 {
                bits.skip(LENGTH_INDEX);
                entry = second(lengths, entry, bits);
            }
            let before = bits;
            bits.skip(huffman::bits(entry));
            if entry & (LITERAL | SPECIAL) != 0 {
                if NEAR && is_past(at, bits, in_end) {
                    outcome = Err(Fault::Truncated);
                    break;
                }
                if entry & LITERAL != 0 {
                    out[to] = huffman::value(entry) as u8;
                    to += 1;
                    continue;
                }
                outcome = if entry & END != 0 { Ok(true) } else { Err(Fault::Data) };
                break;
            }
            let length = with_extra(entry, before);
            let mut entry = distances[(bits.value & ((1 << DISTANCE_INDEX) - 1)) as usize];
            if entry & SECOND != 0 {
                bits.skip(DISTANCE_INDEX);
                entry = second(distances, entry, bits);
            }
            let before = bits;
            bits.skip(huffman::bits(entry));
            if NEAR && is_past(at, bits, in_end) {
                outcome = Err(Fault::Truncated);
                break;
            }
            let distance = with_extra(entry, before);
            if entry & SPECIAL != 0 || distance > to - first {
                outcome = Err(Fault::Data);
                break;
            }
            copy(out, to, distance, length);
            to += length;
        }
        window.advance_to(to);
        input.at = at;
        self.bits = bits;
        outcome
    }
}

/// The loop away from the ends loads 8 bytes twice in a round.
const SAFE: usize = 32;

#[inline(always)]
fn is_past(at: usize, bits: Bits, end: usize) -> bool {
    8 * at > 8 * end + bits.count as usize
}

#[inline(always)]
fn second(table: &[Entry], entry: Entry, bits: Bits) -> Entry {
    table[huffman::value(entry) + (bits.value as usize & ((1 << huffman::bits(entry)) - 1))]
}

/// The value of a code and the extra bits behind it.
#[inline(always)]
fn with_extra(entry: Entry, bits: Bits) -> usize {
    let all = bits.value & ((1 << huffman::bits(entry)) - 1);
    huffman::value(entry) + (all >> huffman::code_bits(entry)) as usize
}

/// Copies `length` bytes from `distance` before `to`. What lies up to [`SLACK`] bytes behind them is overwritten.
#[inline(always)]
fn copy(out: &mut [u8], to: usize, distance: usize, length: usize) {
    let from = to - distance;
    if distance >= WORD {
        let out = &mut out[from..to + length + WORD];
        let (mut read, mut write) = (0, distance);
        loop {
            let word: [u8; WORD] = *out[read..].first_chunk().expect("there is slack");
            out[write..write + WORD].copy_from_slice(&word);
            read += WORD;
            write += WORD;
            if write >= distance + length {
                return;
            }
        }
    }
    if distance == 1 {
        let byte = out[from];
        out[to..to + length].fill(byte);
        return;
    }
    for at in to..to + length {
        out[at] = out[at - distance];
    }
}

const WORD: usize = 16;
const _: () = assert!(SLACK >= 258 + 3 + WORD);
