//! The tensors of a checkpoint: names, shapes, and which may be absent.

use super::Config;
use crate::checkpoint::{Error, Expected, Weights};

/// Every tensor a DNABERT-2 checkpoint of these sizes may hold. Shapes are PyTorch's: `Linear.weight` is
/// `[out, in]`.
///
/// The decoder matrix is the word embedding again: safetensors leaves it out, a `.bin` file repeats it. A base
/// checkpoint has the masked-language-model head and no pooler; a fine-tuned one has pooler and classifier. A head
/// is there as a whole or not at all; `holds` tells whether the checkpoint has a tensor, `labels` is the number of
/// classes of its classifier.
pub fn expected(config: &Config, labels: usize, holds: impl Fn(&str) -> bool) -> Vec<Expected> {
    let (h, i, v) = (config.hidden_size, config.intermediate_size, config.vocab_size);
    let words = "bert.embeddings.word_embeddings.weight";
    let mut all = vec![
        Expected::required(words, [v, h]),
        Expected::required("bert.embeddings.token_type_embeddings.weight", [config.type_vocab_size, h]),
        Expected::required("bert.embeddings.LayerNorm.weight", [h]),
        Expected::required("bert.embeddings.LayerNorm.bias", [h]),
    ];
    for layer in 0..config.num_hidden_layers {
        let mut add = |part: &str, shape: &[usize]| {
            all.push(Expected::required(format!("bert.encoder.layer.{layer}.{part}"), shape));
        };
        add("attention.self.Wqkv.weight", &[3 * h, h]);
        add("attention.self.Wqkv.bias", &[3 * h]);
        add("attention.output.dense.weight", &[h, h]);
        add("attention.output.dense.bias", &[h]);
        add("attention.output.LayerNorm.weight", &[h]);
        add("attention.output.LayerNorm.bias", &[h]);
        add("mlp.gated_layers.weight", &[2 * i, h]);
        add("mlp.wo.weight", &[h, i]);
        add("mlp.wo.bias", &[h]);
        add("mlp.layernorm.weight", &[h]);
        add("mlp.layernorm.bias", &[h]);
    }
    let transform = "cls.predictions.transform";
    let heads: [&[(String, Vec<usize>)]; 3] = [
        &[
            (format!("{transform}.dense.weight"), vec![h, h]),
            (format!("{transform}.dense.bias"), vec![h]),
            (format!("{transform}.LayerNorm.weight"), vec![h]),
            (format!("{transform}.LayerNorm.bias"), vec![h]),
            ("cls.predictions.decoder.bias".into(), vec![v]),
        ],
        &[("bert.pooler.dense.weight".into(), vec![h, h]), ("bert.pooler.dense.bias".into(), vec![h])],
        &[("classifier.weight".into(), vec![labels, h]), ("classifier.bias".into(), vec![labels])],
    ];
    for head in heads {
        let whole = head.iter().any(|(name, _)| holds(name));
        all.extend(head.iter().map(|(name, shape)| {
            let make = if whole { Expected::required } else { Expected::optional };
            make(name.clone(), shape.clone())
        }));
    }
    all.push(Expected::tied_to("cls.predictions.decoder.weight", [v, h], words));
    all
}

/// The tensors of a base checkpoint: encoder and masked-language-model head.
pub fn base(config: &Config) -> Vec<Expected> {
    expected(config, 0, |name| name.starts_with("cls."))
}

/// The weights under the names of [`expected`], after checking that every tensor is known, present and of its shape.
pub fn matched(config: &Config, weights: Weights) -> Result<Weights, Error> {
    // Names first (wrappers leave prefixes on them), for only then can heads be looked for.
    let weights = weights.normalised(&expected(config, 0, |_| true))?;
    let labels = weights.shape("classifier.weight").ok().and_then(|shape| shape.first().copied());
    let expected = expected(config, labels.unwrap_or(0), |name| weights.contains(name));
    weights.check(&expected, is_buffer)?;
    Ok(weights)
}

/// Numbers that old versions of the reference saved and that are not weights.
fn is_buffer(name: &str) -> bool {
    name == "bert.embeddings.position_ids" || name == "bert.embeddings.token_type_ids"
}
