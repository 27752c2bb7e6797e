//! A compressor of FASTA files: lossless for every input, best for files of nucleotides.
//!
//! A file is cut into blocks, which are compressed on their own and in parallel. A block of sequences is taken apart into
//! headers, line lengths, case, letters other than `ACGT`, and bases; the bases go through the models of
//! [`dna`](super::dna), the rest through LZMA. A block in which that does not pay goes through LZMA whole.
//!
//! ```text
//! file    8 bytes magic "KBDNA\r\n\x01", blocks, end
//! block   u8 kind (1 sequences, 2 bytes), varint length, varint length as stored, 8 bytes of the content's SHA-256, data
//! end     u8 0, varint number of blocks, varint length of the file, 8 bytes of the SHA-256 of all blocks' sums
//! ```

mod block;
mod error;
mod layers;
mod lzma;

use std::io::{Read, Write};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::varint;

pub use block::Kind;
pub use error::{Error, Result};

const MAGIC: &[u8; 8] = b"KBDNA\r\n\x01";

/// Bytes of a block, unless asked for otherwise.
pub const BLOCK: usize = 16 << 20;
/// Larger blocks are refused, in writing and in reading.
pub const LARGEST_BLOCK: usize = 1 << 28;
const SUM: usize = 8;

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockReport {
    /// How it is stored.
    pub kind: Kind,
    /// Bytes of content.
    pub length: u64,
    /// Bytes as stored, frame included.
    pub stored: u64,
    /// Bases among the content.
    pub bases: u64,
    /// Bytes that hold the bases.
    pub bases_stored: u64,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its blocks.
    pub blocks: Vec<BlockReport>,
    /// Bytes of the compressed file.
    pub stored: u64,
}

/// Compresses all of `input` into `out`, so many blocks of so many bytes at once as there are threads. `done` is called after each
/// block with its content.
pub fn compress(
    input: &mut impl Read,
    out: &mut impl Write,
    block: usize,
    mut done: impl FnMut(&BlockReport, &[u8]),
) -> Result<Report> {
    let block = block.clamp(1, LARGEST_BLOCK);
    out.write_all(MAGIC)?;
    let mut reports = Vec::new();
    let mut sums = Sha256::new();
    let mut rest = Vec::new();
    let mut length = 0;
    loop {
        let mut pieces = Vec::new();
        while pieces.len() < rayon::current_num_threads()
            && let Some(piece) = next_piece(input, &mut rest, block)?
        {
            pieces.push(piece);
        }
        if pieces.is_empty() {
            break;
        }
        let packed: Vec<_> = pieces.par_iter().map(|piece| (block::encode(piece), sum(piece))).collect();
        for (piece, (packed, sum)) in pieces.iter().zip(packed) {
            let mut head = vec![packed.kind as u8];
            varint::put(&mut head, piece.len() as u64);
            varint::put(&mut head, packed.data.len() as u64);
            head.extend(sum);
            out.write_all(&head)?;
            out.write_all(&packed.data)?;
            sums.update(sum);
            length += piece.len() as u64;
            let report = BlockReport {
                kind: packed.kind,
                length: piece.len() as u64,
                stored: (head.len() + packed.data.len()) as u64,
                bases: packed.bases,
                bases_stored: packed.bases_stored,
            };
            done(&report, piece);
            reports.push(report);
        }
    }
    let mut end = vec![0];
    varint::put(&mut end, reports.len() as u64);
    varint::put(&mut end, length);
    end.extend(&sums.finalize()[..SUM]);
    out.write_all(&end)?;
    let stored = reports.iter().map(|report| report.stored).sum::<u64>() + (MAGIC.len() + end.len()) as u64;
    Ok(Report { blocks: reports, stored })
}

