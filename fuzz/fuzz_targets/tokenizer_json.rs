#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| kilobase_data::tokenize::check_tokenizer_json(bytes, b"ACGTNNACGT[MASK]acgt \xc3\xa9"));
