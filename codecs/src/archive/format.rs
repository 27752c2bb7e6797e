//! Parameters of a pool: everything that must be known before a read can be understood.

use serde::{Deserialize, Serialize};

use super::crc;
use super::{Error, FORWARD_PRIMER, REVERSE_PRIMER, Result};
use crate::dloco::{Codebook, Hamming, Params, Residue, strand::MAX_WORDS};

/// Bits of the salt of a strand.
pub(super) const SALT_BITS: usize = 4;

/// Which codebook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Book {
    /// EC D-LOCO.
    Residue,
    /// H-LOCO.
    Hamming,
}

/// Parameters of the strands of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {
    /// The codebook of the words.
    pub codebook: Book,
    /// Longest run of one nucleotide.
    pub run_limit: usize,
    /// Nucleotides of a word.
    pub word_length: usize,
    /// Words of a strand.
    pub words: usize,
    /// `R` of the residue codebook; 0 for the other.
    pub divisor: u32,
    /// Bits of the strand index.
    pub index_bits: u32,
    /// Bits of the strand's checksum: 16, 24 or 32.
    pub crc_bits: u32,
    /// Payload of a strand, an even number.
    pub payload_bytes: usize,
    /// Of the whitening.
    pub seed: u64,
    /// At the beginning of an oligo; may be empty.
    pub forward_primer: String,
    /// The reverse primer, whose reverse complement ends an oligo; may be empty.
    pub reverse_primer: String,
}

/// A named choice of words and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// As typed.
    pub name: &'static str,
    /// Nucleotides of a word.
    pub word_length: usize,
    /// Words of a strand.
    pub words: usize,
    /// What it is good for.
    pub character: &'static str,
}

/// The built-in presets, all with runs of three at most.
pub const PRESETS: [Preset; 5] = [
    Preset { name: "robust", word_length: 40, words: 3, character: "three edits a read, one in each word" },
    Preset { name: "std150", word_length: 75, words: 2, character: "two edits a read, one in each word" },
    Preset { name: "dense150", word_length: 150, words: 1, character: "one edit a read" },
    Preset { name: "dense200", word_length: 200, words: 1, character: "one edit a read" },
    Preset { name: "dense260", word_length: 260, words: 1, character: "one edit a read" },
];

impl Preset {
    /// By name.
    pub fn find(name: &str) -> Option<Self> {
        PRESETS.into_iter().find(|preset| preset.name == name)
    }

    /// The format, whitened by `seed`, with the built-in primers.
    pub fn format(&self, seed: u64) -> Format {
        Format::new(Book::Residue, 3, self.word_length, self.words, seed).expect("presets hold together")
    }
}

impl Format {
    /// With 24 bits of index, the widest check that costs no payload, and the built-in primers.
    pub fn new(
        codebook: Book,
        run_limit: usize,
        word_length: usize,
        words: usize,
        seed: u64,
    ) -> Result<Self> {
        let divisor = match codebook {
            Book::Residue => Params::new(run_limit, word_length)?.divisor(),
            Book::Hamming => 0,
        };
        let mut format = Self {
            codebook,
            run_limit,
            word_length,
            words,
            divisor,
            index_bits: 24,
            crc_bits: 16,
            payload_bytes: 2,
            seed,
            forward_primer: FORWARD_PRIMER.to_owned(),
            reverse_primer: REVERSE_PRIMER.to_owned(),
        };
        format.check_words()?;
        let total = words * format.code()?.payload_bits();
        let room = |crc_bits: u32| total.saturating_sub(SALT_BITS + 24 + crc_bits as usize) / 16 * 2;
        format.payload_bytes = room(16);
        format.crc_bits =
            crc::WIDTHS.into_iter().rev().find(|&bits| room(bits) == room(16)).expect("16 is one of them");
        format.check()?;
        Ok(format)
    }

    fn check_words(&self) -> Result<()> {
        let field = |field, value: String, allowed| Err(Error::Field { field, value, allowed });
        if !(1..=MAX_WORDS).contains(&self.words) {
            return field("words", self.words.to_string(), "1 to 64 are possible");
        }
        Ok(())
    }

