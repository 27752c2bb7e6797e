#![no_main]

use kilobase_codecs::compress::fasta;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let [block, bytes @ ..] = input {
        // Each block takes tables of its own: thousands of them would take minutes.
        let least = bytes.len().div_ceil(8);
        fasta::check(bytes, (1 + 8 * usize::from(*block)).max(least));
    }
});
