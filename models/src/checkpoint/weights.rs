//! The named tensors of a checkpoint.

use std::{
    collections::{BTreeMap, HashMap, HashSet, btree_map},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use safetensors::Dtype;
use sha2::{Digest, Sha256};

use super::{
    Error,
    expected::{Expected, Mismatch, Presence, WrongShape},
    file::WeightFile,
    names,
    tensor::Entry,
};

/// Named tensors that stay in their files until they are read.
#[derive(Debug)]
pub struct Weights {
    dir: PathBuf,
    files: Vec<WeightFile>,
    entries: BTreeMap<String, Entry>,
    sha256: OnceLock<String>,
}

impl Weights {
    /// `files` are in the order of their names; each entry refers to one of them.
    pub(super) fn new(dir: &Path, files: Vec<WeightFile>, entries: BTreeMap<String, Entry>) -> Self {
        Self { dir: dir.to_owned(), files, entries, sha256: OnceLock::new() }
    }

    /// Opens one safetensors file, which may have any name.
    pub fn open_file(path: &Path) -> Result<Self, Error> {
        super::source::open_file(path)
    }

    /// The tensors' names, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The shape of a tensor, in PyTorch's order.
    pub fn shape(&self, name: &str) -> Result<&[usize], Error> {
        Ok(&self.entry(name)?.shape)
    }

    /// How a tensor's elements are stored.
    pub fn dtype(&self, name: &str) -> Result<Dtype, Error> {
        Ok(self.entry(name)?.dtype)
    }

    /// The elements of a floating-point tensor in row-major order, converted to `f32`.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, Error> {
        let entry = self.entry(name)?;
        entry.read_f32(&self.files[entry.file], name)
    }

    /// The files that hold the tensors, in the order of their names.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(WeightFile::path)
    }

    /// SHA-256 of the files' bytes, one file after the other in the order of their names, in hexadecimal. For one file it is
    /// what `sha256sum` prints. The files are read once, when it is first asked for.
    pub fn sha256(&self) -> Result<&str, Error> {
        if let Some(digest) = self.sha256.get() {
            return Ok(digest);
        }
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 18];
        for file in &self.files {
            let mut at = 0;
            while at < file.len() {
                let len = buffer.len().min((file.len() - at) as usize);
                file.read_exact_at(&mut buffer[..len], at)?;
                hasher.update(&buffer[..len]);
                at += len as u64;
            }
        }
        Ok(self.sha256.get_or_init(|| hex::encode(hasher.finalize())))
    }

    /// Checks that the tensors are exactly those expected, reporting all that are not at once. Tensors that `ignore` accepts
    /// are not looked at unless they are expected.
    pub fn check(&self, expected: &[Expected], ignore: impl Fn(&str) -> bool) -> Result<(), Error> {
        let known: HashMap<&str, &Expected> = expected.iter().map(|e| (e.name.as_str(), e)).collect();
        let mut mismatch = Mismatch::default();
        for (&name, expected) in &known {
            match self.entries.get(name) {
                None if expected.presence == Presence::Required => mismatch.missing.push(name.to_owned()),
                Some(entry) if entry.shape != expected.shape => mismatch.wrong_shape.push(WrongShape {
                    name: name.to_owned(),
                    found: entry.shape.clone(),
                    expected: expected.shape.clone(),
                }),
                _ => {}
            }
        }
        let unexpected = self.names().filter(|name| !known.contains_key(name) && !ignore(name));
        mismatch.unexpected.extend(unexpected.map(String::from));
        mismatch.missing.sort_unstable();
        mismatch.wrong_shape.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if !mismatch.is_empty() {
            return Err(Error::Mismatch { path: self.dir.clone(), mismatch: Box::new(mismatch) });
        }
        for expected in expected {
            if let Presence::TiedTo(other) = &expected.presence {
                self.check_tied(&expected.name, other)?;
            }
        }
        Ok(())
    }

    fn check_tied(&self, name: &str, other: &str) -> Result<(), Error> {
        let Some(copy) = self.entries.get(name) else { return Ok(()) };
        let original = self.entry(other)?;
        if copy == original || self.same_bits(copy, original)? {
            return Ok(());
        }
        Err(Error::TiedDiffers { path: self.dir.clone(), name: name.to_owned(), other: other.to_owned() })
    }

    fn same_bits(&self, a: &Entry, b: &Entry) -> Result<bool, Error> {
        if a.dtype != b.dtype || a.shape != b.shape {
            return Ok(false);
        }
        let mut left = a.bytes(&self.files[a.file])?;
        let mut right = b.bytes(&self.files[b.file])?;
        let (mut chunk, mut other) = (Vec::new(), Vec::new());
        while left.next_chunk(&mut chunk)? {
            right.next_chunk(&mut other)?;
            if chunk != other {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The same tensors under the names a model expects: without a `module.` or `model.` that wrappers put on all of them,
    /// and with `.weight` and `.bias` for the `.gamma` and `.beta` of old normalisations. Names that remain unknown are kept
    /// for [`Weights::check`] to report.
    pub fn normalised(self, expected: &[Expected]) -> Result<Self, Error> {
        let known: HashSet<&str> = expected.iter().map(|e| e.name.as_str()).collect();
        let stored: Vec<&str> = self.names().collect();
        let renamed = names::normalise(&stored, &known);
        let table: HashMap<String, String> = stored.into_iter().map(String::from).zip(renamed).collect();
        self.renamed(|name| table.get(name).cloned())
    }

    /// The same tensors under other names. Those that `rename` gives no name are dropped.
    pub fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let mut entries = BTreeMap::new();
        let mut origin = HashMap::new();
        for (first, entry) in self.entries {
            let Some(name) = rename(&first) else { continue };
            match entries.entry(name) {
                btree_map::Entry::Vacant(vacant) => {
                    origin.insert(vacant.key().clone(), first);
                    vacant.insert(entry);
                }
                btree_map::Entry::Occupied(taken) => {
                    let name = taken.key().clone();
                    let other = origin.remove(&name).unwrap_or_default();
                    return Err(Error::NameClash { path: self.dir, name, first: other, second: first });
                }
            }
        }
        Ok(Self { entries, ..self })
    }

    fn entry(&self, name: &str) -> Result<&Entry, Error> {
        let unknown = || Error::UnknownTensor { path: self.dir.clone(), name: name.to_owned() };
        self.entries.get(name).ok_or_else(unknown)
    }
}
