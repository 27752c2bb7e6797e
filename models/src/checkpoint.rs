//! Hugging Face model directories in, named tensors out; and back.
//!
//! A directory holds `config.json` and weights: `model.safetensors`, or shards with `model.safetensors.index.json`, or the
//! same as `pytorch_model.bin`. Opening one reads headers only and checks them completely: every input counts as hostile,
//! lengths are checked before memory is taken for them, and nothing in a file is ever run.
//!
//! ```no_run
//! use kilobase_models::checkpoint::{Checkpoint, Expected};
//!
//! # fn main() -> Result<(), kilobase_models::checkpoint::Error> {
//! let checkpoint = Checkpoint::open("dnabert2".as_ref())?;
//! let expected = [Expected::required("bert.embeddings.word_embeddings.weight", [4096, 768])];
//! let weights = checkpoint.into_weights().normalised(&expected)?;
//! weights.check(&expected, |name| name.starts_with("cls."))?;
//! let embeddings = weights.read_f32("bert.embeddings.word_embeddings.weight")?;
//! # Ok(())
//! # }
//! ```

mod error;
mod expected;
mod file;
pub mod hub;
mod index;
mod names;
mod pytorch;
mod safetensors;
mod source;
mod tensor;
mod unique_map;
mod weights;
mod write;

use std::path::{Path, PathBuf};

pub use self::{
    error::Error,
    expected::{Expected, Mismatch, Presence, WrongShape},
    hub::HubFault,
    index::IndexFault,
    pytorch::{PickleFault, PytorchFault},
    safetensors::HeaderFault,
    weights::Weights,
    write::{NamedTensor, Precision, write_safetensors},
};
pub use ::safetensors::Dtype;

/// The name of the configuration in a model directory.
pub const CONFIG: &str = "config.json";

/// The largest configuration that is read.
const MAX_CONFIG: u64 = 16 << 20;

/// Opens a model directory, reads all tensors of floating-point numbers, and asserts that each has as many as its shape
/// says. Returns how many in all: used by the property tests and the fuzz targets.
#[doc(hidden)]
pub fn check(dir: &Path) -> Result<usize, Error> {
    let checkpoint = Checkpoint::open(dir)?;
    let weights = checkpoint.weights();
    let mut numbers = 0;
    for name in weights.names() {
        match weights.read_f32(name) {
            Ok(values) => {
                assert_eq!(values.len(), weights.shape(name)?.iter().product::<usize>(), "numbers of {name}");
                numbers += values.len();
            }
            Err(Error::NotFloat { .. } | Error::Io { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(numbers)
}

/// An opened model directory.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    config: serde_json::Value,
    weights: Weights,
}

impl Checkpoint {
    /// Opens a model directory. Safetensors are preferred to `pytorch_model.bin`, one file to shards.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(CONFIG);
        if dir.is_dir() && !path.exists() {
            return Err(Error::NotFound { path: dir.to_owned(), looked_for: vec![CONFIG] });
        }
        let config: serde_json::Map<String, serde_json::Value> = file::read_json(&path, MAX_CONFIG)?;
        let weights = source::open(dir)?;
        Ok(Self { dir: dir.to_owned(), config: config.into(), weights })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The configuration, an object, as it is in `config.json`.
    pub fn config(&self) -> &serde_json::Value {
        &self.config
    }

    /// Where the configuration is.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join(CONFIG)
    }

    /// The tensors.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The tensors, for renaming them.
    pub fn into_weights(self) -> Weights {
        self.weights
    }

    /// Every file the checkpoint was read from: the configuration, an index if there is one, the weights.
    pub fn files(&self) -> Vec<PathBuf> {
        let index = source::find(&self.dir).and_then(source::Source::index);
        let weights = self.weights.files().map(Path::to_owned);
        [Some(self.config_path()), index.map(|name| self.dir.join(name))]
            .into_iter()
            .flatten()
            .chain(weights)
            .collect()
    }
}
