//! Codes of DEFLATE (RFC 1951, 3.2.2) as tables: the next bits are the index of what they mean. Codes longer than the
//! index lead to a second table.

/// What a code means. From the lowest bit: bits to take in all (6), two bits unused, bits of the code itself (4), a value
/// (16), and the flags below.
pub(super) type Entry = u32;

/// The value is a byte of text.
pub(super) const LITERAL: Entry = 1 << 31;
/// Neither a byte nor the start of a copy: one of the three below.
pub(super) const SPECIAL: Entry = 1 << 30;
/// With `SPECIAL`: the block ends.
pub(super) const END: Entry = 1 << 29;
/// With `SPECIAL`: the value is where the second table starts, and the bits to take are the bits of its index.
pub(super) const SECOND: Entry = 1 << 28;
/// With none of the others: no code has these bits.
pub(super) const INVALID: Entry = SPECIAL;

pub(super) const fn value(entry: Entry) -> usize {
    (entry >> 12 & 0xffff) as usize
}

pub(super) const fn bits(entry: Entry) -> u32 {
    entry & 0x3f
}

pub(super) const fn code_bits(entry: Entry) -> u32 {
    entry >> 8 & 0xf
}

/// Bits of the first index.
pub(super) const LENGTH_INDEX: u32 = 11;
pub(super) const DISTANCE_INDEX: u32 = 8;
const LENGTHS_INDEX: u32 = 7;

/// Entries of both tables at the most, as zlib's `enough` counts them for 288 and 32 symbols of at most 15 bits.
pub(super) type LengthTable = [Entry; 2342];
pub(super) type DistanceTable = [Entry; 402];
pub(super) type LengthsTable = [Entry; 1 << LENGTHS_INDEX];

/// The set of lengths is no prefix code.
pub(super) struct NoCode;

pub(super) fn length_table(table: &mut LengthTable, lengths: &[u8]) -> Result<(), NoCode> {
    build(table, LENGTH_INDEX, lengths, false, |symbol| LENGTH_SYMBOLS[symbol])
}

pub(super) fn distance_table(table: &mut DistanceTable, lengths: &[u8]) -> Result<(), NoCode> {
    build(table, DISTANCE_INDEX, lengths, false, |symbol| DISTANCE_SYMBOLS[symbol])
}

/// Of the code in which the lengths of the two others are written.
pub(super) fn lengths_table(table: &mut LengthsTable, lengths: &[u8]) -> Result<(), NoCode> {
    build(table, LENGTHS_INDEX, lengths, true, |symbol| (symbol as Entry) << 12)
}

const LENGTH_SYMBOLS: [Entry; 288] = {
    let mut table = [INVALID; 288];
    let mut symbol = 0;
    while symbol < 256 {
        table[symbol] = LITERAL | (symbol as Entry) << 12;
        symbol += 1;
    }
    table[256] = SPECIAL | END;
    let (mut base, mut symbol) = (3, 257);
    while symbol < 285 {
        let extra = if symbol < 265 { 0 } else { (symbol as u32 - 261) / 4 };
        table[symbol] = base << 12 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    table[285] = 258 << 12;
    table
};

const DISTANCE_SYMBOLS: [Entry; 32] = {
    let mut table = [INVALID; 32];
    let (mut base, mut symbol) = (1, 0);
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { symbol as u32 / 2 - 1 };
        table[symbol] = base << 12 | extra;
        base += 1 << extra;
        symbol += 1;
    }
    table
};

/// Fills a table from the lengths of the codes, by symbol. As zlib has it, a code may leave bits unused only if it is one
/// code of one bit, or none at all.
fn build(
    table: &mut [Entry],
    index: u32,
    lengths: &[u8],
    complete: bool,
    meaning: impl Fn(usize) -> Entry,
) -> Result<(), NoCode> {
    let mut count = [0_u16; 16];
    for &length in lengths {
        count[usize::from(length)] += 1;
    }
    count[0] = 0;
    let mut left = 1_i32;
    for &codes in &count[1..] {
        left = 2 * left - i32::from(codes);
        if left < 0 {
            return Err(NoCode);
        }
    }
    if left > 0 {
        let single = count[1] == 1 && count[2..].iter().all(|&codes| codes == 0);
        let none = count.iter().all(|&codes| codes == 0);
        if complete || !(single || none) {
            return Err(NoCode);
        }
        table[..1 << index].fill(INVALID);
    }
    let mut place = [0_u16; 16];
    for length in 1..15 {
        place[length + 1] = place[length] + count[length];
    }
    let mut sorted = [0_u16; 320];
    for (symbol, &length) in lengths.iter().enumerate().filter(|&(_, &length)| length > 0) {
        let place = &mut place[usize::from(length)];
        sorted[usize::from(*place)] = symbol as u16;
        *place += 1;
    }
    let mut symbols = sorted.iter();
    let (mut code, mut free, mut second) = (0_u32, 1_usize << index, None);
    for length in 1..16_u32 {
        while count[length as usize] > 0 {
            let symbol = usize::from(*symbols.next().expect("as many symbols as counted"));
            let reversed = (code.reverse_bits() >> (32 - length)) as usize;
            let entry = meaning(symbol);
            if length <= index {
                let entry = entry + (length << 8 | length);
                for slot in table[reversed..1 << index].iter_mut().step_by(1 << length) {
                    *slot = entry;
                }
            } else {
                let first = reversed & ((1 << index) - 1);
                let (start, bits) = match second {
                    Some((prefix, start, bits)) if prefix == first => (start, bits),
                    _ => {
                        let bits = second_bits(&count, index, length);
                        let start = free;
                        free += 1 << bits;
                        table[first] = SPECIAL | SECOND | (start as Entry) << 12 | index << 8 | bits;
                        second = Some((first, start, bits));
                        (start, bits)
                    }
                };
                let rest = length - index;
                let entry = entry + (rest << 8 | rest);
                for slot in
                    table[start..start + (1 << bits)][reversed >> index..].iter_mut().step_by(1 << rest)
                {
                    *slot = entry;
                }
            }
            count[length as usize] -= 1;
            code += 1;
        }
        code <<= 1;
    }
    Ok(())
}

/// Bits of the index of a second table whose first code has `length` bits: as many as its longest code needs.
fn second_bits(count: &[u16; 16], index: u32, length: u32) -> u32 {
    let mut bits = length - index;
    let mut used = u32::from(count[length as usize]);
    while used < 1 << bits {
        bits += 1;
        used = 2 * used + u32::from(count[(index + bits) as usize]);
    }
    bits
}
