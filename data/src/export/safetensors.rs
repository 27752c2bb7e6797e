//! Safetensors: <https://huggingface.co/docs/safetensors>. Written by hand because the crate's writer wants all values
//! in memory.

use serde_json::{Map, Value, json};

use super::Result;

/// The name of the tensor in the file.
const TENSOR: &str = "embeddings";

/// The header of a file that holds one f32 tensor `[rows, width]`; the values follow, little endian.
pub(super) fn header(rows: u64, width: usize, metadata: &Map<String, Value>) -> Result<Vec<u8>> {
    // The format's metadata maps names to strings: other values are kept as their JSON text.
    let strings: Map<String, Value> = metadata
        .iter()
        .map(|(key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (key.clone(), Value::String(text))
        })
        .collect();
    let mut text = serde_json::to_vec(&json!({
        "__metadata__": strings,
        TENSOR: { "dtype": "F32", "shape": [rows, width], "data_offsets": [0, rows * width as u64 * 4] },
    }))?;
    // The values begin at a multiple of 8; the format asks for spaces as padding.
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    Ok(header)
}
