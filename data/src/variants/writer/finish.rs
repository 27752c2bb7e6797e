//! From the spool and the source to the final file.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value};

use super::entry::Entry;
use super::output::Output;
use super::rows::Rows;
use super::sort::{self, Key, Sorter};
use super::{Writer, vcf};
use crate::export::{self, AtomicFile, Item, metadata_path};
use crate::variants::header::is_bgzf;
use crate::variants::{Error, Field, Format, Header, Reader, Record, Result};

/// How to write the final file.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a> {
    /// The order of the records.
    pub order: Order,
    /// What made the scores: model, options, version. It goes to `<OUT>.meta.json`, and to the header of a VCF file.
    pub metadata: &'a Map<String, Value>,
    /// Whether an existing file may be replaced.
    pub force: bool,
}

/// The order of the records of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// That of the source.
    Source,
    /// By contig and position; records of one position stay in the order of the source. Contigs come in the order of the
    /// VCF header, those that it does not name in the order of their first records.
    ///
    /// Lines are sorted in at most 256 MiB of memory; more of them are sorted in pieces that go to temporary files in the folder
    /// of the output, which together are as large as the output is uncompressed.
    Position,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records.
    pub records: u64,
    /// Their alternates.
    pub alternates: u64,
    /// Alternates that miss a value, by the code of the reason.
    pub skipped: BTreeMap<String, u64>,
}

/// A record with its scores.
pub(super) struct Scored<'a> {
    pub(super) record: &'a Record,
    pub(super) entry: &'a Entry,
    pub(super) fields: &'a [Field],
    /// A row for each alternate.
    pub(super) values: &'a [f32],
}

impl Scored<'_> {
    pub(super) fn alternates(&self) -> usize {
        self.record.alternates.len()
    }

    pub(super) fn value(&self, alternate: usize, field: usize) -> Option<f32> {
        let value = self.values[alternate * self.fields.len() + field];
        (!value.is_nan()).then_some(value)
    }

    /// The values of a field for the first `count` alternates, with commas between.
    pub(super) fn write_values(&self, field: usize, count: usize, none: &[u8], out: &mut Vec<u8>) {
        for alternate in 0..count {
            if alternate > 0 {
                out.push(b',');
            }
            match self.value(alternate, field) {
                Some(value) => self.fields[field].write(value, out),
                None => out.extend_from_slice(none),
            }
        }
    }

    /// The codes of all alternates, with commas between; `none` for all together when no alternate has one.
    pub(super) fn write_codes(&self, none: &[u8], out: &mut Vec<u8>) {
        if self.entry.codes().next().is_none() {
            return out.extend_from_slice(none);
        }
        for alternate in 0..self.alternates() {
            if alternate > 0 {
                out.push(b',');
            }
            out.extend_from_slice(self.entry.code(alternate).map_or(none, str::as_bytes));
        }
    }
}

impl Writer {
    /// Reads the source again, writes it with its scores as the suffix of `out` says (`vcf`, `tsv` or `csv`, with `.gz`,
    /// `.bgz` or `.bgzf` as bgzf), and removes the folder of the spool.
    ///
    /// Bytes of the source stay what they are, but for line ends, which become LF, and empty lines, which go.
    ///
    /// The file gets its name last: where it is, its metadata (`<OUT>.meta.json`) is too.
    pub fn finish(self, source: Reader, finish: &Finish<'_>) -> Result<Summary> {
        let path = self.spool.out().to_owned();
        let format = Format::from_path(&path)?;
        let mut out = Output::create(&path, is_bgzf(&path), finish.force)?;
        let summary = self.write_records(source, format, finish, &mut out, &path, sort::MEMORY)?;
        let mut metadata = AtomicFile::create(metadata_path(&path), true)?;
        let io = |source| export::Error::Io { path: metadata_path(&path), source };
        serde_json::to_writer_pretty(&mut metadata, finish.metadata).map_err(export::Error::from)?;
        metadata.write_all(b"\n").map_err(io)?;
        if finish.force {
            // An old file beside new metadata would look like one result.
            export::remove_if_there(&path)?;
        }
        metadata.commit()?;
        out.commit(&path)?;
        self.spool.discard()?;
        Ok(summary)
    }

    /// Reads the source again and writes it with its scores to `out`, such as standard output, uncompressed. The folder of
    /// the spool stays.
    pub fn write(
        &self,
        source: Reader,
        format: Format,
        finish: &Finish<'_>,
        out: &mut dyn Write,
    ) -> Result<Summary> {
        let path = self.spool.out();
        self.write_records(source, format, finish, out, path, sort::MEMORY)
    }

