//! Cells of a line, separated by tabs, or by commas with quotes (RFC 4180).

use std::borrow::Cow;
use std::ops::Range;

use super::Fault;

/// What separates the cells of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delimiter {
    /// A tab. There are no quotes: a cell has every byte but tabs and line ends.
    Tab,
    /// A comma. A cell in double quotes may have commas, and two quotes for one; a line end in it is not read.
    Comma,
}

impl Delimiter {
    /// The byte.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Tab => b'\t',
            Self::Comma => b',',
        }
    }

    /// The delimiter of a table with this header line.
    pub(super) fn of(header: &[u8]) -> Self {
        if memchr::memchr(b'\t', header).is_some() { Self::Tab } else { Self::Comma }
    }

    /// Finds the cells of a line; quotes are part of them.
    pub(super) fn split(self, line: &[u8], cells: &mut Vec<Range<usize>>) -> Result<(), Fault> {
        cells.clear();
        let mut start = 0;
        loop {
            let end = match (self, line.get(start)) {
                (Self::Comma, Some(b'"')) => end_of_quoted(line, start)?,
                _ => memchr::memchr(self.byte(), &line[start..]).map_or(line.len(), |at| start + at),
            };
            cells.push(start..end);
            if end == line.len() {
                return Ok(());
            }
            start = end + 1;
        }
    }

    /// The text of a cell that [`split`](Self::split) found.
    pub(super) fn text(self, cell: &[u8]) -> Cow<'_, [u8]> {
        let quoted = cell.strip_prefix(b"\"").and_then(|cell| cell.strip_suffix(b"\""));
        let Some(quoted) = quoted.filter(|_| self == Self::Comma) else { return Cow::Borrowed(cell) };
        let mut text = Vec::with_capacity(quoted.len());
        let mut rest = quoted;
        while let Some(at) = memchr::memchr(b'"', rest) {
            text.extend_from_slice(&rest[..=at]);
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        text.extend_from_slice(rest);
        Cow::Owned(text)
    }

    /// Appends a cell of this text to `out`. Tables with tabs have no quotes: a tab in a cell is written as `\t`.
    pub(super) fn write_text(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Tab => {
                for &byte in text {
                    match byte {
                        b'\t' => out.extend_from_slice(b"\\t"),
                        byte => out.push(byte),
                    }
                }
            }
            Self::Comma if text.iter().any(|byte| matches!(byte, b',' | b'"')) => {
                out.push(b'"');
                for &byte in text {
                    out.extend(std::iter::repeat_n(byte, if byte == b'"' { 2 } else { 1 }));
                }
                out.push(b'"');
            }
            Self::Comma => out.extend_from_slice(text),
        }
    }
}

/// One past the closing quote of the cell at `start`.
fn end_of_quoted(line: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr(b'"', line.get(at..).unwrap_or_default()).ok_or(Fault::Quote)? + 1;
        match line.get(at) {
            Some(b'"') => at += 1,
            None | Some(b',') => return Ok(at),
            Some(_) => return Err(Fault::Quote),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(delimiter: Delimiter, line: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
        let mut found = Vec::new();
        delimiter.split(line, &mut found)?;
        Ok(found.into_iter().map(|cell| delimiter.text(&line[cell]).into_owned()).collect())
    }

    #[test]
    fn quotes_count_in_tables_with_commas_only() {
        let comma = |line: &str| cells(Delimiter::Comma, line.as_bytes());
        assert_eq!(comma("a,\"b,\"\"c\"\"\",").unwrap(), [&b"a"[..], b"b,\"c\"", b""]);
        assert_eq!(comma("a\"b,c").unwrap(), [&b"a\"b"[..], b"c"]);
        assert_eq!(comma("\"a"), Err(Fault::Quote));
        assert_eq!(comma("\"a\"b,c"), Err(Fault::Quote));
        assert_eq!(cells(Delimiter::Tab, b"\"a,b\t\t").unwrap(), [&b"\"a,b"[..], b"", b""]);
    }

    proptest! {
        #[test]
        fn cells_come_back_as_they_went(texts in prop::collection::vec("[a-c,\"\t]{0,6}", 1..5)) {
            for delimiter in [Delimiter::Tab, Delimiter::Comma] {
                let mut line = Vec::new();
                for (at, text) in texts.iter().enumerate() {
                    if at > 0 {
                        line.push(delimiter.byte());
                    }
                    delimiter.write_text(text.as_bytes(), &mut line);
                }
                let expected: Vec<Vec<u8>> = texts
                    .iter()
                    .map(|text| match delimiter {
                        Delimiter::Tab => text.replace('\t', "\\t").into_bytes(),
                        Delimiter::Comma => text.clone().into_bytes(),
                    })
                    .collect();
                prop_assert_eq!(cells(delimiter, &line).unwrap(), expected);
            }
        }
    }
}
