//! Random access to a reference genome.
//!
//! A [`Reference`] is a FASTA file, plain, bgzf or gzip, of which any stretch can be fetched by contig and bases:
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("genome.fa");
//! std::fs::write(&path, ">chr1 a test\nACGTac\ngtnn\n>chr2\nGG\n")?;
//! let genome = kilobase_data::regions::Reference::open(&path)?;
//! assert_eq!(genome.contigs()[0].length, 10);
//! assert_eq!(genome.fetch("chr1", 4..8)?, b"ACGT");
//! assert_eq!(genome.fetch_raw("chr1", 4..8)?, b"acgt");
//! assert!(genome.fetch("1", 0..1).unwrap_err().to_string().contains("has chr1"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod bytes;
mod error;
mod index;
mod like;
mod reference;
mod scan;

pub use error::{Error, Result};
pub use index::Stale;
pub use reference::{Builder, Contig, IndexOrigin, Reference};

#[cfg(test)]
mod tests;
