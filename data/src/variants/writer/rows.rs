//! Tables: the source's columns, then a column for each field and one for the reasons.

use std::ops::Range;

use super::super::{Allele, Delimiter, Field, Format, Header, Number, SKIP};
use super::finish::Scored;

/// What a table has where VCF has a dot: pandas and R read it as a missing number.
const NONE: &[u8] = b"NA";

/// The columns of a table made from VCF, which has a line for each alternate.
const COLUMNS: [&str; 5] = ["chrom", "pos", "id", "ref", "alt"];

/// Writes tables from one source.
pub(super) struct Rows {
    to: Delimiter,
    /// The delimiter of the source; none for VCF.
    from: Option<Delimiter>,
    /// Columns of the source that go into the output: all but those with the name of a field.
    kept: Vec<usize>,
    cells: Vec<Range<usize>>,
}

impl Rows {
    pub(super) fn new(header: &Header, fields: &[Field], to: Delimiter) -> Self {
        let (from, mut cells, mut kept) = (from(header), Vec::new(), Vec::new());
        if let Some(from) = from {
            // The header was split when it was read.
            let _ = from.split(&header.columns, &mut cells);
            let is_ours = |at: &usize| {
                let name = from.text(&header.columns[cells[*at].clone()]);
                names(fields).any(|ours| ours.as_bytes() == name.as_ref())
            };
            kept = (0..cells.len()).filter(|at| !is_ours(at)).collect();
        }
        Self { to, from, kept, cells }
    }

    pub(super) fn write_header(&mut self, header: &Header, fields: &[Field], out: &mut Vec<u8>) {
        if self.from.is_some() {
            for line in &header.meta {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            self.write_source(&header.columns, out);
        } else {
            out.extend_from_slice(COLUMNS.join(self.separator()).as_bytes());
        }
        for name in names(fields) {
            out.push(self.to.byte());
            out.extend_from_slice(name.as_bytes());
        }
        out.push(b'\n');
    }

    pub(super) fn write_lines(&mut self, scored: &Scored<'_>, out: &mut Vec<u8>) {
        if self.from.is_some() {
            self.write_source(scored.record.source(), out);
            let many = scored.alternates();
            for (at, field) in scored.fields.iter().enumerate() {
                out.push(self.to.byte());
                let count = if field.number == Number::PerRecord { 1 } else { many };
                self.write_list(out, |list| scored.write_values(at, count, NONE, list));
            }
            out.push(self.to.byte());
            self.write_list(out, |list| scored.write_codes(NONE, list));
            out.push(b'\n');
            return;
        }
        for alternate in 0..scored.alternates() {
            self.write_variant(scored, alternate, out);
            for (at, field) in scored.fields.iter().enumerate() {
                out.push(self.to.byte());
                match scored.value(alternate, at) {
                    Some(value) => field.write(value, out),
                    None => out.extend_from_slice(NONE),
                }
            }
            out.push(self.to.byte());
            out.extend_from_slice(scored.entry.code(alternate).map_or(NONE, str::as_bytes));
            out.push(b'\n');
        }
    }

    /// Lists of several alternates have commas.
    fn write_list(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let mut list = Vec::new();
        write(&mut list);
        self.to.write_text(&list, out);
    }

    /// The cells of a line of a table: the bytes of the source where the delimiter stays, their text where it does not.
    fn write_source(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(from) = self.from else { return };
        if from.split(line, &mut self.cells).is_err() {
            return;
        }
        for (number, &at) in self.kept.iter().enumerate() {
            if number > 0 {
                out.push(self.to.byte());
            }
            let cell = &line[self.cells[at].clone()];
            if from == self.to {
                out.extend_from_slice(cell);
            } else {
                self.to.write_text(&from.text(cell), out);
            }
        }
    }

    fn write_variant(&self, scored: &Scored<'_>, alternate: usize, out: &mut Vec<u8>) {
        let record = scored.record;
        let position = record.position.to_string();
        let reference: &[u8] = if record.reference.is_empty() { b"." } else { &record.reference };
        let alternate = match &record.alternates[alternate] {
            Allele::Sequence(bases) => bases,
            Allele::Symbolic(text) | Allele::Breakend(text) => text.as_bytes(),
            Allele::Missing => b".",
            Allele::Star => b"*",
        };
        let id = record.id.as_deref().unwrap_or(".");
        for (number, cell) in
            [record.contig.as_bytes(), position.as_bytes(), id.as_bytes(), reference, alternate]
                .iter()
                .enumerate()
        {
            if number > 0 {
                out.push(self.to.byte());
            }
            self.to.write_text(cell, out);
        }
    }

    fn separator(&self) -> &'static str {
        match self.to {
            Delimiter::Tab => "\t",
            Delimiter::Comma => ",",
        }
    }
}

fn from(header: &Header) -> Option<Delimiter> {
    match header.format() {
        Format::Table(delimiter) => Some(delimiter),
        Format::Vcf => None,
    }
}

/// The columns that are added.
fn names(fields: &[Field]) -> impl Iterator<Item = String> {
    fields.iter().map(|field| field.id.as_str()).chain([SKIP]).map(str::to_ascii_lowercase)
}
