//! FASTA and FASTQ, plain, gzip or BGZF, as one stream of [`Record`]s.
//!
//! The format and the compression are told from the content, never from the file name. Damage is an error that names
//! file, record and line; nothing is dropped or repaired in silence. What is odd but harmless is a [`Warning`].
//!
//! ```
//! use kilobase_data::fastx;
//!
//! let mut reader = fastx::Reader::new(&b">chr1 a test\nACGT\nacg\n"[..], "test.fa");
//! let record = reader.next().unwrap()?;
//! assert_eq!((record.id.as_str(), record.description.as_str()), ("chr1", "a test"));
//! assert_eq!(record.sequence, b"ACGTacg");
//! assert!(reader.next().is_none());
//! # Ok::<(), fastx::Error>(())
//! ```

pub(crate) mod error;
mod fasta;
mod fastq;
pub(crate) mod header;
pub(crate) mod inflate;
pub(crate) mod lines;
mod reader;
mod record;
pub(crate) mod sniff;
mod warning;

pub use error::{Error, Fault, Place};
pub use inflate::Damage;
pub use reader::{Alphabet, Builder, Reader};
pub use record::Record;
pub use sniff::Format;
pub use warning::{IDS_KEPT, Warning, WarningKind};

#[cfg(test)]
mod tests;

/// Reads `bytes` to the end and asserts what holds for every input: used by the property tests and the fuzz targets.
#[doc(hidden)]
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(std::io::Cursor::new(bytes.to_vec()), "input");
    let mut number = 0;
    let mut failed = false;
    while let Some(outcome) = reader.next() {
        assert!(!failed, "a record after an error");
        match outcome {
            Ok(record) => {
                number += 1;
                assert_eq!(record.number, number, "records are counted");
                assert!(crate::alphabet::find_foreign(&record.sequence).is_none(), "a letter got through");
                let is_fastq = reader.format() == Some(Format::Fastq);
                assert_eq!(record.quality.is_some(), is_fastq, "quality belongs to FASTQ");
                if let Some(quality) = &record.quality {
                    assert_eq!(quality.len(), record.len(), "a quality letter a base");
                    assert!(quality.iter().all(u8::is_ascii_graphic), "a quality letter got through");
                }
                assert!(!record.id.contains(['\n', '\r', '\0', ' ', '\t']), "ids are one word");
            }
            Err(error) => {
                failed = true;
                assert!(error.to_string().starts_with("input: "), "errors name the file");
            }
        }
    }
    assert!(reader.next().is_none(), "the end stays the end");
}
