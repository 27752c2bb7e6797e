//! First byte: preset and seed; then the symbols of a read of a strand.

#![no_main]

use kilobase_codecs::archive::PRESETS;
use kilobase_codecs::archive::strand::Codec;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static CODECS: LazyLock<Vec<Codec>> = LazyLock::new(|| {
    PRESETS.iter().map(|preset| Codec::new(&preset.format(1)).expect("presets hold together")).collect()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let codec = &CODECS[usize::from(first) % CODECS.len()];
    // Two bits a symbol: dense enough for a word in a few bytes.
    let read: Vec<u8> = rest.iter().flat_map(|byte| (0..4).map(move |i| byte >> (2 * i) & 3)).take(600).collect();
    if let Some((strand, explanation)) = codec.decode(&read, |_| true) {
        let again = codec.encode(strand.index, &strand.payload, strand.salt);
        assert!(again.len().abs_diff(read.len()) <= explanation.cost, "an explanation has too few edits");
    }
});
