//! The tiny model in the repository, and files made from it.

use std::{
    fs,
    io::{Cursor, Write},
    path::{Path, PathBuf},
};

use kilobase_models::checkpoint::{Checkpoint, Error};
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

pub(crate) fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/dnabert2-tiny")
}

pub(crate) fn bytes(name: &str) -> Vec<u8> {
    fs::read(dir().join(name)).unwrap()
}

/// A directory of a configuration and the given files.
pub(crate) fn model(files: &[(&str, &[u8])]) -> TempDir {
    let model = tempfile::tempdir().unwrap();
    fs::write(model.path().join("config.json"), "{}").unwrap();
    for (name, bytes) in files {
        fs::write(model.path().join(name), bytes).unwrap();
    }
    model
}

/// What opening a directory of one weight file gives.
pub(crate) fn open(name: &str, bytes: &[u8]) -> Result<Checkpoint, Error> {
    Checkpoint::open(model(&[(name, bytes)]).path())
}

pub(crate) fn safetensors(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// A tensor of `f32` as a header describes it.
pub(crate) fn info(shape: &[u64], start: u64, end: u64) -> Value {
    json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]})
}

/// An archive of entries under their full names.
pub(crate) fn zip(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A `pytorch_model.bin` of that pickle and storages 0, 1, ...
pub(crate) fn archive(pickle: &[u8], storages: &[&[u8]]) -> Vec<u8> {
    let names: Vec<String> = (0..storages.len()).map(|n| format!("archive/data/{n}")).collect();
    let mut entries = vec![("archive/data.pkl", pickle), ("archive/byteorder", b"little".as_slice())];
    entries.extend(names.iter().map(String::as_str).zip(storages.iter().copied()));
    zip(&entries, CompressionMethod::Stored)
}
