use std::{fmt, io};

use crate::fastx::Damage;
use crate::{export, regions};

/// The result of reading or writing variants.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why variants could not be read or written.
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
    #[error("{file}: after {records} whole records: {damage}")]
    Damaged {
        /// The file's name.
        file: String,
        /// Records given out before.
        records: u64,
        /// What is wrong with the stream.
        damage: Damage,
    },
    /// The file is of a kind that is not read here.
    #[error("{file}: is {format}, which is not read here: decompress or convert it first")]
    Unsupported {
        /// The file's name.
        file: String,
        /// The format that the first bytes show.
        format: &'static str,
    },
    /// A line is not what the format has there.
    #[error("{place}: {fault}")]
    Malformed {
        /// Where.
        place: Place,
        /// What.
        fault: Fault,
    },
    /// No format has this suffix.
    #[error(
        "{path}: no format of variants has this suffix; they are vcf, tsv and csv, each with .gz or .bgz for bgzf"
    )]
    UnknownFormat {
        /// The path.
        path: String,
    },
    /// A table cannot be written as VCF, which has a header that a table does not.
    #[error("{file}: is a table, which cannot be written as VCF: write a table (.tsv or .csv)")]
    NotVcf {
        /// The source's name.
        file: String,
    },
    /// A field cannot be one of VCF's INFO column.
    #[error("{id}: cannot be the name of a score: {reason}")]
    Field {
        /// The field's id.
        id: String,
        /// Why.
        reason: &'static str,
    },
    /// Scores do not fit the fields.
    #[error("{values} values given where there are {fields} fields {number}")]
    Values {
        /// Values given.
        values: usize,
        /// Fields there are.
        fields: usize,
        /// Which fields.
        number: &'static str,
    },
    /// A value is missing, and no reason for it is given.
    #[error("{id}: an allele has neither a value nor a reason why it has none")]
    NoReason {
        /// The field's id.
        id: String,
    },
    /// A field of whole numbers was given another, or one that 32-bit floats do not hold.
    #[error("{id}: {value} is not a whole number up to 2^24")]
    NotInteger {
        /// The field's id.
        id: String,
        /// The value.
        value: f32,
    },
    /// The scores are not those of the source.
    #[error("{file}: {what}; the file is not the one that was scored")]
    SourceChanged {
        /// The source's name.
        file: String,
        /// What differs.
        what: String,
    },
    /// The output could not be written.
    #[error(transparent)]
    Export(#[from] export::Error),
    /// The reference could not be read.
    #[error(transparent)]
    Reference(#[from] regions::Error),
}

/// A place in a file of variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}", self.file, self.line)
    }
}

/// What is wrong at a [`Place`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file has no header line.
    #[error(
        "the file ends before its header: VCF has a line that starts with #CHROM, a table one with names of columns"
    )]
    NoHeader,
    /// A VCF file has no line of column names where the records begin.
    #[error(
        "found {} where the line #CHROM POS ID REF ALT QUAL FILTER INFO should stand, with tabs between",
        Shown(found)
    )]
    ColumnLine {
        /// The line.
        found: String,
    },
    /// A table lacks a column.
    #[error("no column is called {wanted}; the columns are {}", Shown(columns))]
    NoColumn {
        /// The names that it may have.
        wanted: &'static str,
        /// The header line.
        columns: String,
    },
    /// Two columns of a table could be meant.
    #[error("columns {} and {} could both be the {what}: rename one", Shown(first), Shown(second))]
    TwoColumns {
        /// What is looked for.
        what: &'static str,
        /// A column.
        first: String,
        /// Another.
        second: String,
    },
    /// A line has more or fewer columns than the header.
    #[error("has {found} columns, the header has {expected}")]
    Columns {
        /// Columns of the header.
        expected: usize,
        /// Columns of the line.
        found: usize,
    },
    /// A quoted cell is not closed, or goes on after its closing quote.
    #[error("a quote is not closed at the end of its cell")]
    Quote,
    /// A cell is not UTF-8.
    #[error("{column} is not UTF-8 text")]
    Encoding {
        /// The column.
        column: &'static str,
    },
    /// The name of the contig is empty, or has spaces or control characters.
    #[error("{} is not the name of a contig", Shown(value))]
    Contig {
        /// The cell.
        value: String,
    },
    /// A position is not a whole number that a contig can have.
    #[error("{} is not a position: it must be a whole number up to 2^31 - 1", Shown(value))]
    Position {
        /// The cell.
        value: String,
    },
    /// An allele is not one.
    #[error("{column} {} is not an allele", Shown(value))]
    Allele {
        /// The column.
        column: &'static str,
        /// The allele.
        value: String,
    },
    /// A line is longer than the limit.
    #[error("the line is longer than the limit of {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

/// Shows text of a file in quotes, without its control characters, and not more than fits a line.
pub(super) struct Shown<'a>(pub(super) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 60;
        let end = self.0.char_indices().nth(LONGEST).map_or(self.0.len(), |(at, _)| at);
        let (shown, rest) = self.0.split_at(end);
        write!(f, "'{}'", shown.escape_debug())?;
        if !rest.is_empty() {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}
