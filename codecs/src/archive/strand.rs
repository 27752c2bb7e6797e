//! Strands: salt, index, payload and checksum as one integer in words.
//!
//! ```text
//! salt (4) | index | payload | checksum | zeros        bits, most significant first, cut into one message a word
//! ```
//!
//! The payload is whitened by a keystream of seed, salt and index; index, checksum and zeros by one of seed and salt. The
//! checksum is over the salt, the index and the whitened payload.

use super::Result;
use super::bits;
use super::crc::crc;
use super::format::{Format, SALT_BITS};
use super::keystream::{Domain, Keystream};
use crate::dloco::read::{self, Explanation, Options};
use crate::dloco::{Codebook, Entry, Value, strand::Layout};

/// Salts that a strand can have.
pub const SALTS: u8 = 1 << SALT_BITS;

/// Writes and reads the strands of a format.
pub struct Codec {
    format: Format,
    code: Box<dyn Codebook>,
    /// Words of an explanation are looked for up to so many edits.
    options: Options,
}

/// What a strand says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strand {
    /// Its place in the pool.
    pub index: u64,
    /// Which of the whitenings was used.
    pub salt: u8,
    /// Its part of the data.
    pub payload: Vec<u8>,
}

impl Codec {
    /// For strands of `format`.
    pub fn new(format: &Format) -> Result<Self> {
        let code = format.check()?;
        let options = Options { max_cost: format.words + 1, doubles: true };
        Ok(Self { format: format.clone(), code, options })
    }

    /// The format.
    pub fn format(&self) -> &Format {
        &self.format
    }

    fn layout(&self) -> Layout<'_> {
        Layout::new(&*self.code, self.format.words).expect("checked with the format")
    }

    /// Bits of all words together.
    fn bits(&self) -> usize {
        self.format.words * self.code.payload_bits()
    }

    fn index_end(&self) -> usize {
        SALT_BITS + self.format.index_bits as usize
    }

    fn payload_end(&self) -> usize {
        self.index_end() + 8 * self.format.payload_bytes
    }

    fn crc_end(&self) -> usize {
        self.payload_end() + self.format.crc_bits as usize
    }

    fn checksum(&self, salt: u8, index: u64, payload: &[u8]) -> u64 {
        let checked = [&[salt], &index.to_be_bytes()[..], payload].concat();
        crc(self.format.crc_bits, &checked).into()
    }

    /// Symbols of the strand.
    pub fn encode(&self, index: u64, payload: &[u8], salt: u8) -> Vec<u8> {
        let format = &self.format;
        debug_assert!(
            payload.len() == format.payload_bytes && index >> format.index_bits == 0 && salt < SALTS
        );
        let mut payload = payload.to_vec();
        Keystream::new(format.seed, Domain::Payload, salt, index).apply(&mut payload);
        let checksum = self.checksum(salt, index, &payload);
        let mut mask = Masks::new(format.seed, salt);
        let mut strand = vec![0; self.bits().div_ceil(8)];
        bits::write(&mut strand, 0, SALT_BITS, salt.into());
        let index_bits = format.index_bits as usize;
        bits::write(&mut strand, SALT_BITS, index_bits, mask.bits(index_bits) ^ index);
        for (number, &byte) in payload.iter().enumerate() {
            bits::write(&mut strand, self.index_end() + 8 * number, 8, byte.into());
        }
        let crc_bits = format.crc_bits as usize;
        bits::write(&mut strand, self.payload_end(), crc_bits, mask.bits(crc_bits) ^ checksum);
        let left = self.bits() - self.crc_end();
        bits::write(&mut strand, self.crc_end(), left, mask.bits(left));
        let width = self.code.payload_bits();
        let messages: Vec<Value> =
            (0..format.words).map(|word| bits::read_value(&strand, word * width, width)).collect();
        self.layout().encode(&messages)
    }

    /// What the words of a strand say, if its checksum and its zeros are right.
    pub fn open(&self, entries: &[Entry]) -> Option<Strand> {
        let format = &self.format;
        let width = self.code.payload_bits();
        let mut strand = vec![0; self.bits().div_ceil(8)];
        for (word, entry) in entries.iter().enumerate() {
            bits::write_value(&mut strand, word * width, width, &entry.message);
        }
        let salt = bits::read(&strand, 0, SALT_BITS) as u8;
        let mut mask = Masks::new(format.seed, salt);
        let index_bits = format.index_bits as usize;
        let index = bits::read(&strand, SALT_BITS, index_bits) ^ mask.bits(index_bits);
        let byte = |number: usize| bits::read(&strand, self.index_end() + 8 * number, 8) as u8;
        let mut payload: Vec<u8> = (0..format.payload_bytes).map(byte).collect();
        let crc_bits = format.crc_bits as usize;
        let checksum = bits::read(&strand, self.payload_end(), crc_bits) ^ mask.bits(crc_bits);
        let left = self.bits() - self.crc_end();
        let zeros = bits::read(&strand, self.crc_end(), left) ^ mask.bits(left);
        if zeros != 0 || checksum != self.checksum(salt, index, &payload) {
            return None;
        }
        Keystream::new(format.seed, Domain::Payload, salt, index).apply(&mut payload);
        Some(Strand { index, salt, payload })
    }

    /// What a read of a strand says, and how it must be read for that: the cheapest explanation whose checksum is right, if
    /// no other of the same cost has it too. Strands for which `known` is false are not believed.
    pub fn decode(&self, read: &[u8], known: impl Fn(u64) -> bool) -> Option<(Strand, Explanation)> {
        read::explain(&self.layout(), read, self.options, |level| {
            let mut believed = None;
            for explanation in level {
                let Some(strand) = self.open(&explanation.entries).filter(|strand| known(strand.index))
                else {
                    continue;
                };
                if believed.is_some() {
                    return Some(None);
                }
                believed = Some((strand, explanation.clone()));
            }
            believed.map(Some)
        })?
    }
}

