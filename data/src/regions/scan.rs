//! One pass over a FASTA text that finds where the bases lie, in memory that does not grow with the lines.

use std::collections::HashSet;
use std::io::{self, BufRead};

use super::index::Entry;
use super::{Error, Result};
use crate::alphabet;
use crate::fastx::Fault;
use crate::fastx::header::Header;

/// The longest header line.
const HEADER: usize = 1 << 20;

/// What a pass over the text gives.
#[derive(Debug)]
pub(super) enum Layout {
    /// Every contig has lines of one length, so that the place of a base can be computed.
    Even(Vec<Entry>),
    /// Some contig has lines of several lengths.
    Ragged,
}

/// Reads a whole FASTA text and checks every letter.
pub(super) fn scan(mut text: impl BufRead, file: &str) -> Result<Layout> {
    let mut scan = Scan { file, ..Scan::default() };
    loop {
        let chunk = match text.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io(file)(error)),
        };
        if chunk.is_empty() {
            break;
        }
        let length = chunk.len();
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            scan.piece(&rest[..end])?;
            scan.offset += 1;
            scan.end_line(1)?;
            rest = &rest[end + 1..];
        }
        scan.piece(rest)?;
        text.consume(length);
    }
    scan.end_line(0)?;
    if scan.entries.is_empty() {
        return Err(Error::Empty { file: file.to_owned() });
    }
    Ok(if scan.is_ragged { Layout::Ragged } else { Layout::Even(scan.entries) })
}

#[derive(Default)]
struct Scan<'a> {
    file: &'a str,
    /// Bytes read.
    offset: u64,
    /// Lines ended.
    lines: u64,
    line: Line,
    entries: Vec<Entry>,
    names: HashSet<String>,
    /// The last contig has had a line after which only empty ones may come.
    has_ended: bool,
    is_ragged: bool,
}

/// The line at hand, as far as it was read.
#[derive(Default)]
enum Line {
    #[default]
    Start,
    Header(Vec<u8>),
    Sequence {
        start: u64,
        bases: u64,
        /// A carriage return was met, which must be the last byte of the line.
        has_return: bool,
    },
}

impl Scan<'_> {
    /// Takes a piece of a line; it holds no line feed.
    fn piece(&mut self, mut piece: &[u8]) -> Result<()> {
        if self.offset == 0
            && let Some(rest) = piece.strip_prefix(b"\xef\xbb\xbf")
        {
            self.offset = 3;
            piece = rest;
        }
        let Some(&first) = piece.first() else { return Ok(()) };
        if matches!(self.line, Line::Start) {
            self.line = match first {
                b'>' => Line::Header(Vec::new()),
                b'\r' => Line::Sequence { start: self.offset, bases: 0, has_return: false },
                _ if self.entries.is_empty() => {
                    return Err(Error::NotFasta {
                        file: self.file.to_owned(),
                        line: self.lines + 1,
                        found: first,
                    });
                }
                _ => Line::Sequence { start: self.offset, bases: 0, has_return: false },
            };
        }
        self.offset += piece.len() as u64;
        match &mut self.line {
            Line::Start => Ok(()),
            Line::Header(header) if header.len() + piece.len() <= HEADER => {
                header.extend_from_slice(piece);
                Ok(())
            }
            Line::Header(_) => Err(self.header_error(Fault::TooLarge { limit: HEADER })),
            Line::Sequence { bases, has_return, .. } => {
                let letters = piece.strip_suffix(b"\r").unwrap_or(piece);
                // A return inside the line is met as a letter, or, at the end of an earlier piece, here.
                let foreign = if *has_return {
                    Some((0, b'\r'))
                } else {
                    alphabet::find_foreign(letters).map(|at| (at, letters[at]))
                };
                let line_base = *bases;
                *bases += letters.len() as u64;
                *has_return = letters.len() < piece.len();
                match foreign {
                    None => Ok(()),
                    Some((at, found)) => Err(self.letter_error(line_base + at as u64, found)),
                }
            }
        }
    }

    /// Ends the line at hand, whose line feed has `feed` bytes.
    fn end_line(&mut self, feed: u64) -> Result<()> {
        let number = self.lines + 1;
        self.lines += feed;
        match std::mem::take(&mut self.line) {
            Line::Start => {
                self.has_ended = true;
                Ok(())
            }
            Line::Header(line) => self.begin_contig(&line, number),
            Line::Sequence { start, bases, has_return } => {
                if bases == 0 {
                    self.has_ended = true;
                } else {
                    self.add_line(start, bases, bases + u64::from(has_return) + feed);
                }
                Ok(())
            }
        }
    }

    fn begin_contig(&mut self, line: &[u8], number: u64) -> Result<()> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let header = Header::parse(&line[1..]).map_err(|fault| Error::Header {
            file: self.file.to_owned(),
            line: number,
            fault,
        })?;
        let name = header.id.to_owned();
        if !self.names.insert(name.clone()) {
            return Err(Error::DuplicateContig { file: self.file.to_owned(), contig: name });
        }
        self.has_ended = false;
        let offset = self.offset;
        self.entries.push(Entry { name, length: 0, offset, line_bases: 1, line_bytes: 1 });
        Ok(())
    }

    fn add_line(&mut self, start: u64, bases: u64, bytes: u64) {
        let Some(contig) = self.entries.last_mut() else { return };
        if contig.length == 0 {
            // Empty lines between header and sequence do not matter, those after a line do.
            *contig = Entry { offset: start, line_bases: bases, line_bytes: bytes, ..contig.clone() };
            self.has_ended = false;
        } else {
            self.is_ragged |= self.has_ended || bases > contig.line_bases;
            // Lines that end in another way are as good as shorter ones: they may only come last.
            self.has_ended = bases < contig.line_bases || bytes != contig.line_bytes;
        }
        contig.length += bases;
    }

    fn letter_error(&self, line_base: u64, found: u8) -> Error {
        let (contig, before) =
            self.entries.last().map_or((String::new(), 0), |contig| (contig.name.clone(), contig.length));
        Error::Letter { file: self.file.to_owned(), contig, position: before + line_base + 1, found }
    }

    fn header_error(&self, fault: Fault) -> Error {
        Error::Header { file: self.file.to_owned(), line: self.lines + 1, fault }
    }
}
