#![no_main]

use kilobase_codecs::compress::{cm, neighbours};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    cm::check(body);
    neighbours::check(body);
});
