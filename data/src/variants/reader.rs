use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::columns::Columns;
use super::{Allele, Delimiter, Error, Fault, Format, Header, Place, Record, Result, allele};
use crate::fastx::inflate::Oddities;
use crate::fastx::lines::{Line, Lines};
use crate::fastx::sniff::{self, Opened, Raw};
use crate::fastx::text::Text;
use crate::fastx::{Damage, Warning, WarningKind};

/// The longest line: genotypes of more samples than anyone has, and far below what a small bomb of gzip inflates to.
const LIMIT: usize = 1 << 28;

const FOREIGN: [sniff::Magic; 3] = [(b"BCF\x02", "BCF"), (b"BAM\x01", "BAM"), (b"CRAM", "CRAM")];

/// Reads the records of a VCF file or a table in order, one at a time.
///
/// The format and the compression are told from the content. Empty lines are skipped; every other line is a record or an
/// error. After the first error it yields nothing more.
pub struct Reader {
    name: String,
    /// None once the stream has ended.
    lines: Option<Lines<Text>>,
    header: Header,
    number: u64,
    cells: Vec<Range<usize>>,
    oddities: Arc<Oddities>,
    warnings: Vec<Warning>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("name", &self.name)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens a file and reads its header; `-` is standard input.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.as_os_str() == "-" {
            return Self::new(io::stdin(), "standard input");
        }
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::new(file, name),
            Err(source) => Err(Error::Io { file: name, source }),
        }
    }

    /// Reads the header from any stream; `name` stands for it in messages.
    pub fn new(stream: impl Read + Send + 'static, name: impl Into<String>) -> Result<Self> {
        let (name, oddities) = (name.into(), Arc::default());
        let text = match sniff::open(Raw::Stream(Box::new(stream)), 1, Arc::clone(&oddities), &FOREIGN) {
            Ok(Opened::Text(text)) => text,
            Ok(Opened::Unsupported(format)) => return Err(Error::Unsupported { file: name, format }),
            Err(error) => return Err(io_error(&name, 0, error)),
        };
        let mut lines = Lines::new(text);
        let header = match Header::read(&mut lines, LIMIT) {
            Ok(Ok(header)) => header,
            Ok(Err(fault)) => {
                return Err(Error::Malformed {
                    place: Place { file: name, line: lines.number.max(1) },
                    fault,
                });
            }
            Err(error) => return Err(io_error(&name, 0, error)),
        };
        let (cells, warnings) = (Vec::new(), Vec::new());
        Ok(Self { name, lines: Some(lines), header, number: 0, cells, oddities, warnings })
    }

    /// The name of the stream as messages give it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What came before the first record.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The format that a file called `out` would get, if these variants can be written so: to be asked before the work.
    pub fn check_output(&self, out: &Path) -> Result<Format> {
        match (self.header.format, Format::from_path(out)?) {
            (Format::Table(_), Format::Vcf) => Err(Error::NotVcf { file: self.name.clone() }),
            (_, format) => Ok(format),
        }
    }

    /// What was odd about the stream; complete once it has ended.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Reads the next record into `record`, whose memory is used again. False at the end of the stream.
    pub fn read_record(&mut self, record: &mut Record) -> Result<bool> {
        let outcome = self.advance(record);
        if !matches!(outcome, Ok(true)) && self.lines.take().is_some() {
            for (odd, kind) in [
                (&self.oddities.trailing, WarningKind::TrailingBytes),
                (&self.oddities.no_end_block, WarningKind::NoEndBlock),
            ] {
                if odd.load(Ordering::Relaxed) {
                    self.warnings.push(Warning { kind, count: 1, record: 0, id: String::new() });
                }
            }
        }
        outcome
    }

    fn advance(&mut self, record: &mut Record) -> Result<bool> {
        let Some(lines) = &mut self.lines else { return Ok(false) };
        record.source.clear();
        let fault = loop {
            match lines.read(&mut record.source, LIMIT) {
                Err(error) => return Err(io_error(&self.name, self.number, error)),
                Ok(Line::End) => return Ok(false),
                Ok(Line::TooLong) => break Fault::TooLong { limit: LIMIT },
                Ok(Line::Read) if record.source.is_empty() => {}
                Ok(Line::Read) => {
                    record.number = self.number + 1;
                    record.line = lines.number;
                    match parse(&self.header, &mut self.cells, record) {
                        Ok(()) => {
                            self.number += 1;
                            return Ok(true);
                        }
                        Err(fault) => break fault,
                    }
                }
            }
        };
        Err(Error::Malformed { place: Place { file: self.name.clone(), line: lines.number }, fault })
    }
}

impl Iterator for Reader {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = Record::default();
        match self.read_record(&mut record) {
            Ok(true) => Some(Ok(record)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl std::iter::FusedIterator for Reader {}

fn io_error(file: &str, records: u64, source: io::Error) -> Error {
    let file = file.to_owned();
    match source.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
        Some(damage) => Error::Damaged { file, records, damage: damage.clone() },
        None => Error::Io { file, source },
    }
}

const VCF: Columns = Columns { contig: 0, position: 1, id: Some(2), reference: 3, alternate: 4 };

/// Reads the line in `record.source`.
fn parse(header: &Header, cells: &mut Vec<Range<usize>>, record: &mut Record) -> Result<(), Fault> {
    let (delimiter, columns) = match (header.format, header.table) {
        (Format::Table(delimiter), Some(columns)) => (delimiter, columns),
        _ => (Delimiter::Tab, VCF),
    };
    let line = &record.source;
    delimiter.split(line, cells)?;
    if cells.len() != header.width {
        return Err(Fault::Columns { expected: header.width, found: cells.len() });
    }
    let cell = |at: usize| delimiter.text(&line[cells[at].clone()]);
    record.contig = contig(&cell(columns.contig))?;
    record.position = position(&cell(columns.position))?;
    record.id = columns.id.map(|at| id(&cell(at))).transpose()?.flatten();
    record.reference = reference(&cell(columns.reference))?;
    record.alternates.clear();
    for text in cell(columns.alternate).split(|&byte| byte == b',') {
        let alternate =
            Allele::parse(text).ok_or_else(|| Fault::Allele { column: "ALT", value: lossy(text) })?;
        record.alternates.push(alternate);
    }
    Ok(())
}

fn contig(cell: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(cell).map_err(|_| Fault::Encoding { column: "the contig" })?;
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Fault::Contig { value: text.to_owned() });
    }
    Ok(text.to_owned())
}

fn position(cell: &[u8]) -> Result<u64, Fault> {
    let is_number = cell.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(cell)
        .ok()
        .filter(|_| is_number)
        .and_then(|text| text.parse().ok())
        .filter(|&position| i32::try_from(position).is_ok())
        .ok_or_else(|| Fault::Position { value: lossy(cell) })
}

fn id(cell: &[u8]) -> Result<Option<String>, Fault> {
    let text = std::str::from_utf8(cell).map_err(|_| Fault::Encoding { column: "the id" })?;
    Ok((!matches!(text, "" | ".")).then(|| text.to_owned()))
}

fn reference(cell: &[u8]) -> Result<Vec<u8>, Fault> {
    if matches!(cell, b"." | b"-") {
        return Ok(Vec::new());
    }
    allele::bases(cell).ok_or_else(|| Fault::Allele { column: "REF", value: lossy(cell) })
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
