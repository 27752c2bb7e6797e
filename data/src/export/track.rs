//! Values along contigs: bedGraph, bigWig and tables.
//!
//! ```
//! use kilobase_data::export::track::{Error, Interval, write};
//! use kilobase_data::regions::Contig;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("scores.bedgraph");
//! let contigs = [Contig { name: "chr1".into(), length: 100 }];
//! let values = (0..4).map(|base| Ok(Interval { contig: 0, start: base, end: base + 1, value: 0.5 }));
//! write::<Error>(&path, &contigs, values, false)?;
//! assert_eq!(std::fs::read_to_string(&path)?, "chr1\t0\t4\t0.5\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::AtomicFile;
use crate::regions::Contig;
use runs::Runs;

mod bigwig;
mod runs;
#[cfg(test)]
mod tests;

/// A value of some bases of a contig.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The contig, by its place in the list of contigs.
    pub contig: usize,
    /// The first base, from 0.
    pub start: u64,
    /// One past the last base.
    pub end: u64,
    /// The value of each of the bases. Must be finite.
    pub value: f32,
}

/// The formats of tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Text: contig, start, end, value, with tabs between; neighbours of one value are one line.
    BedGraph,
    /// UCSC's indexed binary form, with zoom levels; neighbours of one value are one item.
    BigWig,
    /// As bedGraph, with a header line and every interval as it was given.
    Tsv,
}

impl Format {
    /// The format that the suffix of `path` names: `bedgraph` or `bg`, `bigwig` or `bw`, `tsv`.
    pub fn from_path(path: &Path) -> Result<Self, Error> {
        let suffix = path.extension().and_then(|suffix| suffix.to_str()).map(str::to_ascii_lowercase);
        match suffix.as_deref() {
            Some("bedgraph" | "bg" | "bdg") => Ok(Self::BedGraph),
            Some("bigwig" | "bw") => Ok(Self::BigWig),
            Some("tsv") => Ok(Self::Tsv),
            _ => Err(Error::UnknownFormat { path: path.to_owned() }),
        }
    }
}

/// Why a track could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No format has this suffix.
    #[error("{}: no track has this suffix; they are bedgraph, bg, bigwig, bw and tsv", path.display())]
    UnknownFormat {
        /// The path.
        path: PathBuf,
    },
    /// An interval cannot stand where it was given.
    #[error("bases {start}-{end} of contig {contig}: {fault}")]
    Interval {
        /// The contig: its name, or its place where there is no such contig.
        contig: String,
        /// The first base, from 0.
        start: u64,
        /// One past the last base.
        end: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// bigWig keeps lengths in 32 bits.
    #[error("contig {contig} has {length} bases, bigWig holds at most 2^32 - 1")]
    TooLong {
        /// The contig.
        contig: String,
        /// Bases.
        length: u64,
    },
    /// bigWig, as it is written here, holds so many contigs.
    #[error("values of more than {limit} contigs, which is what bigWig can have here; write bedgraph")]
    TooMany {
        /// The largest number of contigs with values.
        limit: usize,
    },
    /// Two contigs have one name.
    #[error("two contigs are called {contig}")]
    DuplicateContig {
        /// The name.
        contig: String,
    },
    /// A bigWig file must have a value.
    #[error("{}: there are no values, and a bigWig file cannot be empty", path.display())]
    Empty {
        /// The path.
        path: PathBuf,
    },
    /// The output could not be written.
    #[error(transparent)]
    Export(#[from] super::Error),
}

/// What is wrong with an [`Interval`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// There is no such contig.
    #[error("there are {contigs} contigs")]
    Contig {
        /// Contigs there are.
        contigs: usize,
    },
    /// It has no base.
    #[error("the end is not after the start")]
    Empty,
    /// It ends after its contig.
    #[error("the contig has {length} bases")]
    PastEnd {
        /// Bases of the contig.
        length: u64,
    },
    /// It begins before the one before it ends, or its contig comes before that one's.
    #[error("is not after the interval before it")]
    Order,
    /// The value is infinite or not a number.
    #[error("the value {value} is not finite")]
    NotFinite {
        /// The value.
        value: f32,
    },
}

/// Writes `values`, which come in the order of `contigs` and of their bases without overlaps, in the format that the
/// suffix of `path` names. The file appears whole or not at all.
///
/// Memory does not grow with the values. Fails with the first error of `values`.
pub fn write<E: From<Error>>(
    path: &Path,
    contigs: &[Contig],
    values: impl IntoIterator<Item = Result<Interval, E>>,
    force: bool,
) -> Result<(), E> {
    let format = Format::from_path(path)?;
    let mut file = AtomicFile::create(path, force).map_err(Error::from)?;
    let mut runs = Runs::new(contigs, values.into_iter(), format != Format::Tsv);
    match format {
        Format::BedGraph | Format::Tsv => write_text(format, contigs, &mut runs, &mut file, path)?,
        Format::BigWig => bigwig::write(contigs, &mut runs, &file)?,
    }
    Ok(file.commit().map_err(Error::from)?)
}

fn write_text<E: From<Error>>(
    format: Format,
    contigs: &[Contig],
    runs: &mut dyn Iterator<Item = Result<Interval, E>>,
    out: &mut dyn Write,
    path: &Path,
) -> Result<(), E> {
    let io = |source: io::Error| Error::from(super::Error::Io { path: path.to_owned(), source });
    if format == Format::Tsv {
        out.write_all(b"contig\tstart\tend\tvalue\n").map_err(io)?;
    }
    for interval in runs {
        let Interval { contig, start, end, value } = interval?;
        // Debug is the shortest text that reads back to the same value.
        writeln!(out, "{}\t{start}\t{end}\t{value:?}", contigs[contig].name).map_err(io)?;
    }
    Ok(())
}
