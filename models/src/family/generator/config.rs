//! `config.json` of a Llama.

use crate::attention::scaling::RopeScaling;
use crate::attention::{RopeStyle, Rotary};
use crate::family::Error;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Sizes of a model and its positions; names are those of the published file, in the style of transformers 4 or 5.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Width of a token's state.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads a layer.
    pub num_attention_heads: usize,
    /// Key/value heads a layer; divides the query heads.
    pub num_key_value_heads: usize,
    /// Size of one head. Not always `hidden_size / num_attention_heads`.
    pub head_dim: usize,
    /// Width of the gated feed-forward layer.
    pub intermediate_size: usize,
    /// Entries of the vocabulary.
    pub vocab_size: usize,
    /// Tokens that the model was trained on at once; longer input is possible and not covered by training.
    pub max_position_embeddings: usize,
    /// Added to the mean square in every normalisation.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How they were changed for longer sequences.
    pub rope_scaling: RopeScaling,
    /// Whether the output matrix is the word embedding.
    pub tie_word_embeddings: bool,
}

/// The file's fields, before defaults and checks.
#[derive(Deserialize)]
struct File {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Map<String, Value>>,
    rope_parameters: Option<Map<String, Value>>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    sliding_window: Option<u64>,
}

/// Far above any published model, far below what overflows an allocation or a loop.
const LARGEST: usize = 1 << 24;

impl Config {
    /// Reads the sizes and refuses what this family does not compute.
    pub fn from_json(config: &Value) -> Result<Self, Error> {
        let file =
            File::deserialize(config).map_err(|source| Error::Config { reason: source.to_string() })?;
        let refuse = |reason: String| Err(Error::Config { reason });
        let heads = file.num_attention_heads;
        let kv_heads = file.num_key_value_heads.unwrap_or(heads);
        for (name, value, largest) in [
            ("hidden_size", file.hidden_size, LARGEST),
            ("num_hidden_layers", file.num_hidden_layers, 4096),
            ("num_attention_heads", heads, LARGEST),
            ("num_key_value_heads", kv_heads, LARGEST),
            ("intermediate_size", file.intermediate_size, LARGEST),
            ("vocab_size", file.vocab_size, LARGEST),
            ("max_position_embeddings", file.max_position_embeddings, 1 << 31),
            ("head_dim", file.head_dim.unwrap_or(1), LARGEST),
        ] {
            if value == 0 || value > largest {
                return refuse(format!("{name} is {value}, not between 1 and {largest}"));
            }
        }
        if !heads.is_multiple_of(kv_heads) {
            return refuse(format!(
                "num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads}"
            ));
        }
        let head_dim = file.head_dim.unwrap_or(file.hidden_size / heads);
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return refuse(format!("heads of {head_dim}: rotary positions turn pairs of numbers"));
        }
        if heads * head_dim > LARGEST {
            return refuse(format!("{heads} heads of {head_dim}"));
        }
        for (name, set) in [("attention_bias", file.attention_bias), ("mlp_bias", file.mlp_bias)] {
            if set {
                return refuse(format!("{name} is true; only layers without biases are computed"));
            }
        }
        if let Some(act) = file.hidden_act.filter(|act| act != "silu") {
            return refuse(format!("hidden_act is {act:?}; this family computes \"silu\""));
        }
        if let Some(window) = file.sliding_window {
            return refuse(format!("sliding_window is {window}; this family has no window"));
        }
        let epsilon = file.rms_norm_eps.unwrap_or(1e-6);
        if !(epsilon > 0.0 && epsilon < 1.0) {
            return refuse(format!("rms_norm_eps is {epsilon}"));
        }
        let parameters = file.rope_parameters.or(file.rope_scaling).unwrap_or_default();
        let inner = parameters.get("rope_theta").map(|theta| {
            theta.as_f64().ok_or_else(|| Error::Config { reason: format!("rope_theta is {theta}") })
        });
        let theta = inner.transpose()?.or(file.rope_theta).unwrap_or(10_000.0);
        if !(theta > 1.0 && theta.is_finite()) {
            return refuse(format!("rope_theta is {theta}"));
        }
        Ok(Self {
            hidden_size: file.hidden_size,
            num_hidden_layers: file.num_hidden_layers,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim,
            intermediate_size: file.intermediate_size,
            vocab_size: file.vocab_size,
            max_position_embeddings: file.max_position_embeddings,
            rms_norm_eps: epsilon,
            rope_theta: theta,
            rope_scaling: scaling(parameters, file.max_position_embeddings)?,
            tie_word_embeddings: file.tie_word_embeddings,
        })
    }

    /// The rotary table for sequences of up to `tokens`.
    pub fn rotary(&self, tokens: usize) -> Rotary {
        self.rope_scaling.rotary(self.rope_theta, self.head_dim, RopeStyle::Half, tokens)
    }

    /// Numbers that a token adds to the key/value cache.
    pub fn cache_width(&self) -> usize {
        2 * self.num_hidden_layers * self.num_key_value_heads * self.head_dim
    }
}

