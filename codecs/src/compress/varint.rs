//! LEB128: numbers of seven bits a byte, the lowest first.

use std::io::{self, Read};

pub(in crate::compress) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front; none where there is none.
pub(in crate::compress) fn take(bytes: &mut &[u8]) -> Option<u64> {
    read(bytes).ok()
}

pub(in crate::compress) fn read(input: &mut impl Read) -> io::Result<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let mut byte = [0];
        input.read_exact(&mut byte)?;
        number |= u64::from(byte[0] & 127) << shift;
        if byte[0] < 128 {
            return Ok(number);
        }
    }
    // A number that is no length either way.
    Ok(u64::MAX)
}
