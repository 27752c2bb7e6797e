use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::check;

fn packed(text: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Text of one of the kinds that files hold, made from a few choices.
fn text(kind: u8, seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut draw = move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as usize
    };
    let mut text = Vec::with_capacity(length + 300);
    while text.len() < length {
        match kind {
            0 => text.push(b"ACGT"[draw() % 4]),
            1 => text.push(draw() as u8),
            // Qualities: long runs of few letters.
            2 => text.extend(vec![b"F:,#"[draw() % 4]; draw() % 40]),
            // Repeats at any distance, some of the longest length.
            3 if text.len() > 300 && draw() % 3 == 0 => {
                let from = draw() % (text.len() - 260);
                text.extend_from_within(from..from + 3 + draw() % 257);
            }
            3 => text.push(b'!' + (draw() % 90) as u8),
            // A period of every length.
            _ => {
                let unit: Vec<u8> = (0..=draw() % 20).map(|_| draw() as u8).collect();
                (0..=draw() % 60).for_each(|_| text.extend_from_slice(&unit));
            }
        }
    }
    text.truncate(length);
    text
}

#[test]
fn blocks_of_every_kind_follow_each_other() {
    // Stored, of fixed codes (small data at a low level) and of codes of their own, in one stream, longer than the window.
    let mut bytes = Vec::new();
    let mut compress = Compress::new(Compression::new(1), false);
    for (kind, length) in [(1, 70_000), (0, 9), (0, 300_000), (2, 200_000), (1, 40), (3, 150_000)] {
        let text = text(kind, 5, length);
        bytes.reserve(2 * length + 1000);
        compress.compress_vec(&text, &mut bytes, FlushCompress::Full).unwrap();
    }
    compress.compress_vec(&[], &mut bytes, FlushCompress::Finish).unwrap();
    for part in [1, 7, 1 << 10, 1 << 20, usize::MAX >> 1] {
        check(&bytes, part);
    }
}

#[test]
fn what_zlib_takes_for_damage_is_damage() {
    for bytes in [
        &[0b110][..],                    // no such kind of block
        &[1, 5, 0, 5, 0, 1, 2, 3, 4, 5], // a length and its complement that do not fit
        &[0b101, 0xff, 0xff],            // 288 literals
        &[0x4b, 0x04, 0x02, 0x00],       // a copy from before the text
        &[0b011],                        // cut short
        &[],
    ] {
        check(bytes, 1 << 10);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn text_comes_back(
        kind in 0_u8..5, seed: u64, length in 0_usize..80_000, level in 0_u32..10, part in 1_usize..9000
    ) {
        let bytes = packed(&text(kind, seed, length), level);
        check(&bytes, part);
        check(&bytes, bytes.len() + 1);
    }

    #[test]
    fn damage_is_found_where_zlib_finds_it(
        kind in 0_u8..5, seed: u64, length in 0_usize..9000, level in 0_u32..10,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..4),
        cut: Option<prop::sample::Index>
    ) {
        let mut bytes = packed(&text(kind, seed, length), level);
        for (at, bit) in changes {
            let at = at.index(bytes.len().min(200));
            bytes[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check(&bytes, 1 << 10);
        check(&bytes, 1 << 20);
    }

    #[test]
    fn any_bytes_are_read_as_zlib_reads_them(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        check(&bytes, 1 << 10);
        // As codes of the block's own, of which random bytes are rarely the beginning.
        check(&[&[0b101][..], &bytes].concat(), 1 << 10);
    }
}
