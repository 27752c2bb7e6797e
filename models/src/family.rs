//! Model families: configuration, block and weight names of each, composed from the core.

mod detect;
pub mod dnabert2;
pub mod generator;
mod random;

pub use detect::{Family, detect};
pub use random::{RandomTensor, random};

use crate::checkpoint::{self, Checkpoint};
use crate::nn::Precision;
use burn::tensor::{Device, Tensor};
use dnabert2::DnaBert2;
use generator::Generator;
use kilobase_data::batch::PackedBatch;

/// Why a checkpoint is not a model that kilobase computes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration lacks something or says something this family does not compute.
    #[error("config.json: {reason}")]
    Config {
        /// What, with the value.
        reason: String,
    },
    /// A family that is known and not read.
    #[error("{found} is not supported: {reason}")]
    Unsupported {
        /// What was found.
        found: String,
        /// Why it is refused.
        reason: &'static str,
    },
    /// Weights that do not fit the configuration, or cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
}

/// A loaded model of any family.
#[derive(Debug)]
pub enum Model {
    /// A DNABERT-2 (MosaicBERT) encoder.
    DnaBert2 {
        /// Its sizes.
        config: dnabert2::Config,
        /// Its weights and forward pass.
        model: Box<DnaBert2>,
    },
    /// A GENERator-style (Llama) decoder.
    Generator {
        /// Its sizes.
        config: generator::Config,
        /// Its weights and forward pass.
        model: Box<Generator>,
    },
}

impl Model {
    /// Detects the family of a checkpoint, checks every tensor against it and loads it onto a device.
    ///
    /// # Panics
    /// If a precision other than f32 is asked for elsewhere than on the processor.
    pub fn load(checkpoint: Checkpoint, device: &Device, precision: Precision) -> Result<Self, Error> {
        match detect(&checkpoint)? {
            Family::DnaBert2 => {
                let config = dnabert2::Config::from_json(checkpoint.config())?;
                let weights = dnabert2::matched(&config, checkpoint.into_weights())?;
                let model = DnaBert2::load(&config, &weights, device, precision)?;
                Ok(Self::DnaBert2 { config, model: Box::new(model) })
            }
            Family::Generator => {
                let config = generator::Config::from_json(checkpoint.config())?;
                let weights = generator::matched(&config, checkpoint.into_weights())?;
                let model = Generator::load(&config, &weights, device, precision)?;
                Ok(Self::Generator { config, model: Box::new(model) })
            }
        }
    }

    /// The family's name, as written to metadata.
    pub fn family(&self) -> &'static str {
        match self {
            Self::DnaBert2 { .. } => "dnabert2",
            Self::Generator { .. } => "generator",
        }
    }

    /// Width of a token's state.
    pub fn hidden_size(&self) -> usize {
        match self {
            Self::DnaBert2 { config, .. } => config.hidden_size,
            Self::Generator { config, .. } => config.hidden_size,
        }
    }

    /// Entries of the vocabulary.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::DnaBert2 { config, .. } => config.vocab_size,
            Self::Generator { config, .. } => config.vocab_size,
        }
    }

    /// Number of layers; states are numbered `0..=layers`.
    pub fn layers(&self) -> usize {
        match self {
            Self::DnaBert2 { config, .. } => config.num_hidden_layers,
            Self::Generator { config, .. } => config.num_hidden_layers,
        }
    }

    /// What the operands of products are rounded to.
    pub fn precision(&self) -> Precision {
        match self {
            Self::DnaBert2 { model, .. } => model.precision(),
            Self::Generator { model, .. } => model.precision(),
        }
    }

    /// State of every token after layer `layer` (0: the embeddings), `[tokens, hidden]` row by row.
    ///
    /// # Panics
    /// If the model has no such layer or an id is not in its vocabulary.
    pub fn state(&self, batch: &PackedBatch, layer: usize) -> Vec<f32> {
        match self {
            Self::DnaBert2 { model, .. } => values(model.state(batch, layer)),
            Self::Generator { model, .. } => values(model.state(batch, layer)),
        }
    }

    /// Masked-language-model logits at chosen rows of a batch, `[rows, vocab]` row by row, and the size of the
    /// vocabulary; `None` if the checkpoint has no such head.
    ///
    /// # Panics
    /// As [`Self::state`], or if there is no such row.
    pub fn mlm_logits(&self, batch: &PackedBatch, rows: &[usize]) -> Option<(Vec<f32>, usize)> {
        match self {
            Self::DnaBert2 { config, model } => {
                let state = model.state(batch, config.num_hidden_layers);
                Some((values(model.mlm_logits(&state, rows)?), config.vocab_size))
            }
            Self::Generator { .. } => None,
        }
    }

    /// Bytes of the weights as they are held: packed for the processor in the precision asked for, and what is looked up by
    /// rows, such as the embeddings, in f32.
    pub fn weight_bytes(&self) -> u64 {
        let bytes = match self {
            Self::DnaBert2 { model, .. } => model.weight_bytes(),
            Self::Generator { model, .. } => model.weight_bytes(),
        };
        bytes as u64
    }

    /// Bytes of activations at the widest point of a forward pass over this many tokens, weights not counted.
    pub fn activation_bytes(&self, tokens: usize) -> u64 {
        let floats = match self {
            // Packed: the residual, the projection, what attention makes of it, and the results of both halves of a
            // layer; intermediate numbers exist for a few rows at a time.
            Self::DnaBert2 { config: c, model } if model.is_packed() => 7 * c.hidden_size,
            // Of one layer, at once: the residual, the gated projection and the two halves after it; attention
            // needs 3 + 2 hidden widths where the feed-forward part needs four intermediate ones.
            Self::DnaBert2 { config: c, .. } => {
                2 * c.hidden_size + 4 * c.intermediate_size.max(2 * c.hidden_size)
            }
            // The residual, a normalised copy, queries, keys and values, what attention makes of them, a result.
            Self::Generator { config: c, model } => {
                let (q, kv) = (c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim);
                let packed = 3 * c.hidden_size + 2 * q + 2 * kv;
                if model.is_packed() {
                    packed
                } else {
                    packed.max(2 * c.hidden_size + 4 * c.intermediate_size)
                }
            }
        };
        tokens as u64 * floats as u64 * 4
    }
}

/// The elements of a tensor in row-major order, as f32 on the host.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data_as::<f32>().try_into_vec().expect("converted to f32 just now")
}
