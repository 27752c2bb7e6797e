//! The zip archive around a pickle and its storages.

use std::{
    collections::HashMap,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use zip::{
    CompressionMethod, ZipArchive,
    read::{ArchiveOffset, Config},
};

use super::PytorchFault;
use crate::checkpoint::{Error, file::WeightFile, tensor::Storage};

/// The largest pickle that is read. One tensor takes about 120 bytes of it.
const MAX_PICKLE: u64 = 16 << 20;

/// Bytes read to list the entries. What is kept of an entry is a few times its size in the directory, so this bounds memory.
const MAX_DIRECTORY: u64 = 32 << 20;

/// The most that weights may shrink by deflate; more is taken for a bomb. Trained weights shrink by a tenth.
const MAX_INFLATION: u64 = 64;

/// Where the entries of an archive lie, by their names inside its folder.
pub(super) struct Archive {
    entries: HashMap<String, Storage>,
}

impl Archive {
    pub(super) fn read(file: &WeightFile) -> Result<Self, Error> {
        let fail = |fault| Error::Pytorch { path: file.path().to_owned(), fault };
        check_magic(file)?;
        let reader = Budget { inner: BufReader::new(file.file()), left: MAX_DIRECTORY };
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip_fault = |source: zip::result::ZipError| fail(PytorchFault::Zip(source.into()));
        let mut zip = ZipArchive::with_config(config, reader).map_err(zip_fault)?;
        if zip.has_duplicate_names() {
            return Err(fail(PytorchFault::DuplicateEntry));
        }
        if zip.has_overlapping_entries().map_err(zip_fault)? {
            return Err(fail(PytorchFault::OverlappingEntries));
        }
        let mut entries = HashMap::with_capacity(zip.len());
        let mut folder = None;
        for index in 0..zip.len() {
            let entry = zip.by_index_raw(index).map_err(zip_fault)?;
            let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
            let inner = inside_folder(&name, &mut folder).map_err(fail)?;
            let start = entry.data_start().ok_or_else(|| fail(PytorchFault::NotZip))?;
            let (packed, size) = (entry.compressed_size(), entry.size());
            let method = if entry.encrypted() { None } else { Some(entry.compression()) };
            let storage = storage(&name, method, start, packed, size, file.len()).map_err(fail)?;
            entries.insert(inner.to_owned(), storage);
        }
        let archive = Self { entries };
        archive.check_kind(file)?;
        Ok(archive)
    }

    /// The entry of that name inside the folder.
    pub(super) fn entry(&self, name: &str) -> Option<&Storage> {
        self.entries.get(name)
    }

    /// The pickle that describes the tensors.
    pub(super) fn read_pickle(&self, file: &WeightFile) -> Result<Vec<u8>, Error> {
        self.read_small(file, "data.pkl", MAX_PICKLE)
    }

    fn check_kind(&self, file: &WeightFile) -> Result<(), Error> {
        let fail = |fault| Error::Pytorch { path: file.path().to_owned(), fault };
        if self.entries.contains_key("constants.pkl") {
            return Err(fail(PytorchFault::TorchScript));
        }
        // Files from before the entry existed are little-endian.
        if self.entries.contains_key("byteorder") {
            let order = self.read_small(file, "byteorder", 16)?;
            if order != b"little" {
                let found = String::from_utf8_lossy(&order).into_owned();
                return Err(fail(PytorchFault::ByteOrder { found }));
            }
        }
        Ok(())
    }

    fn read_small(&self, file: &WeightFile, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let fail = |fault| Error::Pytorch { path: file.path().to_owned(), fault };
        let name = name.to_owned();
        let Some(storage) = self.entries.get(&name) else {
            return Err(fail(PytorchFault::MissingEntry { name }));
        };
        let size = storage.len();
        if size > limit {
            return Err(fail(PytorchFault::EntrySize { name, size, limit }));
        }
        storage.read(file, 0, size)
    }
}

/// Tells the archive from the formats that came before it by its first bytes.
fn check_magic(file: &WeightFile) -> Result<(), Error> {
    let mut magic = [0; 4];
    if file.len() >= 4 {
        file.read_exact_at(&mut magic, 0)?;
    }
    let fault = match &magic {
        b"PK\x03\x04" => return Ok(()),
        // A pickle of protocol 2 to 5 that starts with the ten bytes of the old format's magic number.
        [0x80, 2..=5, 0x8a, 10] => PytorchFault::Legacy,
        _ => PytorchFault::NotZip,
    };
    Err(Error::Pytorch { path: file.path().to_owned(), fault })
}

/// The part of an entry's name after the archive's one folder, which the first entry sets.
fn inside_folder<'a>(name: &'a str, folder: &mut Option<String>) -> Result<&'a str, PytorchFault> {
    let plain =
        |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(['\\', '\0', ':']);
    match name.split_once('/') {
        Some((first, inner))
            if plain(first)
                && inner.split('/').all(plain)
                && folder.as_deref().is_none_or(|f| f == first) =>
        {
            folder.get_or_insert_with(|| first.to_owned());
            Ok(inner)
        }
        _ => Err(PytorchFault::EntryName { name: name.to_owned() }),
    }
}

/// Where the bytes of an entry lie. `method` is none if the entry is encrypted.
fn storage(
    name: &str,
    method: Option<CompressionMethod>,
    start: u64,
    packed: u64,
    size: u64,
    available: u64,
) -> Result<Storage, PytorchFault> {
    let name = name.to_owned();
    let end = start.saturating_add(packed);
    if end > available {
        return Err(PytorchFault::EntryRange { name, end, available });
    }
    match method {
        Some(CompressionMethod::Stored) if packed == size => Ok(Storage::Plain { start, len: size }),
        Some(method) if method == CompressionMethod::DEFLATE => {
            if size > packed.saturating_mul(MAX_INFLATION).saturating_add(1 << 10) {
                return Err(PytorchFault::Inflation { name, packed, size });
            }
            Ok(Storage::Deflated { start, packed, len: size })
        }
        Some(CompressionMethod::Stored) => {
            Err(PytorchFault::EntryRange { name, end: start.saturating_add(size), available: end })
        }
        Some(method) => Err(PytorchFault::Compression { name, method: method.to_string() }),
        None => Err(PytorchFault::Compression { name, method: "encryption".to_owned() }),
    }
}

/// A reader that stops after so many bytes, whatever the directory of an archive says there is to read.
struct Budget<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Budget<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the directory of the archive is too large",
            ));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

impl<R: Seek> Seek for Budget<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