/// The stream for what is not payload.
struct Masks(Keystream);

impl Masks {
    fn new(seed: u64, salt: u8) -> Self {
        Self(Keystream::new(seed, Domain::Header, salt, 0))
    }

    /// The next `count <= 64` bits, from a word of their own.
    fn bits(&mut self, count: usize) -> u64 {
        let word = self.0.word();
        if count == 0 { 0 } else { word >> (64 - count) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::archive::PRESETS;
    use crate::archive::format::Book;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn strands_come_back_through_an_edit_in_each_word(
            preset in 0_usize..6, index in 0_u64..1 << 24, salt in 0..SALTS, seed: u64, filler: u8,
            places in prop::collection::vec((0_usize..1000, 0_u8..3), 3),
        ) {
            let format = match PRESETS.get(preset) {
                Some(preset) => preset.format(seed),
                None => Format::new(Book::Hamming, 3, 64, 2, seed).unwrap(),
            };
            let codec = Codec::new(&format).unwrap();
            let payload: Vec<u8> = (0..format.payload_bytes).map(|i| filler ^ i as u8).collect();
            let sent = codec.encode(index, &payload, salt);
            prop_assert_eq!(sent.len(), format.strand_length());
            let strand = Strand { index, salt, payload };
            let (read, explanation) = codec.decode(&sent, |_| true).unwrap();
            prop_assert_eq!((read, explanation.cost), (strand.clone(), 0));

            let mut noisy = sent;
            for (word, (place, kind)) in places.into_iter().take(format.words).enumerate().rev() {
                let place = word * (format.word_length + 1) + place % format.word_length;
                match kind {
                    0 => noisy[place] ^= 1,
                    1 => drop(noisy.remove(place)),
                    _ => noisy.insert(place, filler & 3),
                }
            }
            if let Some((read, explanation)) = codec.decode(&noisy, |other| other == index) {
                prop_assert_eq!(read, strand);
                prop_assert!(explanation.cost <= format.words);
            } else {
                // Two explanations of equal cost and equal checksum: one in thousands, and then told as none.
                prop_assert!(format.codebook == Book::Hamming);
            }
        }

        #[test]
        fn any_words_are_opened_without_panic(preset in 0_usize..5, seeds: [u64; 3]) {
            let format = PRESETS[preset].format(7);
            let codec = Codec::new(&format).unwrap();
            let entry = |seed: u64| Entry { message: seed.into(), complement: false };
            codec.open(&seeds.map(entry)[..format.words]);
        }
    }
}
