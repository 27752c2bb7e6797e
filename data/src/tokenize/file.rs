use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Error;

/// The largest tokenizer files in use are below 20 MB.
pub(super) const LIMIT: u64 = 64 << 20;

/// Reads a whole file of at most [`LIMIT`] bytes.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let file = || path.display().to_string();
    let io = |source| Error::Io { file: file(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LIMIT {
        return Err(Error::TooLarge { file: file(), limit: LIMIT });
    }
    Ok(bytes)
}

/// SHA-256 of the parts, one after the other, in hexadecimal.
pub(super) fn sha256(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hex::encode(hash.finalize())
}

/// The text, or the place where it stops being UTF-8.
pub(super) fn utf8(text: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(text).map_err(|error| Error::NotUtf8 { at: error.valid_up_to() })
}