/// Restores what [`compress`] wrote, and checks every sum. `done` is called with the bytes of each block. What was written
/// before an error is not the file: write to a temporary name.
pub fn decompress(input: &mut impl Read, out: &mut impl Write, mut done: impl FnMut(u64)) -> Result<u64> {
    let mut magic = [0; 8];
    input.read_exact(&mut magic).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::Magic,
        _ => error.into(),
    })?;
    if magic[..7] != MAGIC[..7] {
        return Err(Error::Magic);
    }
    if magic[7] != MAGIC[7] {
        return Err(Error::Version { version: magic[7], known: MAGIC[7] });
    }
    let mut sums = Sha256::new();
    let (mut blocks, mut length) = (0_u64, 0_u64);
    loop {
        let mut packed = Vec::new();
        let mut end = None;
        while packed.len() < rayon::current_num_threads() {
            let at = blocks + packed.len() as u64 + 1;
            match read_block(input, at)? {
                Piece::Block(block) => packed.push(block),
                Piece::End { blocks, length, sum } => {
                    end = Some((blocks, length, sum));
                    break;
                }
            }
        }
        let first = blocks + 1;
        let pieces: Vec<Vec<u8>> = packed
            .par_iter()
            .enumerate()
            .map(|(at, packed)| {
                let block = first + at as u64;
                let content = block::decode(packed.kind, &packed.data, packed.length)
                    .map_err(|what| Error::Damaged { block, what })?;
                if sum(&content) != packed.sum {
                    return Err(Error::Checksum { block });
                }
                Ok(content)
            })
            .collect::<Result<_>>()?;
        for (content, packed) in pieces.iter().zip(&packed) {
            out.write_all(content)?;
            sums.update(packed.sum);
            blocks += 1;
            length += content.len() as u64;
            done(content.len() as u64);
        }
        if let Some((told_blocks, told_length, told_sum)) = end {
            if (told_blocks, told_length) != (blocks, length) || told_sum != sums.finalize()[..SUM] {
                return Err(Error::End);
            }
            let mut byte = [0];
            if input.read(&mut byte)? > 0 {
                return Err(Error::Trailing);
            }
            return Ok(length);
        }
    }
}

/// Whether bytes begin as a compressed file does.
pub fn is_compressed(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC[..7])
}

/// Compresses and restores bytes, and restores bytes as if they were a compressed file: used by the property tests and the
/// fuzz targets.
#[doc(hidden)]
pub fn check(bytes: &[u8], block: usize) {
    let mut file = Vec::new();
    let report = compress(&mut &bytes[..], &mut file, block, |_, _| ()).expect("memory to memory");
    assert_eq!(report.stored, file.len() as u64);
    let mut restored = Vec::new();
    decompress(&mut &file[..], &mut restored, |_| ()).expect("what was just written");
    assert_eq!(restored, bytes, "compression loses nothing");
    let mut other = Vec::new();
    let _ = decompress(&mut &bytes[..], &mut other, |_| ());
    let _ = decompress(&mut &[&MAGIC[..], bytes].concat()[..], &mut other, |_| ());
    for kind in [Kind::Sequences, Kind::Bytes] {
        let _ = block::decode(kind, bytes, 1000);
    }
}

struct Packed {
    kind: Kind,
    length: usize,
    sum: [u8; SUM],
    data: Vec<u8>,
}

enum Piece {
    Block(Packed),
    End { blocks: u64, length: u64, sum: [u8; SUM] },
}

fn read_block(input: &mut impl Read, block: u64) -> Result<Piece> {
    let cut = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::Truncated { block },
        _ => error.into(),
    };
    let mut kind = [0];
    input.read_exact(&mut kind).map_err(cut)?;
    let first = varint::read(input).map_err(cut)?;
    let second = varint::read(input).map_err(cut)?;
    let mut sum = [0; SUM];
    input.read_exact(&mut sum).map_err(cut)?;
    if kind[0] == 0 {
        return Ok(Piece::End { blocks: first, length: second, sum });
    }
    let kind = Kind::from_byte(kind[0]).ok_or(Error::Damaged { block, what: "its kind is not known" })?;
    let fits =
        |length: u64| usize::try_from(length).ok().filter(|&length| length <= LARGEST_BLOCK + (1 << 16));
    let (Some(length), Some(stored)) = (fits(first), fits(second)) else {
        return Err(Error::Damaged { block, what: "it says to be larger than blocks are" });
    };
    let mut data = Vec::new();
    // Grows with what is there, not with what the file says.
    if input.take(stored as u64).read_to_end(&mut data)? < stored {
        return Err(Error::Truncated { block });
    }
    Ok(Piece::Block(Packed { kind, length, sum, data }))
}

/// Reads up to `block` bytes, and cuts after the last line end among them, if there is one in the second half.
fn next_piece(input: &mut impl Read, rest: &mut Vec<u8>, block: usize) -> Result<Option<Vec<u8>>> {
    let mut piece = std::mem::take(rest);
    let wanted = (block - piece.len().min(block)) as u64;
    input.take(wanted).read_to_end(&mut piece)?;
    if piece.is_empty() {
        return Ok(None);
    }
    if piece.len() >= block
        && let Some(line) = piece[block / 2..].iter().rposition(|&byte| byte == b'\n')
    {
        *rest = piece.split_off(block / 2 + line + 1);
    }
    Ok(Some(piece))
}

fn sum(bytes: &[u8]) -> [u8; SUM] {
    let digest = Sha256::digest(bytes);
    digest[..SUM].try_into().expect("a digest is longer")
}

#[cfg(test)]
mod tests;
