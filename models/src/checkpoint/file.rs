//! Files read by range, without a cursor.
//!
//! Ranges are read when a tensor is asked for. A memory map would save one copy, and would turn a file that another
//! process truncates or rewrites meanwhile into a crash or undefined behaviour; here that is an error.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::Error;

/// An open file of weights.
#[derive(Debug)]
pub(super) struct WeightFile {
    path: PathBuf,
    file: File,
    len: u64,
}

impl WeightFile {
    /// Opens a regular file. Anything else is refused before opening it, since opening a pipe waits for its writer.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let io_error = |source| Error::Io { path: path.to_owned(), source };
        if !fs::metadata(path).map_err(io_error)?.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(io_error)?;
        let len = file.metadata().map_err(io_error)?.len();
        Ok(Self { path: path.to_owned(), file, len })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub(super) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        read_exact_at(&self.file, buffer, offset).map_err(|source| self.io_error(source))
    }

    pub(super) fn io_error(&self, source: io::Error) -> Error {
        Error::Io { path: self.path.clone(), source }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !buffer.is_empty() {
        let read = file.seek_read(buffer, offset)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[read..];
        offset += read as u64;
    }
    Ok(())
}

/// Reads a small JSON file whole, if it is no larger than `limit` bytes.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path, limit: u64) -> Result<T, Error> {
    let file = WeightFile::open(path)?;
    if file.len() > limit {
        return Err(Error::TooLarge { path: path.to_owned(), size: file.len(), limit });
    }
    let mut bytes = vec![0; file.len() as usize];
    file.read_exact_at(&mut bytes, 0)?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Json { path: path.to_owned(), source })
}
