//! The frame of model files: what kind, which version, a checksum.
//!
//! ```text
//! 8 bytes   magic
//! u32       version
//! u64       length of the body as stored
//! u64       length of the body
//! ...       body, as one frame of zstd
//! 32 bytes  SHA-256 of all before
//! ```
//!
//! Numbers are little endian, or LEB128 where they are small.

use std::io::{Read, Write};

use sha2::{Digest, Sha256};

pub(super) use super::varint::put;

const HEAD: usize = 8 + 4 + 8 + 8;
const LEVEL: i32 = 3;
/// Larger bodies do not fit the tables that models are made from.
const MOST_BODY: u64 = 1 << 36;

/// Why a model file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a model file, or of another kind.
    #[error("not a model file of kilobase classify")]
    Magic,
    /// A version of another program.
    #[error("model file of version {version}; this program reads version {known}: train the model again")]
    Version {
        /// In the file.
        version: u32,
        /// The one that is read here.
        known: u32,
    },
    /// Damage.
    #[error("the model file is damaged: its checksum does not match")]
    Checksum,
    /// Damage that is not in transport, or a file made to harm.
    #[error("the model file is not valid: {what}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
    },
    /// Reading or writing failed.
    #[error("cannot read or write the model")]
    Io(#[from] std::io::Error),
}

pub(super) type Result<T> = std::result::Result<T, Error>;

/// Writes a body in its frame.
pub(super) fn write(out: &mut impl Write, magic: [u8; 8], version: u32, body: &[u8]) -> Result<()> {
    let stored = zstd::bulk::compress(body, LEVEL)?;
    let mut file = Vec::with_capacity(HEAD + stored.len());
    file.extend(magic);
    file.extend(version.to_le_bytes());
    file.extend((stored.len() as u64).to_le_bytes());
    file.extend((body.len() as u64).to_le_bytes());
    file.extend(&stored);
    out.write_all(&file)?;
    out.write_all(&Sha256::digest(&file))?;
    Ok(())
}

/// Reads a body, and refuses what is damaged.
pub(super) fn read(input: &mut impl Read, magic: [u8; 8], known: u32) -> Result<Vec<u8>> {
    let mut head = [0; HEAD];
    input.read_exact(&mut head).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::Magic,
        _ => error.into(),
    })?;
    if head[..8] != magic {
        return Err(Error::Magic);
    }
    let version = u32::from_le_bytes(head[8..12].try_into().expect("four bytes"));
    if version != known {
        return Err(Error::Version { version, known });
    }
    let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let (stored, body) = (number(12), number(20));
    // Read before memory is taken for what the file says of itself.
    let mut rest = Vec::new();
    input.take(stored.saturating_add(33)).read_to_end(&mut rest)?;
    if rest.len() as u64 != stored.saturating_add(32) {
        return Err(Error::Invalid { what: "its length is another than it says" });
    }
    let (stored, sum) = rest.split_at(rest.len() - 32);
    if Sha256::new().chain_update(head).chain_update(stored).finalize()[..] != *sum {
        return Err(Error::Checksum);
    }
    if body > MOST_BODY || body > 4096 + (stored.len() as u64).saturating_mul(1 << 14) {
        return Err(Error::Invalid { what: "it says to be larger than its data can make it" });
    }
    Ok(zstd::bulk::decompress(stored, body as usize)?)
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn take(bytes: &mut &[u8]) -> Result<u64> {
    super::varint::take(bytes).ok_or_else(cut)
}

pub(super) fn take_below(bytes: &mut &[u8], most: u64, what: &'static str) -> Result<u64> {
    let number = take(bytes)?;
    if number > most { Err(Error::Invalid { what }) } else { Ok(number) }
}

pub(super) fn take_array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let array = bytes.split_off(..N).ok_or_else(cut)?;
    Ok(array.try_into().expect("N bytes"))
}

pub(super) fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = usize::try_from(take(bytes)?).map_err(|_| cut())?;
    bytes.split_off(..length).ok_or_else(cut)
}

pub(super) fn take_text(bytes: &mut &[u8]) -> Result<String> {
    let text = take_bytes(bytes)?.to_vec();
    String::from_utf8(text).map_err(|_| Error::Invalid { what: "a name is not UTF-8" })
}

pub(super) fn cut() -> Error {
    Error::Invalid { what: "it ends too early" }
}
