//! The blocks of a bgzf file (SAM specification, section 4.1): gzip members of at most 64 KiB whose headers tell their
//! length, so that any of them can be found without inflating those before it.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use crate::fastx::Damage;
use crate::fastx::inflate::{block_size, read_up_to};

/// Where each block starts: in the file, and in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Blocks {
    starts: Vec<(u64, u64)>,
    length: u64,
    /// Whether the last block is the empty one that ends a file.
    pub(super) has_end: bool,
}

/// A block of [`Blocks`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// How many come before it.
    pub(super) number: u64,
    /// Its first byte in the file.
    pub(super) compressed: u64,
    /// Its first byte in the text.
    pub(super) text: u64,
}

/// The part of a block that is not data.
struct Frame {
    compressed: u64,
    text: u64,
}

/// Blocks looked at to know an index for that of the file.
const LOOKED_AT: usize = 64;

impl Blocks {
    /// Bytes of the text.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// The block that holds a byte of the text.
    pub(super) fn find(&self, byte: u64) -> Option<Block> {
        let after = self.starts.partition_point(|&(_, text)| text <= byte);
        let &(compressed, text) = self.starts.get(after.checked_sub(1)?)?;
        (byte < self.length).then_some(Block { number: after as u64 - 1, compressed, text })
    }

    /// Follows the headers from the first block to the end of the file. None when a member is gzip but no block.
    pub(super) fn walk(file: &mut File) -> io::Result<Option<Self>> {
        Self { starts: Vec::new(), length: 0, has_end: false }.follow(file, 0, 0)
    }

    /// Takes the blocks from a `.gzi` file (bgzip -i), and follows the headers from the last one that it names. None when
    /// it is not the index of this file.
    pub(super) fn from_index(index: &[u8], file: &mut File) -> io::Result<Option<Self>> {
        let (count, pairs) = index.split_at(index.len().min(8));
        let (pairs, rest) = pairs.as_chunks::<16>();
        let claimed = count.try_into().map_or(u64::MAX, u64::from_le_bytes);
        if claimed != pairs.len() as u64 || !rest.is_empty() {
            return Ok(None);
        }
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
        let mut starts = vec![(0, 0)];
        starts.extend(pairs.iter().map(|pair| (number(&pair[..8]), number(&pair[8..]))));
        let grows = |pair: &[(u64, u64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        if !starts.windows(2).all(grows) {
            return Ok(None);
        }
        // Every block of a small file, a sample of a large one: a wrong place is not likely to look like a header.
        for at in (0..starts.len() - 1).step_by(starts.len().div_ceil(LOOKED_AT)) {
            let ((compressed, text), (next, next_text)) = (starts[at], starts[at + 1]);
            match frame(file, compressed, at as u64 + 1) {
                Ok(Some(frame))
                    if (frame.compressed, frame.text) == (next - compressed, next_text - text) => {}
                Ok(_) => return Ok(None),
                Err(error) if error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<Damage>) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
        let Some((compressed, text)) = starts.pop() else { return Ok(None) };
        if compressed > file.metadata()?.len() {
            return Ok(None);
        }
        Self { starts, length: 0, has_end: false }.follow(file, compressed, text)
    }

    fn follow(mut self, file: &mut File, mut compressed: u64, mut text: u64) -> io::Result<Option<Self>> {
        let end = file.metadata()?.len();
        while compressed < end {
            let number = self.starts.len() as u64 + 1;
            let Some(frame) = frame(file, compressed, number)? else {
                // As gzip does, foreign bytes after whole blocks are not read; another kind of member is.
                let mut magic = [0; 2];
                file.seek(SeekFrom::Start(compressed))?;
                let found = read_up_to(file, &mut magic)?;
                if number == 1 || magic[..found] == [0x1f, 0x8b][..found] {
                    return Ok(None);
                }
                break;
            };
            self.starts.push((compressed, text));
            compressed += frame.compressed;
            text += frame.text;
            self.has_end = frame.text == 0;
        }
        self.length = text;
        Ok((!self.starts.is_empty()).then_some(self))
    }
}

/// Reads the header and the stored length of the block at `start`; none where there is no block.
fn frame(file: &mut File, start: u64, member: u64) -> io::Result<Option<Frame>> {
    const EXTRA: u8 = 4;
    // Magic number, method, flags, time, system, the length of the extra field, and mostly all of that field.
    let mut fixed = [0; 18];
    file.seek(SeekFrom::Start(start))?;
    let found = read_up_to(file, &mut fixed)?;
    if found < 4 || !fixed.starts_with(&[0x1f, 0x8b, 8]) || fixed[3] & EXTRA == 0 {
        return Ok(None);
    }
    if found < fixed.len() {
        return Err(Damage::Truncated { member }.into());
    }
    let mut extra = vec![0; usize::from(u16::from_le_bytes([fixed[10], fixed[11]]))];
    if extra.len() == 6 {
        extra.copy_from_slice(&fixed[12..]);
    } else {
        read_exact(file, start + 12, &mut extra, member)?;
    }
    let Some(size) = block_size(&extra) else { return Ok(None) };
    let size = u64::from(size) + 1;
    if size < 12 + extra.len() as u64 + 8 {
        return Err(Damage::Header { member }.into());
    }
    let mut length = [0; 4];
    read_exact(file, start + size - 4, &mut length, member)?;
    let text = u64::from(u32::from_le_bytes(length));
    // A block that claims more than the format allows would put every later base at a wrong place.
    if text > 1 << 16 {
        return Err(Damage::Header { member }.into());
    }
    Ok(Some(Frame { compressed: size, text }))
}

fn read_exact(file: &mut File, start: u64, buffer: &mut [u8], member: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Damage::Truncated { member }.into(),
        _ => error,
    })
}
