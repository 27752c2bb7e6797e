#![no_main]

use kilobase_codecs::compress::deflate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&at, bytes)) = input.split_first() else { return };
    // Bases make up most of what is compared; other bytes stay as they are.
    let bytes: Vec<u8> = bytes.iter().map(|&byte| if byte < 200 { b"ACGT"[usize::from(byte & 3)] } else { byte }).collect();
    let (x, y) = bytes.split_at(bytes.len() * usize::from(at) / 256);
    deflate::check(x, y);
});
