//! Safetensors: <https://huggingface.co/docs/safetensors>. Written by hand because the crate's writer wants all values
//! in memory.

use serde_json::{Map, Value, json};

use super::Result;

/// The header of a file that holds one f32 tensor `embeddings` `[rows, width]`; the values follow, little endian.
pub(super) fn header(rows: u64, width: usize, metadata: &Map<String, Value>) -> Result<Vec<u8>> {
    let tensor =
        json!({ "dtype": "F32", "shape": [rows, width], "data_offsets": [0, rows * width as u64 * 4] });
    Ok(with_metadata(Map::from_iter([("embeddings".to_owned(), tensor)]), metadata)?)
}

/// The header of a file of lists of numbers: name, kind, length and bytes of a number; they follow in this order.
pub(super) fn header_of(
    lists: &[(&str, &str, u64, u64)],
    metadata: &Map<String, Value>,
) -> serde_json::Result<Vec<u8>> {
    let mut end = 0;
    let mut tensors = Map::new();
    for &(name, kind, length, size) in lists {
        let start = end;
        end += length * size;
        tensors.insert(
            name.to_owned(),
            json!({ "dtype": kind, "shape": [length], "data_offsets": [start, end] }),
        );
    }
    with_metadata(tensors, metadata)
}

fn with_metadata(
    mut tensors: Map<String, Value>,
    metadata: &Map<String, Value>,
) -> serde_json::Result<Vec<u8>> {
    // The format's metadata maps names to strings: other values are kept as their JSON text.
    let strings: Map<String, Value> = metadata
        .iter()
        .map(|(key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (key.clone(), Value::String(text))
        })
        .collect();
    tensors.insert("__metadata__".to_owned(), Value::Object(strings));
    let mut text = serde_json::to_vec(&tensors)?;
    // The values begin at a multiple of 8; the format asks for spaces as padding.
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut header = (text.len() as u64).to_le_bytes().to_vec();
    header.append(&mut text);
    Ok(header)
}
