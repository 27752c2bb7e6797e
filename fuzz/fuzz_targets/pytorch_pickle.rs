#![no_main]

use std::fs;
use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A `pytorch_model.bin` of a pickle and one storage.
fn archive(pickle: &[u8]) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [("data.pkl", pickle), ("byteorder", b"little"), ("data/0", &[0; 64])] {
        zip.start_file(format!("archive/{name}"), options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

fuzz_target!(|pickle: &[u8]| {
    let model = tempfile::tempdir().expect("a directory");
    fs::write(model.path().join("config.json"), "{}").expect("a file");
    let file = archive(pickle).expect("a vector takes all");
    fs::write(model.path().join("pytorch_model.bin"), file).expect("a file");
    // Refusals are as good as tensors.
    let _ = kilobase_models::checkpoint::check(model.path());
});
