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

mod error;
mod fasta;
mod fastq;
mod header;
mod inflate;
mod lines;
mod reader;
mod record;
mod sniff;
mod warning;

pub use error::{Error, Fault, Place};
pub use inflate::Damage;
pub use reader::{Alphabet, Builder, Reader};
pub use record::Record;
pub use sniff::Format;
pub use warning::{IDS_KEPT, Warning, WarningKind};

#[cfg(test)]
mod tests;
