//! Reading `pytorch_model.bin` as data.
//!
//! The file is a zip archive of raw storages and one pickle that says which tensors are cut from them. A pickle is a
//! program, so the reader here is an allow-list ([`global`]): the few constructors that `torch.save` writes for a state
//! dict are understood, and whatever else a pickle names is an error that says what it named. Nothing is ever called.
//!
//! burn's own reader (`pytorch-reader` 0.22, behind `burn-store`) runs nothing either, but keeps unknown globals and calls
//! as opaque objects and goes on, so that a file made to attack Python loads without a word; it is not used.
//!
//! [`global`]: self::global

mod archive;
mod entries;
mod global;
mod heap;
mod pickle;

use safetensors::Dtype;
use thiserror::Error;

pub use self::pickle::PickleFault;

use self::archive::Archive;
use super::{
    Error,
    file::WeightFile,
    tensor::{Entry, MAX_RANK},
};

/// Why a `pytorch_model.bin` is not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PytorchFault {
    /// A file from before PyTorch 1.6.
    #[error(
        "in the format of PyTorch before 1.6: load it with a current PyTorch and save it again, best as safetensors"
    )]
    Legacy,
    /// No zip archive.
    #[error("not a zip archive, so not written by torch.save, or truncated")]
    NotZip,
    /// A program exported by torch.jit.
    #[error("a TorchScript program, not a state dict: save model.state_dict() instead")]
    TorchScript,
    /// The directory of the archive is damaged.
    #[error("zip archive: {0}")]
    Zip(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An entry's name leads out of the archive's folder.
    #[error("zip archive: entry {name:?} is not a plain path inside one folder")]
    EntryName {
        /// The name.
        name: String,
    },
    /// Two entries have one name.
    #[error("zip archive: an entry's name appears twice")]
    DuplicateEntry,
    /// Two entries share bytes.
    #[error("zip archive: entries overlap")]
    OverlappingEntries,
    /// An entry is compressed in another way than deflate, or encrypted.
    #[error("zip archive: entry {name} is stored by a method that is not read: {method}")]
    Compression {
        /// The entry.
        name: String,
        /// The method.
        method: String,
    },
    /// An entry claims to inflate to far more than weights do.
    #[error("zip archive: entry {name} claims {size} bytes from {packed}")]
    Inflation {
        /// The entry.
        name: String,
        /// The bytes in the archive.
        packed: u64,
        /// The bytes it claims to give.
        size: u64,
    },
    /// An entry lies outside the file.
    #[error("zip archive: entry {name} ends at byte {end} of {available}")]
    EntryRange {
        /// The entry.
        name: String,
        /// The byte after its last.
        end: u64,
        /// The file's size.
        available: u64,
    },
    /// An entry is not there.
    #[error("zip archive: no entry {name}")]
    MissingEntry {
        /// Its name, without the folder.
        name: String,
    },
    /// A small entry is too big to be what it claims to be.
    #[error("zip archive: entry {name} has {size} bytes, the limit is {limit}")]
    EntrySize {
        /// The entry.
        name: String,
        /// Its size.
        size: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The numbers are not little-endian.
    #[error("byte order {found:?}, only little-endian files are read")]
    ByteOrder {
        /// What the file says.
        found: String,
    },
    /// The pickle is damaged, or asks for something that is not data.
    #[error("pickle: {0}")]
    Pickle(#[source] PickleFault),
    /// The pickle does not hold a state dict.
    #[error("holds {found}, not a dictionary of tensors: save model.state_dict() instead")]
    NotStateDict {
        /// What it holds.
        found: &'static str,
    },
    /// Something in the state dict is not a tensor.
    #[error("state dict: {key} is {found}, not a tensor")]
    NotTensor {
        /// Its key.
        key: String,
        /// What it is.
        found: &'static str,
    },
    /// A name appears twice.
    #[error("tensor {tensor} appears twice")]
    DuplicateTensor {
        /// The name.
        tensor: String,
    },
    /// A storage is not as long as the pickle says.
    #[error(
        "tensor {tensor}: storage {key} should have {elements} numbers of type {dtype}, its entry has {held} bytes"
    )]
    StorageSize {
        /// The tensor.
        tensor: String,
        /// The storage.
        key: String,
        /// The numbers it should hold.
        elements: u64,
        /// Their type.
        dtype: Dtype,
        /// The bytes it holds.
        held: u64,
    },
    /// A tensor has more dimensions than any model's, or not one stride for each.
    #[error("tensor {tensor}: {sizes} sizes and {strides} strides, at most {} are read", MAX_RANK)]
    Rank {
        /// The tensor.
        tensor: String,
        /// Number of sizes.
        sizes: usize,
        /// Number of strides.
        strides: usize,
    },
    /// A size, stride or offset is negative.
    #[error("tensor {tensor}: {what} {value} is negative")]
    Negative {
        /// The tensor.
        tensor: String,
        /// Which of them.
        what: &'static str,
        /// Its value.
        value: i64,
    },
    /// A tensor reaches beyond its storage, or repeats it.
    #[error(
        "tensor {tensor}: shape {shape:?}, strides {strides:?}, offset {offset} do not fit a storage of {available} numbers"
    )]
    TensorRange {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<u64>,
        /// Its strides, in numbers.
        strides: Vec<u64>,
        /// Its first number.
        offset: u64,
        /// The numbers there are.
        available: u64,
    },
}

/// Reads and checks the tensors of `file`, the `index`-th of its checkpoint.
pub(super) fn read_entries(file: &WeightFile, index: usize) -> Result<Vec<(String, Entry)>, Error> {
    let fail = |fault| Error::Pytorch { path: file.path().to_owned(), fault };
    let archive = Archive::read(file)?;
    let bytes = archive.read_pickle(file)?;
    let (root, heap) = pickle::read(&bytes).map_err(|fault| fail(PytorchFault::Pickle(fault)))?;
    entries::from_state_dict(root, &heap, &archive, index).map_err(fail)
}
