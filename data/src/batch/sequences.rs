//! The records of files as a source of batches.

use std::path::{Path, PathBuf};

use super::Source;
use crate::fastx::{self, Record};
use crate::tokenize::{self, Tokenizer};
use crate::window::{Spans, Windows};

/// The records of files, or windows of them, as tokens: a [`Source`] that holds one record at a time.
pub struct Sequences<'a> {
    files: std::vec::IntoIter<PathBuf>,
    reader: Option<fastx::Reader>,
    record: Record,
    windows: Windows,
    spans: Spans,
    tokenizer: &'a dyn Tokenizer,
    options: Options,
}

/// How records are read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Letters that may be there.
    pub alphabet: fastx::Alphabet,
    /// Read lower case as upper case.
    pub upper: bool,
    /// Put the tokenizer's marks around each sequence.
    pub special: bool,
}

/// Why a sequence cannot be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] fastx::Error),
    /// A sequence cannot be tokenized.
    #[error("{file}: record {record} (id {}): cannot be tokenized", id.escape_debug())]
    Tokenize {
        /// The file.
        file: String,
        /// The record, from 1.
        record: u64,
        /// Its id.
        id: String,
        /// What the tokenizer says.
        source: Box<tokenize::Error>,
    },
}

impl<'a> Sequences<'a> {
    /// The windows of all records of the files, in order. Records without bases have none.
    pub fn new<P: AsRef<Path>>(
        files: impl IntoIterator<Item = P>,
        windows: Windows,
        tokenizer: &'a dyn Tokenizer,
        options: Options,
    ) -> Self {
        let files: Vec<PathBuf> = files.into_iter().map(|file| file.as_ref().to_owned()).collect();
        Self {
            files: files.into_iter(),
            reader: None,
            record: Record::default(),
            windows,
            spans: Spans::none(),
            tokenizer,
            options,
        }
    }

    /// The next window, as a part of the record that is held.
    fn advance(&mut self) -> Result<Option<std::ops::Range<usize>>, Error> {
        loop {
            if let Some(span) = self.spans.next() {
                return Ok(Some(span));
            }
            let Some(reader) = &mut self.reader else {
                let Some(file) = self.files.next() else { return Ok(None) };
                let builder = fastx::Reader::builder().alphabet(self.options.alphabet);
                self.reader = Some(builder.open(file)?);
                continue;
            };
            if !reader.read_record(&mut self.record)? {
                self.reader = None;
            } else if !self.record.is_empty() {
                if self.options.upper {
                    self.record.sequence.make_ascii_uppercase();
                }
                self.spans = self.windows.over(self.record.len());
            }
        }
    }
}

impl Source for Sequences<'_> {
    type Error = Error;

    fn next(&mut self) -> Result<Option<Vec<u32>>, Error> {
        let Some(span) = self.advance()? else { return Ok(None) };
        let mut ids = Vec::new();
        let outcome = self.tokenizer.encode_ids(&self.record.sequence[span], self.options.special, &mut ids);
        outcome.map_err(|source| Error::Tokenize {
            file: self.reader.as_ref().map_or_else(String::new, |reader| reader.name().to_owned()),
            record: self.record.number,
            id: self.record.id.clone(),
            source: Box::new(source),
        })?;
        Ok(Some(ids))
    }

    /// Reads without tokenizing.
    fn skip(&mut self, count: u64) -> Result<u64, Error> {
        for passed in 0..count {
            if self.advance()?.is_none() {
                return Ok(passed);
            }
        }
        Ok(count)
    }
}
