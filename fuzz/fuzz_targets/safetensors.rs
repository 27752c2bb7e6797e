#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &[u8]| {
    let model = tempfile::tempdir().expect("a directory");
    fs::write(model.path().join("config.json"), "{}").expect("a file");
    let file = [&(header.len() as u64).to_le_bytes(), header, &[7; 64]].concat();
    fs::write(model.path().join("model.safetensors"), file).expect("a file");
    // Refusals are as good as tensors.
    let _ = kilobase_models::checkpoint::check(model.path());
});
