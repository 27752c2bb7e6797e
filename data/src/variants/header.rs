use std::io::{self, BufRead};
use std::path::Path;

use super::columns::Columns;
use super::{Delimiter, Error, Fault};
use crate::fastx::lines::{Line, Lines};

/// The format of a file of variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Variant Call Format.
    Vcf,
    /// A table with a header line.
    Table(Delimiter),
}

impl Format {
    /// The format that the suffix of an output names: `vcf`, `tsv` or `csv`; `.gz`, `.bgz` and `.bgzf` may follow.
    pub fn from_path(path: &Path) -> Result<Self, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let name = BGZF.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name);
        match name.rsplit_once('.') {
            Some((_, "vcf")) => Ok(Self::Vcf),
            Some((_, "tsv" | "tab" | "txt")) => Ok(Self::Table(Delimiter::Tab)),
            Some((_, "csv")) => Ok(Self::Table(Delimiter::Comma)),
            _ => Err(Error::UnknownFormat { path: path.display().to_string() }),
        }
    }
}

const BGZF: [&str; 3] = [".gz", ".bgz", ".bgzf"];

/// Whether an output of this name is compressed.
pub(super) fn is_bgzf(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    BGZF.iter().any(|suffix| name.ends_with(suffix))
}

/// All that comes before the first record.
#[derive(Debug, Clone)]
pub struct Header {
    pub(super) format: Format,
    /// Lines that start with `##`.
    pub(super) meta: Vec<Vec<u8>>,
    /// The line with the names of the columns.
    pub(super) columns: Vec<u8>,
    pub(super) width: usize,
    /// Of a table.
    pub(super) table: Option<Columns>,
}

/// The first columns of VCF.
const VCF: &[u8] = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO";

impl Header {
    /// VCF, or a table.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The contigs that a VCF header names, in its order.
    pub fn contigs(&self) -> Vec<String> {
        let contig =
            |line: &Vec<u8>| structured(line).filter(|(key, _)| key == b"contig").map(|(_, id)| id.to_vec());
        self.meta.iter().filter_map(contig).filter_map(|id| String::from_utf8(id).ok()).collect()
    }

    /// Reads up to the first record.
    pub(super) fn read(lines: &mut Lines<impl BufRead>, limit: usize) -> io::Result<Result<Self, Fault>> {
        let (mut meta, mut size) = (Vec::new(), 0);
        let columns = loop {
            let mut line = Vec::new();
            match lines.read(&mut line, limit)? {
                Line::End => return Ok(Err(Fault::NoHeader)),
                Line::TooLong => return Ok(Err(Fault::TooLong { limit })),
                Line::Read if line.starts_with(b"##") => {
                    size += line.len();
                    if size > limit {
                        return Ok(Err(Fault::TooLong { limit }));
                    }
                    meta.push(line);
                }
                Line::Read if line.is_empty() => {}
                Line::Read => break line,
            }
        };
        Ok(Self::of(meta, columns))
    }

    fn of(meta: Vec<Vec<u8>>, columns: Vec<u8>) -> Result<Self, Fault> {
        let mut cells = Vec::new();
        let rest = columns.strip_prefix(VCF);
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"\t")) {
            Delimiter::Tab.split(&columns, &mut cells)?;
            return Ok(Self { format: Format::Vcf, meta, columns, width: cells.len(), table: None });
        }
        if meta.first().is_some_and(|line| line.starts_with(b"##fileformat=VCF")) {
            return Err(Fault::ColumnLine { found: String::from_utf8_lossy(&columns).into_owned() });
        }
        let delimiter = Delimiter::of(&columns);
        delimiter.split(&columns, &mut cells)?;
        let names: Vec<String> = cells
            .iter()
            .map(|cell| String::from_utf8_lossy(&delimiter.text(&columns[cell.clone()])).into_owned())
            .collect();
        let table = Some(Columns::find(&names)?);
        Ok(Self { format: Format::Table(delimiter), meta, width: names.len(), columns, table })
    }
}

/// The key and the `ID` of a line such as `##INFO=<ID=DP,...>`.
pub(super) fn structured(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.strip_prefix(b"##")?;
    let (key, value) = line.split_at(memchr::memchr(b'=', line)?);
    let mut rest = value.strip_prefix(b"=<")?;
    loop {
        let end = end_of_entry(rest);
        if let Some(id) = rest[..end].strip_prefix(b"ID=") {
            return Some((key, id));
        }
        rest = rest.get(end..).filter(|rest| rest.starts_with(b","))?.get(1..)?;
    }
}

/// Where an entry between angle brackets ends: at a comma or bracket that is not inside quotes.
fn end_of_entry(text: &[u8]) -> usize {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' | b'>' if !is_quoted => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_wherever_they_stand() {
        let id = |line: &'static str| {
            structured(line.as_bytes())
                .map(|(key, id)| [key, id].map(|text| std::str::from_utf8(text).unwrap()))
        };
        assert_eq!(id("##INFO=<ID=DP,Number=1>"), Some(["INFO", "DP"]));
        assert_eq!(id("##INFO=<Description=\"a,ID=x>\\\"\",ID=DP>"), Some(["INFO", "DP"]));
        assert_eq!(id("##contig=<ID=chr1>"), Some(["contig", "chr1"]));
        assert_eq!(id("##reference=a.fa"), None);
        assert_eq!(id("##META=<Number=1"), None);
    }

    #[test]
    fn suffixes_name_formats() {
        let format = |path: &str| Format::from_path(Path::new(path));
        assert_eq!(format("a/b.vcf").unwrap(), Format::Vcf);
        assert_eq!(format("b.VCF.GZ").unwrap(), Format::Vcf);
        assert_eq!(format("b.tsv.bgz").unwrap(), Format::Table(Delimiter::Tab));
        assert_eq!(format("b.csv").unwrap(), Format::Table(Delimiter::Comma));
        assert!(matches!(format("b.bcf"), Err(Error::UnknownFormat { .. })));
        assert!(matches!(format("vcf"), Err(Error::UnknownFormat { .. })));
        assert!(is_bgzf(Path::new("a.vcf.gz")) && !is_bgzf(Path::new("a.vcf")));
    }
}
