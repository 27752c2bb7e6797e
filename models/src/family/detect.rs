//! Which family a checkpoint belongs to, from its tensors first and its configuration second.

use super::Error;
use crate::checkpoint::Checkpoint;

/// The families kilobase computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// DNABERT-2 and other MosaicBERT encoders.
    DnaBert2,
    /// GENERator and other Llama decoders.
    Generator,
}

/// Names the family, or says what the directory holds instead.
///
/// `model_type: "bert"` is not enough: DNABERT-2 and standard BERT share it, and loading one as the other gives
/// a network of random weights. The fused `Wqkv` projection, or `alibi_starting_size`, tells them apart.
pub fn detect(checkpoint: &Checkpoint) -> Result<Family, Error> {
    let config = checkpoint.config();
    let holds = |part: &str| checkpoint.weights().names().any(|name| name.contains(part));
    if holds(".attention.self.Wqkv.weight") {
        return Ok(Family::DnaBert2);
    }
    if holds(".attention.self.query.weight") {
        return Err(Error::Unsupported {
            found: "a standard BERT (attention.self.query, no attention.self.Wqkv)".into(),
            reason: "its tensors would not fit DNABERT-2, whose config.json has the same model_type \"bert\"",
        });
    }
    if config.get("alibi_starting_size").is_some() {
        return Ok(Family::DnaBert2);
    }
    let model_type = config.get("model_type").and_then(|t| t.as_str());
    // Other decoders have the same names: only the configuration says what is between them.
    if model_type == Some("llama") {
        return Ok(Family::Generator);
    }
    let reason = "kilobase reads DNABERT-2 encoders and Llama decoders such as GENERator; neither the tensors nor \
                  config.json are of these families";
    let found = model_type.map_or("a config.json without model_type".into(), |t| format!("model_type {t:?}"));
    Err(Error::Unsupported { found, reason })
}
