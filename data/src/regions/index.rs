//! Where the bases of a FASTA file lie: the contents of a `.fai` file (samtools faidx).

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::ops::Range;

use super::bytes::Bytes;

/// One contig: a line of a `.fai` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Bases.
    pub(super) length: u64,
    /// The byte of the first base.
    pub(super) offset: u64,
    /// Bases of each line but the last.
    pub(super) line_bases: u64,
    /// Bytes of each line but the last, line end included.
    pub(super) line_bytes: u64,
}

impl Entry {
    /// The bytes in which the bases of `range` lie, with the line ends between them.
    pub(super) fn bytes(&self, range: &Range<u64>) -> Range<u64> {
        if range.is_empty() {
            return self.offset..self.offset;
        }
        self.byte(range.start)..self.byte(range.end - 1) + 1
    }

    fn byte(&self, base: u64) -> u64 {
        self.offset + base / self.line_bases * self.line_bytes + base % self.line_bases
    }

    fn end(&self) -> u64 {
        self.bytes(&(0..self.length)).end
    }
}

/// Why an index file was not used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stale {
    /// A line is not one of an index.
    Line {
        /// The line, from 1.
        line: usize,
    },
    /// A contig is not at the place that the index gives.
    Place {
        /// The contig.
        contig: String,
    },
    /// The file has sequence after the last contig of the index.
    Longer,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line } => write!(f, "its line {line} is not one of an index"),
            Self::Place { contig } => write!(f, "contig {} is not where it says", contig.escape_debug()),
            Self::Longer => f.write_str("the sequences go on after its last contig"),
        }
    }
}

/// What comparing an index with its file gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Fresh,
    Stale(Stale),
    /// The file ends before this contig does.
    Short {
        contig: String,
        missing: u64,
    },
}

/// Reads the text of a `.fai` file. Sums that its numbers lead to are checked here once, so that no later one overflows.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Entry>, Stale> {
    let mut entries = Vec::new();
    let mut names = HashSet::new();
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let entry = parse_line(line).ok_or(Stale::Line { line: number + 1 })?;
        if !names.insert(entry.name.clone()) {
            return Err(Stale::Line { line: number + 1 });
        }
        entries.push(entry);
    }
    if entries.is_empty() { Err(Stale::Line { line: 1 }) } else { Ok(entries) }
}

fn parse_line(line: &[u8]) -> Option<Entry> {
    let mut cells = std::str::from_utf8(line).ok()?.split('\t');
    let name = cells.next()?.to_owned();
    let mut number = || cells.next()?.parse::<u64>().ok();
    let (length, offset, line_bases, line_bytes) = (number()?, number()?, number()?, number()?);
    let entry = Entry { name, length, offset, line_bases, line_bytes };
    if length == 0 {
        return Some(Entry { line_bases: 1, line_bytes: 1, ..entry });
    }
    // The index of a FASTQ file has a sixth column.
    let is_whole = line_bases > 0 && line_bytes >= line_bases && cells.next().is_none();
    let lines = (length - 1).checked_div(line_bases)?;
    lines.checked_mul(line_bytes)?.checked_add(line_bases)?.checked_add(offset)?;
    is_whole.then_some(entry)
}

/// Contigs looked at for freshness: all of a genome, a sample of an assembly with a million pieces.
const LOOKED_AT: usize = 256;

/// Whether `entries` speak of the file at hand: its length, and the headers before the contigs.
pub(super) fn check(entries: &[Entry], bytes: &mut Bytes) -> io::Result<Fit> {
    let mut ordered: Vec<&Entry> = entries.iter().collect();
    ordered.sort_by_key(|entry| (entry.offset, entry.length));
    let Some(last) = ordered.last() else { return Ok(Fit::Stale(Stale::Longer)) };
    let length = bytes.length()?;
    if last.end() > length {
        return Ok(Fit::Short { contig: last.name.clone(), missing: last.end() - length });
    }
    // Line ends may follow the last base; a file with more than a few of them is scanned, which is no harm.
    let tail = read(bytes, last.end()..length.min(last.end() + 64))?;
    if length > last.end() + 64 || tail.iter().any(|byte| !byte.is_ascii_whitespace()) {
        return Ok(Fit::Stale(Stale::Longer));
    }
    let step = ordered.len().div_ceil(LOOKED_AT);
    let looked_at = (0..ordered.len()).step_by(step).chain([ordered.len() - 1]);
    for at in looked_at {
        let before = at.checked_sub(1).map_or(0, |before| ordered[before].end());
        if !has_header(ordered[at], before, bytes)? {
            return Ok(Fit::Stale(Stale::Place { contig: ordered[at].name.clone() }));
        }
    }
    Ok(Fit::Fresh)
}

/// Whether nothing but the header of the contig lies between the contig before it and its first base.
fn has_header(entry: &Entry, before: u64, bytes: &mut Bytes) -> io::Result<bool> {
    const LONGEST: u64 = 1 << 20;
    if entry.offset < before || entry.offset - before > LONGEST {
        return Ok(false);
    }
    let gap = read(bytes, before..entry.offset)?;
    let gap = gap.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&gap).trim_ascii_start();
    let Some(header) = gap.strip_prefix(b">").and_then(|gap| gap.strip_suffix(b"\n")) else {
        // An empty last contig may have a header without a line end.
        return Ok(entry.length == 0 && gap.strip_prefix(b">") == Some(entry.name.as_bytes()));
    };
    let one_line = !header.trim_ascii_end().contains(&b'\n');
    let name_ends = header.get(entry.name.len()).is_none_or(u8::is_ascii_whitespace);
    Ok(one_line && name_ends && header.starts_with(entry.name.as_bytes()))
}

fn read(bytes: &mut Bytes, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    bytes.read(range, &mut out)?;
    Ok(out)
}
