#![no_main]

use kilobase_codecs::compress::fasta;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let [block, bytes @ ..] = input {
        fasta::check(bytes, 1 + 8 * usize::from(*block));
    }
});