    /// `memory` bounds the bytes that sorting holds.
    pub(super) fn write_records(
        &self,
        mut source: Reader,
        format: Format,
        finish: &Finish<'_>,
        out: &mut dyn Write,
        path: &Path,
        memory: usize,
    ) -> Result<Summary> {
        let mut lines = Lines::new(source.header(), &self.fields, format, source.name())?;
        let io = |source| export::Error::Io { path: path.to_owned(), source };
        let mut text = Vec::new();
        lines.write_header(source.header(), &self.fields, finish.metadata, &mut text);
        out.write_all(&text).map_err(io)?;
        let mut ranks = Ranks::new(source.header());
        let mut sorter = (finish.order == Order::Position).then(|| Sorter::new(path, memory));
        let mut summary = Summary::default();
        let mut rows = self.spool.read()?;
        let (mut record, mut row, mut values) = (Record::default(), Vec::new(), Vec::new());
        while source.read_record(&mut record)? {
            let entry = rows.next_item()?.filter(|entry| entry.rows() == record.alternates.len() as u64);
            let Some(entry) = entry else { return Err(self.source_changed(&source, &record)) };
            values.clear();
            for _ in 0..entry.rows() {
                rows.read_row(&mut row)?;
                values.extend_from_slice(&row);
            }
            summary.add(&entry);
            text.clear();
            let scored = Scored { record: &record, entry: &entry, fields: &self.fields, values: &values };
            lines.write(&scored, &mut text);
            match &mut sorter {
                None => out.write_all(&text).map_err(io)?,
                Some(sorter) => {
                    let key = Key { contig: ranks.of(&record.contig), position: record.position };
                    sorter.push(key, &text).map_err(io)?;
                }
            }
        }
        if summary.records < self.completed() {
            let what = format!("it has {} records, {} were scored", summary.records, self.completed());
            return Err(Error::SourceChanged { file: source.name().to_owned(), what });
        }
        sorter.map_or(Ok(()), |sorter| sorter.write(out)).and_then(|()| out.flush()).map_err(io)?;
        Ok(summary)
    }

    fn source_changed(&self, source: &Reader, record: &Record) -> Error {
        let what = if record.number > self.completed() {
            format!("it has more than the {} records that were scored", self.completed())
        } else {
            format!("line {} has another number of alternates than when it was scored", record.line)
        };
        Error::SourceChanged { file: source.name().to_owned(), what }
    }
}

impl Summary {
    fn add(&mut self, entry: &Entry) {
        self.records += 1;
        self.alternates += entry.rows();
        for code in entry.codes() {
            match self.skipped.get_mut(code) {
                Some(count) => *count += 1,
                None => drop(self.skipped.insert(code.to_owned(), 1)),
            }
        }
    }
}

/// The form of the output's lines.
enum Lines {
    Vcf(Vec<Range<usize>>),
    Table(Rows),
}

impl Lines {
    fn new(header: &Header, fields: &[Field], format: Format, file: &str) -> Result<Self> {
        match (header.format(), format) {
            (Format::Vcf, Format::Vcf) => Ok(Self::Vcf(Vec::new())),
            (Format::Table(_), Format::Vcf) => Err(Error::NotVcf { file: file.to_owned() }),
            (_, Format::Table(delimiter)) => Ok(Self::Table(Rows::new(header, fields, delimiter))),
        }
    }

    fn write_header(
        &mut self,
        header: &Header,
        fields: &[Field],
        metadata: &Map<String, Value>,
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Vcf(_) => vcf::write_header(header, fields, metadata, out),
            Self::Table(rows) => rows.write_header(header, fields, out),
        }
    }

    fn write(&mut self, scored: &Scored<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Vcf(cells) => vcf::write_line(scored, cells, out),
            Self::Table(rows) => rows.write_lines(scored, out),
        }
    }
}

/// The order of contigs.
struct Ranks(HashMap<String, u32>);

impl Ranks {
    fn new(header: &Header) -> Self {
        let mut ranks = Self(HashMap::new());
        for contig in header.contigs() {
            ranks.of(&contig);
        }
        ranks
    }

    fn of(&mut self, contig: &str) -> u32 {
        if let Some(&rank) = self.0.get(contig) {
            return rank;
        }
        let rank = self.0.len() as u32;
        self.0.insert(contig.to_owned(), rank);
        rank
    }
}
