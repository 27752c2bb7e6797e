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
//!
//! [`Excerpts`] reads the regions of a [BED file](Bed) as records.

mod bed;
mod blocks;
mod bytes;
mod error;
mod excerpts;
mod index;
mod like;
mod reference;
mod scan;

pub use bed::{Bed, BedFault, Region};
pub use error::{Error, Result};
pub use excerpts::Excerpts;
pub use index::Stale;
pub use reference::{Builder, Contig, IndexOrigin, Reference};

/// Reads `bytes` as a BED file and asserts what holds for every input: used by the property test and the fuzz target.
#[doc(hidden)]
pub fn check_bed(bytes: &[u8]) {
    let Ok(mut bed) = Bed::new(std::io::Cursor::new(bytes.to_vec()), "input") else { return };
    let mut line = 0;
    while let Some(outcome) = bed.next() {
        match outcome {
            Ok(region) => {
                assert!(region.range.start <= region.range.end, "regions do not end before they start");
                assert!(bed.line() > line, "a line a region");
                line = bed.line();
            }
            Err(error) => {
                assert!(error.to_string().starts_with("input"), "errors name the file");
                assert!(bed.next().is_none(), "nothing comes after an error");
            }
        }
    }
}

#[cfg(test)]
mod tests;
