//! What can be wrong with a checkpoint.

use std::{io, path::PathBuf};

use safetensors::Dtype;
use thiserror::Error;

use super::expected::Mismatch;
use super::hub::HubFault;
use super::index::IndexFault;
use super::pytorch::PytorchFault;
use super::safetensors::HeaderFault;

/// A checkpoint could not be found, read, matched or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory lacks what makes it a model directory.
    #[error("{}: none of {} found", path.display(), looked_for.join(", "))]
    NotFound {
        /// The directory.
        path: PathBuf,
        /// The names that would have served.
        looked_for: Vec<&'static str>,
    },
    /// A pipe, a device or a directory stands where a file should.
    #[error("{}: not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A small file is too big to be what it claims to be.
    #[error("{}: {size} bytes, more than the limit of {limit}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The most that is read.
        limit: u64,
    },
    /// A JSON file does not hold the JSON it should.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The header of a safetensors file breaks the format.
    #[error("{}: {fault}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// The rule that is broken, and by which value.
        fault: HeaderFault,
    },
    /// A `pytorch_model.bin` is damaged, of another kind, or asks for code to be run.
    #[error("{}: {fault}", path.display())]
    Pytorch {
        /// The file.
        path: PathBuf,
        /// The rule that is broken, and by which value.
        fault: PytorchFault,
    },
    /// The index of a sharded checkpoint and its shards disagree.
    #[error("{}: {fault}", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// How they disagree.
        fault: IndexFault,
    },
    /// No tensor has this name.
    #[error("{}: no tensor {name}", path.display())]
    UnknownTensor {
        /// The checkpoint's directory.
        path: PathBuf,
        /// The name asked for.
        name: String,
    },
    /// A weight is stored as something other than floating-point numbers.
    #[error("{}: tensor {name}: {dtype} where floating-point numbers are needed", path.display())]
    NotFloat {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// How it is stored.
        dtype: Dtype,
    },
    /// The tensors are not those the model needs.
    #[error("{}: {mismatch}", path.display())]
    Mismatch {
        /// The checkpoint's directory.
        path: PathBuf,
        /// Everything that is missing, left over or of another shape.
        mismatch: Box<Mismatch>,
    },
    /// Two stored tensors have one name once prefixes and old spellings are removed.
    #[error("{}: tensors {first} and {second} are both {name}", path.display())]
    NameClash {
        /// The checkpoint's directory.
        path: PathBuf,
        /// The name after renaming.
        name: String,
        /// One stored name.
        first: String,
        /// The other stored name.
        second: String,
    },
    /// A stored copy of a tied tensor differs from the tensor it is tied to.
    #[error("{}: tensor {name} differs from {other}, to which it is tied", path.display())]
    TiedDiffers {
        /// The checkpoint's directory.
        path: PathBuf,
        /// The copy.
        name: String,
        /// The tensor it should repeat.
        other: String,
    },
    /// Something that cannot be written as safetensors.
    #[error("{}: tensor {name}: {reason}", path.display())]
    Unwritable {
        /// The file to be written.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Why it cannot be written.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A model's name could not be turned into a directory.
    #[error("{name}: {fault}")]
    Hub {
        /// The name as it was given.
        name: String,
        /// Why not.
        fault: HubFault,
    },
}

impl Error {
    /// Whether something that must be there is not (a file, a directory, a reachable hub), rather than there and wrong.
    pub fn is_missing_resource(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::NotFound { .. } => true,
            Self::Hub { fault, .. } => fault.is_missing_resource(),
            _ => false,
        }
    }
}
