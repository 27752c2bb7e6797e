use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::{Error, Result};
use crate::fastx::lines::{Line, Lines};
use crate::fastx::sniff::{self, Opened, Raw};
use crate::fastx::text::Text;

/// A line of a BED file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// The contig.
    pub contig: String,
    /// Its bases, from 0, half open.
    pub range: Range<u64>,
    /// The name; none where the line has none, or a `.`.
    pub name: Option<String>,
    /// Whether the strand is `-`.
    pub reverse: bool,
}

/// What is wrong with a line of a BED file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BedFault {
    /// The line has fewer than three columns.
    #[error("has {found} of the three columns contig, start and end, parted by tabs")]
    Columns {
        /// Columns that are there.
        found: usize,
    },
    /// A place is no number.
    #[error("the {column} {} is no whole number", found.escape_debug())]
    Number {
        /// `start` or `end`.
        column: &'static str,
        /// What stands there.
        found: String,
    },
    /// The region ends before it starts.
    #[error("ends at {end}, before its start {start}")]
    Reversed {
        /// The start.
        start: u64,
        /// The end.
        end: u64,
    },
    /// The strand is none.
    #[error("the strand is {}, expected +, - or .", found.escape_debug())]
    Strand {
        /// What stands there.
        found: String,
    },
    /// The line is not UTF-8.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// The line is longer than any should be.
    #[error("is longer than {LIMIT} bytes")]
    TooLong,
}

/// Bytes of a line.
const LIMIT: usize = 1 << 20;

/// Reads the regions of a BED file (GA4GH BED v1.0), plain, gzip or bgzf, in order. Empty lines, comments, `track` and
/// `browser` lines are passed over; columns after the sixth are not looked at.
///
/// ```
/// use kilobase_data::regions::Bed;
///
/// let mut bed = Bed::new(&b"# exons\nchr1\t10\t20\tfirst\t0\t-\n"[..], "exons.bed")?;
/// let region = bed.next().unwrap()?;
/// assert_eq!((region.contig.as_str(), region.range, region.reverse), ("chr1", 10..20, true));
/// assert!(bed.next().is_none());
/// # Ok::<(), kilobase_data::regions::Error>(())
/// ```
pub struct Bed {
    name: String,
    /// None after the end.
    lines: Option<Lines<Text>>,
    line: Vec<u8>,
}

impl Bed {
    /// Opens a file; `-` is standard input.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.as_os_str() == "-" {
            return Self::new(io::stdin(), "standard input");
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(Error::io(&name))?;
        Self::new(file, name)
    }

    /// Reads from any stream; `name` stands for it in messages.
    pub fn new(stream: impl Read + Send + 'static, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        match sniff::open(Raw::Stream(Box::new(stream)), 1, Arc::default(), &[]) {
            Ok(Opened::Text(text)) => Ok(Self { name, lines: Some(Lines::new(text)), line: Vec::new() }),
            Ok(Opened::Unsupported(format)) => Err(Error::Unsupported { file: name, format }),
            Err(error) => Err(Error::io(&name)(error)),
        }
    }

    /// The name of the stream as messages give it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.lines.as_ref().map_or(0, |lines| lines.number)
    }

    fn advance(&mut self) -> Result<Option<Region>> {
        let Some(lines) = &mut self.lines else { return Ok(None) };
        loop {
            self.line.clear();
            let fault = match lines.read(&mut self.line, LIMIT).map_err(Error::io(&self.name))? {
                Line::End => return Ok(None),
                Line::TooLong => BedFault::TooLong,
                Line::Read => {
                    match std::str::from_utf8(&self.line).map_err(|_| BedFault::NotUtf8).and_then(parse) {
                        Ok(Some(region)) => return Ok(Some(region)),
                        Ok(None) => continue,
                        Err(fault) => fault,
                    }
                }
            };
            return Err(Error::Bed { file: self.name.clone(), line: lines.number, fault });
        }
    }
}

impl Iterator for Bed {
    type Item = Result<Region>;

    fn next(&mut self) -> Option<Self::Item> {
        let outcome = self.advance();
        if !matches!(outcome, Ok(Some(_))) {
            self.lines = None;
        }
        outcome.transpose()
    }
}

/// The region of a line; none for one that holds none.
fn parse(line: &str) -> Result<Option<Region>, BedFault> {
    let first = line.split_ascii_whitespace().next();
    if first.is_none_or(|word| word.starts_with('#') || matches!(word, "track" | "browser")) {
        return Ok(None);
    }
    let columns: Vec<&str> = line.splitn(7, '\t').collect();
    let [contig, start, end, ..] = columns[..] else {
        return Err(BedFault::Columns { found: columns.len() });
    };
    let number = |column, found: &str| {
        found.parse::<u64>().map_err(|_| BedFault::Number { column, found: found.to_owned() })
    };
    let (start, end) = (number("start", start)?, number("end", end)?);
    if end < start {
        return Err(BedFault::Reversed { start, end });
    }
    let name = columns.get(3).filter(|name| !matches!(**name, "" | ".")).map(|name| (*name).to_owned());
    let reverse = match columns.get(5) {
        None | Some(&("+" | "." | "")) => false,
        Some(&"-") => true,
        Some(found) => return Err(BedFault::Strand { found: (*found).to_owned() }),
    };
    Ok(Some(Region { contig: contig.to_owned(), range: start..end, name, reverse }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<Region>> {
        Bed::new(io::Cursor::new(text.to_owned()), "x.bed")?.collect()
    }

    #[test]
    fn lines_of_three_to_twelve_columns_are_read() {
        let text = "browser position chr1\ntrack name=x\n#c\n\nchr1\t0\t5\r\nchr 2\t7\t7\t.\t0\t+\nc\t1\t9\tname here\t5\t-\t1\t9\t0\t1\t8,\t0,";
        let region = |contig: &str, range, name: Option<&str>, reverse| {
            let (contig, name) = (contig.to_owned(), name.map(str::to_owned));
            Region { contig, range, name, reverse }
        };
        let expected = [
            region("chr1", 0..5, None, false),
            region("chr 2", 7..7, None, false),
            region("c", 1..9, Some("name here"), true),
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn damage_is_named_with_its_line() {
        let error = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(
            error("a\t1\t2\na 3 4\n"),
            "x.bed: line 2: has 1 of the three columns contig, start and end, parted by tabs"
        );
        assert!(error("a\t-1\t2\n").contains("the start -1 is no whole number"));
        assert!(error("a\t1\t1e3\n").contains("the end 1e3"));
        assert!(error("a\t5\t2\n").contains("ends at 2, before its start 5"));
        assert!(error("a\t5\t6\tn\t0\t*\n").contains("the strand is *"));
        assert!(error("\x1f").contains("line 1"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "([a-c]\t[0-9]{0,2}\t[0-9]{1,3}(\t[.n]\t0\t[+.-])?\n){0,9}") {
            crate::regions::check_bed(&bytes);
            crate::regions::check_bed(text.as_bytes());
        }
    }
}
