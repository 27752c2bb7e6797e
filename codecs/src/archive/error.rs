//! What can go wrong with an archive.

use std::io;

use crate::dloco;

/// An error of the archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Parameters of the inner code.
    #[error(transparent)]
    Code(#[from] dloco::Error),
    /// Parameters that leave no room.
    #[error(
        "{words} words of {bits} bits hold {total} bits; salt, index and checksum need {needed}, and two bytes of payload"
    )]
    NoPayload {
        /// Words of a strand.
        words: usize,
        /// Bits of a word.
        bits: usize,
        /// Bits of a strand.
        total: usize,
        /// Bits that are not payload.
        needed: usize,
    },
    /// A field of the format with an impossible value.
    #[error("{field} is {value}; {allowed}")]
    Field {
        /// Which.
        field: &'static str,
        /// As found.
        value: String,
        /// What is possible.
        allowed: &'static str,
    },
    /// More strands than indices.
    #[error("the file needs {strands} strands; {index_bits} bits of index count {limit}")]
    TooLarge {
        /// Strands of the pool.
        strands: u64,
        /// Bits of an index.
        index_bits: u32,
        /// Strands that can be told apart.
        limit: u64,
    },
    /// Not an enzyme of the table.
    #[error("{name:?} is no restriction enzyme of the table; known are {known}")]
    Enzyme {
        /// As asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// A manifest that does not say what it said when it was written.
    #[error("{path}: {reason}")]
    Manifest {
        /// Where it is.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// Reads without a strand of the archive.
    #[error(
        "none of {reads} reads is a strand of this archive: other preset, seed or primers, or reads of something else"
    )]
    Foreign {
        /// Reads looked at.
        reads: u64,
    },
    /// Reads without a read.
    #[error("no reads")]
    Empty,
    /// Strands of which the most important are missing, and no manifest.
    #[error(
        "the strands of the header were not read; the manifest that was written with the pool has what they say"
    )]
    NoHeader,
    /// A header that is none.
    #[error("the header says {field} is {value}; {allowed}")]
    Header {
        /// Which field.
        field: &'static str,
        /// As found.
        value: String,
        /// What is possible.
        allowed: &'static str,
    },
    /// Too many strands are lost.
    #[error("{}", short(groups))]
    Lost {
        /// Groups that cannot be restored.
        groups: Vec<LostGroup>,
    },
    /// Strands that contradict each other.
    #[error(
        "group {group}: {strands} strands were read and {needed} are needed, but they do not agree: {tries} ways to leave out doubtful ones fail the checksum"
    )]
    Contradiction {
        /// From 0.
        group: usize,
        /// Strands read.
        strands: usize,
        /// Data strands.
        needed: usize,
        /// Attempts made.
        tries: usize,
    },
    /// The restored bytes are not the file.
    #[error("the restored file has another hash than the archive says")]
    Hash,
    /// The compressed stream ends early or is damaged.
    #[error("the compressed data cannot be expanded: {0}")]
    Expand(io::Error),
    /// Reading or writing.
    #[error("{what}")]
    Io {
        /// What was read or written.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

/// A group of which too many strands are lost.
#[derive(Clone, Debug, PartialEq)]
pub struct LostGroup {
    /// From 0.
    pub group: usize,
    /// Strands read.
    pub read: usize,
    /// Strands that are needed.
    pub needed: usize,
    /// Strands of the group.
    pub strands: usize,
    /// Reads that were understood, a strand.
    pub coverage: f64,
    /// Such reads a strand that would have served, if strands are lost by chance alone; none if no coverage would have.
    pub wanted: Option<f64>,
}

fn short(groups: &[LostGroup]) -> String {
    let one = |lost: &LostGroup| {
        let advice = match lost.wanted {
            Some(wanted) => {
                format!("{:.1} understood reads a strand, {wanted:.1} would have served", lost.coverage)
            }
            None => format!("{:.1} understood reads a strand", lost.coverage),
        };
        let LostGroup { group, read, needed, strands, .. } = lost;
        format!(
            "group {group} misses {}: {read} of its {strands} strands were read, {needed} are needed; {advice}",
            needed - read
        )
    };
    let text = groups.iter().take(3).map(one).collect::<Vec<_>>().join("; ");
    let more = groups.len().saturating_sub(3);
    if more > 0 { format!("{text}; and {more} groups more") } else { text }
}

impl Error {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