/// Fields of `rope_scaling` and `rope_parameters` that are read. Others change the numbers in ways that are not computed.
const KNOWN: [&str; 10] = [
    "rope_type",
    "type",
    "rope_theta",
    "factor",
    "original_max_position_embeddings",
    "beta_fast",
    "beta_slow",
    "attention_factor",
    "truncate",
    "finetuned",
];

fn scaling(mut parameters: Map<String, Value>, trained: usize) -> Result<RopeScaling, Error> {
    let refuse = |reason: String| Error::Config { reason: format!("rope parameters: {reason}") };
    parameters.retain(|_, value| !value.is_null());
    if let Some(old) = parameters.remove("type") {
        parameters.entry("rope_type").or_insert(old);
    }
    if let Some(name) = parameters.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Err(refuse(format!("{name} is not known")));
    }
    let kind = parameters.entry("rope_type").or_insert("default".into()).clone();
    if !["default", "linear", "dynamic", "yarn"].iter().any(|known| kind == *known) {
        return Err(refuse(format!("rope_type {kind} is not computed")));
    }
    if let Some(factor) =
        parameters.get("factor").filter(|factor| factor.as_f64().is_none_or(|f| f.is_nan() || f < 1.0))
    {
        return Err(refuse(format!("factor is {factor}")));
    }
    // As transformers: the length that the configuration names.
    parameters.entry("original_max_position_embeddings").or_insert(trained.into());
    RopeScaling::deserialize(Value::Object(parameters)).map_err(|source| refuse(source.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attention::scaling::Yarn;
    use serde_json::json;

    fn published() -> Value {
        json!({
            "hidden_size": 3072, "num_hidden_layers": 30, "num_attention_heads": 32, "num_key_value_heads": 4,
            "intermediate_size": 8448, "vocab_size": 4128, "max_position_embeddings": 16384, "rope_theta": 500_000.0,
            "rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_scaling": null, "model_type": "llama"
        })
    }

    fn with(changes: Value) -> Result<Config, Error> {
        let (mut config, Value::Object(changes)) = (published(), changes) else { panic!("an object") };
        config.as_object_mut().expect("an object").extend(changes);
        Config::from_json(&config)
    }

    #[test]
    fn both_styles_of_keys_are_one_configuration() {
        let old = Config::from_json(&published()).expect("a configuration");
        assert_eq!((old.head_dim, old.cache_width()), (96, 23_040));
        let new = with(json!({
            "rope_theta": null, "rope_parameters": { "rope_type": "default", "rope_theta": 500_000.0 }, "head_dim": 96
        }));
        assert_eq!(new.expect("a configuration"), old);
    }

    #[test]
    fn yarn_takes_its_training_length_from_the_configuration() {
        let config =
            with(json!({ "rope_scaling": { "type": "yarn", "factor": 4.0 } })).expect("a configuration");
        let RopeScaling::Yarn(Yarn { factor, trained, .. }) = config.rope_scaling else { panic!("yarn") };
        assert_eq!((factor, trained), (4.0, 16384));
    }

    #[test]
    fn what_would_give_other_numbers_is_refused_by_name() {
        for (changes, part) in [
            (json!({ "attention_bias": true }), "attention_bias"),
            (json!({ "hidden_act": "gelu" }), "gelu"),
            (json!({ "num_key_value_heads": 5 }), "num_key_value_heads 5"),
            (json!({ "head_dim": 7 }), "heads of 7"),
            (json!({ "hidden_size": 0 }), "hidden_size is 0"),
            (json!({ "rope_scaling": { "rope_type": "llama3", "factor": 8.0 } }), "llama3"),
            (json!({ "rope_scaling": { "rope_type": "yarn", "factor": 4.0, "mscale": 0.7 } }), "mscale"),
            (json!({ "rope_scaling": { "rope_type": "linear", "factor": 0.0 } }), "factor is 0"),
            (json!({ "rope_scaling": { "rope_type": "linear" } }), "factor"),
            (json!({ "rope_theta": -1.0 }), "rope_theta is -1"),
            (json!({ "sliding_window": 4096 }), "4096"),
        ] {
            let error = with(changes).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
