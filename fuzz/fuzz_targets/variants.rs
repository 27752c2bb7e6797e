#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    kilobase_data::variants::check(bytes);
    kilobase_data::variants::check(&[&b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"[..], bytes].concat());
});
