//! Tables of sequences and classes: `sequence<TAB>class` a line, as the gene families of the paper are given.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// A sequence and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line in the file, from 1.
    pub line: u64,
    /// Letters as written.
    pub sequence: Vec<u8>,
    /// Name of the class.
    pub class: String,
}

/// What is wrong with a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A line without a second column.
    #[error("{file}: line {line}: {text:?} has no class after a tab or a comma")]
    NoClass {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// Its beginning.
        text: String,
    },
    /// A letter that no sequence has.
    #[error("{file}: line {line}: {found:?} at column {column} is no letter of a sequence")]
    Letter {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// From 1.
        column: usize,
        /// What stands there.
        found: char,
    },
    /// Reading failed.
    #[error("{file}: cannot be read")]
    Io {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Whether a file is such a table: plain or gzip, and its text begins neither as FASTA nor as FASTQ does.
pub fn is_table(path: &Path) -> Result<bool, Error> {
    let fail = |source| Error::Io { file: path.display().to_string(), source };
    let mut first = [0];
    let mut text = open(path).map_err(fail)?;
    loop {
        if text.read(&mut first).map_err(fail)? == 0 {
            return Ok(false);
        }
        if !first[0].is_ascii_whitespace() {
            return Ok(first[0].is_ascii_alphabetic());
        }
    }
}

/// Reads all rows. A first line `sequence`, `class` is a header; empty lines are left out, and columns after the second.
pub fn read(path: &Path) -> Result<Vec<Row>, Error> {
    let file = path.display().to_string();
    let fail = |source| Error::Io { file: file.clone(), source };
    parse(open(path).map_err(fail)?, &file)
}

fn parse(text: impl BufRead, file: &str) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for (at, line) in text.split(b'\n').enumerate() {
        let line = line.map_err(|source| Error::Io { file: file.to_owned(), source })?;
        let line = line.trim_ascii();
        let number = at as u64 + 1;
        if line.is_empty() {
            continue;
        }
        let shown = || String::from_utf8_lossy(&line[..line.len().min(40)]).into_owned();
        let no_class = || Error::NoClass { file: file.to_owned(), line: number, text: shown() };
        let mut cells = line.split(|byte| matches!(byte, b'\t' | b','));
        let (Some(sequence), Some(class)) = (cells.next(), cells.next()) else { return Err(no_class()) };
        let (sequence, class) = (sequence.trim_ascii(), class.trim_ascii());
        if at == 0 && sequence.eq_ignore_ascii_case(b"sequence") {
            continue;
        }
        if class.is_empty() {
            return Err(no_class());
        }
        if let Some(column) = kilobase_data::alphabet::find_foreign(sequence) {
            let found = char::from(sequence[column]);
            return Err(Error::Letter { file: file.to_owned(), line: number, column: column + 1, found });
        }
        let class = String::from_utf8_lossy(class).into_owned();
        rows.push(Row { line: number, sequence: sequence.to_vec(), class });
    }
    Ok(rows)
}

/// Parses bytes as a table: used by the property tests and the fuzz target.
#[doc(hidden)]
pub fn check(bytes: &[u8]) {
    if let Err(error) = parse(bytes, "input") {
        assert!(error.to_string().starts_with("input: "), "errors name the file");
    }
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(File::open(path)?);
    if file.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(file))));
    }
    Ok(Box::new(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_with_their_lines() {
        let rows = parse(&b"sequence\tclass\nACGT\t3\n\n\tx\r\nNNac,two words,ignored\n"[..], "t.tsv");
        // A row without letters is trimmed away with its tab.
        assert!(matches!(rows, Err(Error::NoClass { line: 4, .. })));
        let rows = parse(&b"sequence\tclass\nACGT\t3\n\nNNac,two words,ignored\n"[..], "t.tsv").unwrap();
        assert_eq!((rows[0].line, &rows[0].sequence[..], &rows[0].class[..]), (2, &b"ACGT"[..], "3"));
        assert_eq!((rows[1].line, &rows[1].class[..]), (4, "two words"));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_rows_or_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), text in "[ACGTN\t,\n1x ]{0,60}") {
            check(&bytes);
            check(text.as_bytes());
        }
    }

    #[test]
    fn faults_name_line_and_value() {
        let error = |text: &[u8]| parse(text, "t.tsv").unwrap_err().to_string();
        assert_eq!(error(b"ACGT\t1\nACGT\n"), "t.tsv: line 2: \"ACGT\" has no class after a tab or a comma");
        assert_eq!(error(b"AC!T\t1\n"), "t.tsv: line 1: '!' at column 3 is no letter of a sequence");
    }
}
