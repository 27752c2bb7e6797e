use std::{fmt, io};

use super::Damage;

/// Why a file could not be read to its end.
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
    /// The compressed stream is damaged. Records given out before are whole, but the file is not.
    #[error("{file}: after {records} whole records: {damage}")]
    Damaged {
        /// The file's name.
        file: String,
        /// Records given out before the damage was met.
        records: u64,
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
    /// The text is not FASTA or FASTQ as the formats are defined.
    #[error("{place}: {fault}")]
    Malformed {
        /// Where.
        place: Place,
        /// What.
        fault: Fault,
    },
}

/// A place in a FASTA or FASTQ file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The record, from 1; 0 before the first one.
    pub record: u64,
    /// The record's id, empty when it has none or it is not known yet.
    pub id: String,
    /// The line, from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        if self.record > 0 {
            write!(f, "record {}", self.record)?;
            if !self.id.is_empty() {
                // Ids come from the file: no control character of theirs may reach a terminal.
                write!(f, " (id {})", self.id.escape_debug())?;
            }
            f.write_str(", ")?;
        }
        write!(f, "line {}", self.line)
    }
}

/// What is wrong at a [`Place`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file starts with something else than a header.
    #[error("found {} before the first header, expected '>' (FASTA) or '@' (FASTQ)", Byte(*.found))]
    NoHeader {
        /// The first byte.
        found: u8,
    },
    /// A FASTQ record does not start with `@`.
    #[error("found {} where a record should start with '@'", Byte(*.found))]
    HeaderMark {
        /// The first byte of the line.
        found: u8,
    },
    /// A header holds a byte that a name cannot have.
    #[error("the header holds {}", Byte(*.found))]
    HeaderByte {
        /// The byte.
        found: u8,
    },
    /// The id is not UTF-8.
    #[error("the id is not UTF-8 text")]
    IdEncoding,
    /// Lines end in a carriage return alone.
    #[error("found a carriage return inside a line: line ends must be LF or CRLF")]
    CarriageReturn,
    /// A letter of the sequence is no nucleotide code.
    #[error("{} at column {column} is not a nucleotide code{}", Byte(*.found), if *.protein { "; the sequence looks like protein" } else { "" })]
    Letter {
        /// The byte.
        found: u8,
        /// Its place in the line, from 1.
        column: u64,
        /// Whether the line reads as amino acids.
        protein: bool,
    },
    /// A quality letter is outside `!` to `~`.
    #[error("{} at column {column} is not a quality letter ('!' to '~')", Byte(*.found))]
    QualityLetter {
        /// The byte.
        found: u8,
        /// Its place in the line, from 1.
        column: u64,
    },
    /// Quality and sequence differ in length.
    #[error("quality has {quality} letters, sequence {sequence}")]
    QualityLength {
        /// Letters of quality.
        quality: usize,
        /// Letters of sequence.
        sequence: usize,
    },
    /// The third line of a FASTQ record is not the separator.
    #[error("found {} where '+' should separate sequence and quality", found.map_or("an empty line".to_owned(), |byte| Byte(byte).to_string()))]
    MissingPlus {
        /// The first byte of the line; none when it is empty.
        found: Option<u8>,
    },
    /// The sequence of a FASTQ record goes on in the next line.
    #[error(
        "the sequence goes on in a second line: multi-line FASTQ is not read, write each record on four lines"
    )]
    MultiLine,
    /// The separator repeats a name, but not this record's.
    #[error("the '+' line names {}, the header {}", found.escape_debug(), expected.escape_debug())]
    PlusName {
        /// The header.
        expected: String,
        /// The text after `+`.
        found: String,
    },
    /// The file ends inside a FASTQ record.
    #[error("the file ends before the record's {missing}")]
    Truncated {
        /// The part that is not there.
        missing: &'static str,
    },
    /// A record is larger than the reader's limit.
    #[error("the record is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

/// Shows a byte so that a person can find it: letters quoted, everything else by its number.
pub(crate) struct Byte(pub(crate) u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b' ' => f.write_str("a space"),
            b'\t' => f.write_str("a tab"),
            0 => f.write_str("a NUL byte"),
            byte if byte.is_ascii_graphic() => write!(f, "'{}'", char::from(byte)),
            byte => write!(f, "byte 0x{byte:02x}"),
        }
    }
}
