//! The text of a file by offset, inflated where the file is bgzf.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;

use super::blocks::Blocks;
use crate::fastx::inflate::Inflate;

/// A file whose text can be read from any offset.
pub(super) enum Bytes {
    Plain(File),
    Blocks(File, Blocks),
}

impl Bytes {
    /// Bytes of the text.
    pub(super) fn length(&self) -> io::Result<u64> {
        match self {
            Self::Plain(file) => Ok(file.metadata()?.len()),
            Self::Blocks(_, blocks) => Ok(blocks.length()),
        }
    }

    /// Appends the bytes of `range` to `out`, fewer when the text ends before.
    pub(super) fn read(&mut self, range: Range<u64>, out: &mut Vec<u8>) -> io::Result<()> {
        let count = range.end.saturating_sub(range.start);
        match self {
            Self::Plain(file) => {
                file.seek(SeekFrom::Start(range.start))?;
                file.take(count).read_to_end(out)?;
            }
            Self::Blocks(file, blocks) => {
                let Some(block) = blocks.find(range.start) else { return Ok(()) };
                file.seek(SeekFrom::Start(block.compressed))?;
                let file = BufReader::with_capacity(1 << 16, file);
                let mut text = Inflate::new(file, std::sync::Arc::default()).after(block.number);
                io::copy(&mut (&mut text).take(range.start - block.text), &mut io::sink())?;
                text.take(count).read_to_end(out)?;
            }
        }
        Ok(())
    }
}
