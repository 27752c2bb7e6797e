//! The container: a header of 64 bytes, then the file, as it is or compressed.
//!
//! | bytes | field |
//! |---|---|
//! | 0..4 | `DLC1` |
//! | 4 | version, 1 |
//! | 5 | flags: bit 0 zstd, bit 1 H-LOCO |
//! | 6, 7 | run limit; words of a strand |
//! | 8..10 | length of a word |
//! | 10, 11 | bits of index; bits of checksum |
//! | 12..16 | R |
//! | 16..18 | 16-bit symbols of a strand's payload |
//! | 18..20, 20..22 | strands of a group; data strands of a group |
//! | 22..30 | seed |
//! | 30..38 | length of the file |
//! | 38..62 | first 24 bytes of the SHA-256 of the file |
//! | 62..64 | zero |
//!
//! Numbers are big-endian.

use super::format::{Book, Format};
use super::{Error, Result};

/// Bytes of the header.
pub const HEADER: usize = 64;

/// Bytes of the file's hash that the header has.
pub const HASH: usize = 24;

/// What the container says about the file and itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the file is compressed.
    pub zstd: bool,
    /// The strands; primers are not part of the header.
    pub format: Format,
    /// Strands of a group.
    pub strands: usize,
    /// Data strands of a group.
    pub data: usize,
    /// Bytes of the file.
    pub file_len: u64,
    /// Beginning of the SHA-256 of the file.
    pub hash: [u8; HASH],
}

impl Header {
    /// As bytes.
    pub fn to_bytes(&self) -> [u8; HEADER] {
        let format = &self.format;
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend(b"DLC1");
        let flags = u8::from(self.zstd) | u8::from(format.codebook == Book::Hamming) << 1;
        bytes.extend([1, flags, format.run_limit as u8, format.words as u8]);
        bytes.extend((format.word_length as u16).to_be_bytes());
        bytes.extend([format.index_bits as u8, format.crc_bits as u8]);
        bytes.extend(format.divisor.to_be_bytes());
        bytes.extend(((format.payload_bytes / 2) as u16).to_be_bytes());
        bytes.extend((self.strands as u16).to_be_bytes());
        bytes.extend((self.data as u16).to_be_bytes());
        bytes.extend(format.seed.to_be_bytes());
        bytes.extend(self.file_len.to_be_bytes());
        bytes.extend(self.hash);
        bytes.resize(HEADER, 0);
        bytes.try_into().expect("64 bytes")
    }

    /// From bytes, which may be anything.
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Self> {
        let field = |field, value: String, allowed| Err(Error::Header { field, value, allowed });
        let number = |first: usize, count: usize| {
            bytes[first..first + count].iter().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte))
        };
        if bytes[..4] != *b"DLC1" {
            return field("magic", bytes[..4].escape_ascii().to_string(), "DLC1 is expected");
        }
        if bytes[4] != 1 {
            return field("version", bytes[4].to_string(), "1 is known");
        }
        if bytes[5] > 3 {
            return field("flags", bytes[5].to_string(), "0 to 3 are known");
        }
        if bytes[62..] != [0, 0] {
            return field("padding", format!("{:?}", &bytes[62..]), "zero is expected");
        }
        let format = Format {
            codebook: if bytes[5] & 2 == 0 { Book::Residue } else { Book::Hamming },
            run_limit: bytes[6].into(),
            words: bytes[7].into(),
            word_length: number(8, 2) as usize,
            index_bits: bytes[10].into(),
            crc_bits: bytes[11].into(),
            divisor: number(12, 4) as u32,
            payload_bytes: 2 * number(16, 2) as usize,
            seed: number(22, 8),
            forward_primer: String::new(),
            reverse_primer: String::new(),
        };
        let (strands, data) = (number(18, 2) as usize, number(20, 2) as usize);
        if data == 0 || data >= strands {
            let value = format!("{data} of {strands}");
            return field("data strands", value, "some, and fewer than all, are expected");
        }
        let hash = bytes[38..62].try_into().expect("24 bytes");
        Ok(Self { zstd: bytes[5] & 1 == 1, format, strands, data, file_len: number(30, 8), hash })
    }
}

/// Reads a header and asserts what holds for any bytes: used by the property tests and the fuzz target.
#[doc(hidden)]
pub fn check(bytes: &[u8]) {
    let Some(bytes) = bytes.first_chunk() else { return };
    if let Ok(header) = Header::parse(bytes) {
        assert_eq!(&header.to_bytes(), bytes, "a header that is read is written the same");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::PRESETS;

    fn header() -> Header {
        let mut format = PRESETS[1].format(0x0123_4567_89ab_cdef);
        format.forward_primer.clear();
        format.reverse_primer.clear();
        Header { zstd: true, format, strands: 1000, data: 850, file_len: 1 << 40, hash: [7; HASH] }
    }

    #[test]
    fn header_is_read_as_it_was_written() {
        assert_eq!(Header::parse(&header().to_bytes()).unwrap(), header());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 64), whole: bool, at in 0_usize..64) {
            if whole {
                // One byte of a good header changed.
                let byte = bytes[at];
                bytes = header().to_bytes().to_vec();
                bytes[at] = byte;
            }
            check(&bytes);
        }
    }
}
