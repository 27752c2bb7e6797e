use std::io;

use super::BedFault;
use crate::fastx::error::Byte;
use crate::fastx::{self, Damage, Fault};

/// The result of reading a reference.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a reference could not be opened, or a stretch of it not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened or read.
    #[error("{file}: cannot be read")]
    Io {
        /// The file's name.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The compressed stream is damaged.
    #[error("{file}: {damage}")]
    Damaged {
        /// The file's name.
        file: String,
        /// What is wrong with the stream.
        damage: Damage,
    },
    /// The file is compressed, or packed, in a way that is not read here.
    #[error("{file}: is {format}, which is not read here: decompress or convert it first")]
    Unsupported {
        /// The file's name.
        file: String,
        /// The format that the first bytes show.
        format: &'static str,
    },
    /// The file starts with something else than a FASTA header.
    #[error("{file}: line {line}: found {} before the first header, a reference is FASTA, whose headers start with '>'", Byte(*.found))]
    NotFasta {
        /// The file's name.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The first byte of the line.
        found: u8,
    },
    /// The file has no sequence.
    #[error("{file}: has no sequence")]
    Empty {
        /// The file's name.
        file: String,
    },
    /// A header cannot be read.
    #[error("{file}: line {line}: {fault}")]
    Header {
        /// The file's name.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Two contigs have one name, so that it does not say which is meant.
    #[error("{file}: has two contigs called {}", contig.escape_debug())]
    DuplicateContig {
        /// The file's name.
        file: String,
        /// The name.
        contig: String,
    },
    /// A letter is no nucleotide code.
    #[error("{file}: contig {}, base {position}: {} is not a nucleotide code", contig.escape_debug(), Byte(*.found))]
    Letter {
        /// The file's name.
        file: String,
        /// The contig.
        contig: String,
        /// The base, from 1.
        position: u64,
        /// The byte.
        found: u8,
    },
    /// The file is shorter than its index says.
    #[error(
        "{file}: contig {}: the file ends {missing} bytes before its index says it does: it is cut, or was replaced; make it whole, or delete {index}",
        contig.escape_debug()
    )]
    Truncated {
        /// The file's name.
        file: String,
        /// The contig that ends last.
        contig: String,
        /// Bytes that are not there.
        missing: u64,
        /// The index file.
        index: String,
    },
    /// The file changed after it was opened.
    #[error("{file}: contig {}: bases {start}-{end} are not where the file's index has them: the file was changed or cut", contig.escape_debug())]
    Changed {
        /// The file's name.
        file: String,
        /// The contig.
        contig: String,
        /// The first base asked for, from 1.
        start: u64,
        /// The last base asked for, from 1.
        end: u64,
    },
    /// Sequences that have to be held in memory are larger than the limit.
    #[error(
        "{file}: {why}, so its bases have to be held in memory, and they are more than the limit of {limit} bytes; {remedy}"
    )]
    TooLarge {
        /// The file's name.
        file: String,
        /// Why the file cannot be read from any place.
        why: &'static str,
        /// The limit.
        limit: u64,
        /// What helps.
        remedy: &'static str,
    },
    /// There is no contig of this name.
    #[error("{file}: has no contig {}{}", contig.escape_debug(), similar.as_ref().map_or_else(String::new, |name| format!("; it has {}", name.escape_debug())))]
    UnknownContig {
        /// The file's name.
        file: String,
        /// The name asked for.
        contig: String,
        /// A contig of the file that may be meant: names with and without `chr`, `M` and `MT`, with and without a
        /// version, or inside an NCBI id with bars.
        similar: Option<String>,
    },
    /// The stretch asked for ends after the contig does.
    #[error("{file}: contig {} has {length} bases, {start}-{end} asked for", contig.escape_debug())]
    PastEnd {
        /// The file's name.
        file: String,
        /// The contig.
        contig: String,
        /// The first base asked for, from 1.
        start: u64,
        /// The last base asked for, from 1.
        end: u64,
        /// Bases of the contig.
        length: u64,
    },
    /// A line of a BED file is no region.
    #[error("{file}: line {line}: {fault}")]
    Bed {
        /// The file's name.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        fault: BedFault,
    },
    /// A region of a BED file is not in the genome.
    #[error("{file}: line {line}: {source}")]
    Region {
        /// The BED file's name.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong with the region.
        source: Box<Self>,
    },
    /// The file, read from its beginning to its end, is not FASTA.
    #[error(transparent)]
    Fasta(#[from] fastx::Error),
}

impl Error {
    /// For `map_err`: ties an error of reading to its file, and tells damage of a compressed stream from the system's.
    pub(super) fn io(file: &str) -> impl Fn(io::Error) -> Self {
        move |source| {
            let file = file.to_owned();
            match source.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
                Some(damage) => Self::Damaged { file, damage: damage.clone() },
                None => Self::Io { file, source },
            }
        }
    }
}
