//! A container header, a manifest, and reads (lines) of a pool.

#![no_main]

use kilobase_codecs::archive::manifest::Manifest;
use kilobase_codecs::archive::{PRESETS, container, decode::Decoder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    container::check(bytes);
    if let Err(error) = Manifest::parse(bytes, "m.json") {
        assert!(error.to_string().starts_with("m.json: "), "errors name the file");
    }
    let reads: Vec<Vec<u8>> = bytes.split(|&byte| byte == b'\n').take(50).map(<[u8]>::to_vec).collect();
    let mut decoder = Decoder::without_manifest(&PRESETS[0].format(1)).expect("presets hold together");
    decoder.push(&reads);
    let (report, outcome) = decoder.finish(&mut Vec::new());
    assert_eq!(report.reads, reads.len() as u64);
    // A file of less than 64 bytes takes four strands; nobody finds their checksums by chance.
    assert!(outcome.is_err(), "a file out of noise");
});
