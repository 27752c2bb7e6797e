#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let [k, vocabulary @ ..] = bytes {
        kilobase_data::tokenize::check_kmer_vocabulary(vocabulary, u64::from(*k), b"ACGTNN<s>ACGTA<x>cgt \xc3\xa9");
    }
});
