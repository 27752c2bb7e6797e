//! The tensors of a checkpoint: names, shapes, and which may be absent.

use super::Config;
use crate::checkpoint::{Error, Expected, Weights};

/// Every tensor a checkpoint of these sizes may hold. Shapes are PyTorch's: `Linear.weight` is `[out, in]`.
///
/// The classification head `score` is there after fine-tuning only; then the output matrix may be absent. `holds` tells
/// whether the checkpoint has a tensor, `labels` is the number of classes.
pub fn expected(config: &Config, labels: usize, holds: impl Fn(&str) -> bool) -> Vec<Expected> {
    let (h, i, v) = (config.hidden_size, config.intermediate_size, config.vocab_size);
    let (q, kv) =
        (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    let words = "model.embed_tokens.weight";
    let mut all = vec![Expected::required(words, [v, h]), Expected::required("model.norm.weight", [h])];
    for layer in 0..config.num_hidden_layers {
        let mut add = |part: &str, shape: &[usize]| {
            all.push(Expected::required(format!("model.layers.{layer}.{part}.weight"), shape));
        };
        add("self_attn.q_proj", &[q, h]);
        add("self_attn.k_proj", &[kv, h]);
        add("self_attn.v_proj", &[kv, h]);
        add("self_attn.o_proj", &[h, q]);
        add("mlp.gate_proj", &[i, h]);
        add("mlp.up_proj", &[i, h]);
        add("mlp.down_proj", &[h, i]);
        add("input_layernorm", &[h]);
        add("post_attention_layernorm", &[h]);
    }
    all.push(if config.tie_word_embeddings {
        Expected::tied_to("lm_head.weight", [v, h], words)
    } else if holds("score.weight") {
        Expected::optional("lm_head.weight", [v, h])
    } else {
        Expected::required("lm_head.weight", [v, h])
    });
    all.push(Expected::optional("score.weight", [labels, h]));
    all
}

/// The weights under the names of [`expected`], after checking that every tensor is known, present and of its shape.
pub fn matched(config: &Config, weights: Weights) -> Result<Weights, Error> {
    // Names first (wrappers leave prefixes on them), for only then can heads be looked for.
    let weights = weights.normalised(&expected(config, 0, |_| true))?;
    let labels = weights.shape("score.weight").ok().and_then(|shape| shape.first().copied());
    let expected = expected(config, labels.unwrap_or(0), |name| weights.contains(name));
    weights.check(&expected, is_buffer)?;
    Ok(weights)
}

/// Numbers that old versions of transformers saved and that are not weights.
fn is_buffer(name: &str) -> bool {
    name.ends_with(".self_attn.rotary_emb.inv_freq")
}
