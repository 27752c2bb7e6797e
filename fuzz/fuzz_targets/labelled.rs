#![no_main]

use kilobase_codecs::compress::labelled;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| labelled::check(bytes));
