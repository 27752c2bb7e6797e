//! `config.json` of a DNABERT-2 checkpoint.

use crate::family::Error;
use serde::Deserialize;

/// Sizes of a model; names are those of the published file.
///
/// Several published fields say nothing about the network and are not read: there are no position embeddings
/// (`position_embedding_type`), no length limit (`max_position_embeddings`, `alibi_starting_size`), and
/// `pad_token_id` is not the tokenizer's padding id.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// Width of a token's state.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the gated feed-forward layer.
    pub intermediate_size: usize,
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Token types (sentence A and B).
    #[serde(default = "two")]
    pub type_vocab_size: usize,
    /// Added to the variance in every normalisation.
    #[serde(default = "layer_norm_eps")]
    pub layer_norm_eps: f64,
    #[serde(default = "gelu")]
    hidden_act: String,
}

fn two() -> usize {
    2
}

fn layer_norm_eps() -> f64 {
    1e-12
}

fn gelu() -> String {
    "gelu".into()
}

/// Far above any published model, far below what overflows an allocation or a loop.
const LARGEST: usize = 1 << 24;

impl Config {
    /// Reads the sizes and refuses what this family does not compute.
    pub fn from_json(config: &serde_json::Value) -> Result<Self, Error> {
        let config: Self = serde::Deserialize::deserialize(config)
            .map_err(|source| Error::Config { reason: source.to_string() })?;
        let refuse = |reason: String| Err(Error::Config { reason });
        for (name, value, largest) in [
            ("hidden_size", config.hidden_size, LARGEST),
            ("num_hidden_layers", config.num_hidden_layers, 4096),
            ("num_attention_heads", config.num_attention_heads, LARGEST),
            ("intermediate_size", config.intermediate_size, LARGEST),
            ("vocab_size", config.vocab_size, LARGEST),
            ("type_vocab_size", config.type_vocab_size, LARGEST),
        ] {
            if value == 0 || value > largest {
                return refuse(format!("{name} is {value}, not between 1 and {largest}"));
            }
        }
        if !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return refuse(format!(
                "hidden_size {} is not a multiple of num_attention_heads {}",
                config.hidden_size, config.num_attention_heads
            ));
        }
        if config.hidden_act != "gelu" {
            return refuse(format!(
                "hidden_act is {:?}; DNABERT-2 computes the exact \"gelu\"",
                config.hidden_act
            ));
        }
        if !(config.layer_norm_eps > 0.0 && config.layer_norm_eps < 1.0) {
            return refuse(format!("layer_norm_eps is {}", config.layer_norm_eps));
        }
        Ok(config)
    }

    /// Size of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}
