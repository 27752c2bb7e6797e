#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use kilobase_data::fastx;
use libfuzzer_sys::fuzz_target;

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

fuzz_target!(|bytes: &[u8]| {
    // The compressed data itself, past a header that the fuzzer would spend its time on finding.
    fastx::check(&[&HEADER, bytes].concat());
    fastx::check_deflate(bytes);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a vector takes all");
    fastx::check(&encoder.finish().expect("a vector takes all"));
});