    /// Refuses what does not fit together, and gives the code of the words.
    pub fn check(&self) -> Result<Box<dyn Codebook>> {
        let field = |field, value: String, allowed| Err(Error::Field { field, value, allowed });
        self.check_words()?;
        if !(8..=32).contains(&self.index_bits) {
            return field("index_bits", self.index_bits.to_string(), "8 to 32 are possible");
        }
        if !crc::WIDTHS.contains(&self.crc_bits) {
            return field("crc_bits", self.crc_bits.to_string(), "16, 24 and 32 are possible");
        }
        for (name, primer) in
            [("forward_primer", &self.forward_primer), ("reverse_primer", &self.reverse_primer)]
        {
            let letters = primer.bytes().all(|letter| b"ACGT".contains(&letter));
            if !letters || !(primer.is_empty() || (10..=60).contains(&primer.len())) {
                return field(name, primer.clone(), "10 to 60 letters A, C, G and T, or none, are possible");
            }
        }
        let code = self.code()?;
        let total = self.words * code.payload_bits();
        let needed = SALT_BITS + self.index_bits as usize + self.crc_bits as usize;
        if total < needed + 16 {
            let (words, bits) = (self.words, code.payload_bits());
            return Err(Error::NoPayload { words, bits, total, needed });
        }
        let room = (total - needed) / 16 * 2;
        if self.payload_bytes == 0 || self.payload_bytes % 2 == 1 || self.payload_bytes > room {
            let value = self.payload_bytes.to_string();
            return field("payload_bytes", value, "an even number that the words have room for is possible");
        }
        // What is left over must fit the zero padding that is checked as one number.
        if total - needed - 8 * self.payload_bytes > 64 {
            let value = self.payload_bytes.to_string();
            return field("payload_bytes", value, "at most 64 bits may be left over");
        }
        Ok(code)
    }

    /// The code of the words.
    pub fn code(&self) -> Result<Box<dyn Codebook>> {
        Ok(match self.codebook {
            Book::Residue => {
                let params = Params::with_divisor(self.run_limit, self.word_length, self.divisor)?;
                Box::new(Residue::new(params))
            }
            Book::Hamming => Box::new(Hamming::new(self.run_limit, self.word_length)?),
        })
    }

    /// Nucleotides of a strand, without primers.
    pub fn strand_length(&self) -> usize {
        self.words * self.word_length + self.words - 1
    }

    /// Nucleotides of an oligo, with primers.
    pub fn oligo_length(&self) -> usize {
        self.strand_length() + self.forward_primer.len() + self.reverse_primer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_the_room_that_is_promised() {
        let rows: Vec<_> = PRESETS
            .iter()
            .map(|preset| {
                let format = preset.format(42);
                (preset.name, format.strand_length(), format.payload_bytes, format.crc_bits)
            })
            .collect();
        let expected = [
            ("robust", 122, 18, 16),
            ("std150", 151, 26, 24),
            ("dense150", 150, 28, 24),
            ("dense200", 200, 40, 24),
            ("dense260", 260, 56, 16),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn formats_that_do_not_hold_together_are_refused() {
        let good = PRESETS[1].format(1);
        assert!(good.check().is_ok());
        let bad = |change: &dyn Fn(&mut Format)| {
            let mut format = good.clone();
            change(&mut format);
            assert!(format.check().is_err(), "{format:?}");
        };
        bad(&|format| format.words = 0);
        bad(&|format| format.words = usize::MAX);
        bad(&|format| format.crc_bits = 17);
        bad(&|format| format.index_bits = 40);
        bad(&|format| format.payload_bytes = 27);
        bad(&|format| format.payload_bytes = 30);
        bad(&|format| format.payload_bytes = 2);
        bad(&|format| format.divisor += 1);
        bad(&|format| format.run_limit = 0);
        bad(&|format| format.word_length = usize::MAX);
        bad(&|format| format.forward_primer = "ACGTN".to_owned());
        assert!(Format::new(Book::Residue, 3, 8, 1, 0).is_err(), "a strand without payload");
    }
}
