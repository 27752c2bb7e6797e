//! Letters looked at many at a time: what every byte of every file goes through.

use super::{Counts, NUCLEOTIDE};

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod block;

/// Counts the letters of whole or part lines; `None` when something but nucleotide codes and line feeds is among them.
/// The second number is that of line feeds.
pub(crate) fn tally(text: &[u8]) -> Option<(Counts, u64)> {
    #[cfg(target_arch = "x86_64")]
    if avx512::is_there() {
        return avx512::tally(text);
    }
    if !is_clean(text) {
        return None;
    }
    let feeds = memchr::memchr_iter(b'\n', text).count() as u64;
    let mut counts = count(text);
    counts.other -= feeds;
    Some((counts, feeds))
}

/// Appends text without its line feeds, and tells how many they were; `None`, and nothing appended, when something but
/// nucleotide codes and line feeds is in it.
pub(crate) fn squeeze(text: &[u8], out: &mut Vec<u8>) -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    if avx512::is_there() {
        return avx512::squeeze(text, out);
    }
    if !is_clean(text) {
        return None;
    }
    let (mut start, mut feeds) = (0, 0);
    out.reserve(text.len());
    for feed in memchr::memchr_iter(b'\n', text) {
        out.extend_from_slice(&text[start..feed]);
        start = feed + 1;
        feeds += 1;
    }
    out.extend_from_slice(&text[start..]);
    Some(feeds)
}

/// Whether all bytes are nucleotide codes.
pub(crate) fn is_nucleotides(sequence: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if sequence.len() >= 64 && avx512::is_there() {
        return avx512::is_nucleotides(sequence);
    }
    sequence.iter().fold(true, |clean, &byte| clean & NUCLEOTIDE[usize::from(byte)])
}

/// Whether all bytes are visible ASCII characters, as qualities are: `!` to `~`.
#[allow(clippy::needless_bitwise_bool, reason = "no branches: the compiler makes vectors of it")]
pub(crate) fn is_visible(text: &[u8]) -> bool {
    text.iter().fold(true, |visible, &byte| visible & (byte.wrapping_sub(b'!') <= b'~' - b'!'))
}

/// Counts any bytes.
pub(crate) fn count(sequence: &[u8]) -> Counts {
    #[cfg(target_arch = "x86_64")]
    if sequence.len() >= 64 && avx512::is_there() {
        return avx512::count(sequence);
    }
    count_portable(sequence)
}

#[allow(clippy::needless_bitwise_bool, reason = "no branches: the compiler makes vectors of it")]
fn is_clean(text: &[u8]) -> bool {
    text.iter().fold(true, |clean, &byte| clean & (NUCLEOTIDE[usize::from(byte)] | (byte == b'\n')))
}

fn count_portable(sequence: &[u8]) -> Counts {
    let mut counts = Counts::default();
    // In blocks of fewer than 256 a byte holds a count, so that a vector holds many.
    for block in sequence.chunks(240) {
        let letter = |letter: u8| {
            u64::from(block.iter().map(|byte| u8::from(byte & 0xdf == letter)).fold(0, u8::wrapping_add))
        };
        counts.a += letter(b'A');
        counts.c += letter(b'C');
        counts.g += letter(b'G');
        counts.t += letter(b'T');
        counts.n += letter(b'N');
        let lower = |byte: &u8| u8::from(byte.wrapping_sub(b'a') < 26);
        counts.lower += u64::from(block.iter().map(lower).fold(0, u8::wrapping_add));
    }
    counts.other = sequence.len() as u64 - counts.acgt() - counts.n;
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_the_letter(sequence: &[u8]) -> Counts {
        let of = |letters: &[u8]| sequence.iter().filter(|byte| letters.contains(byte)).count() as u64;
        let (a, c, g, t, n) = (of(b"Aa"), of(b"Cc"), of(b"Gg"), of(b"Tt"), of(b"Nn"));
        let lower = sequence.iter().filter(|byte| byte.is_ascii_lowercase()).count() as u64;
        Counts { a, c, g, t, n, other: sequence.len() as u64 - a - c - g - t - n, lower }
    }

    proptest! {
        #[test]
        fn counts_are_those_of_single_letters(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            prop_assert_eq!(count(&bytes), by_the_letter(&bytes));
            prop_assert_eq!(count_portable(&bytes), by_the_letter(&bytes));
        }

        #[test]
        fn lines_are_tallied_and_squeezed(text in "[ACGTNacgtnUuRYSWKMBDHVryswkmbdhv*.\n-]{0,400}", odd in any::<u8>(), at in 0..800_usize) {
            let mut text = text.into_bytes();
            if at < text.len() {
                text[at] = odd;
            }
            let letters: Vec<u8> = text.iter().copied().filter(|&byte| byte != b'\n').collect();
            let clean = letters.iter().all(|&byte| NUCLEOTIDE[usize::from(byte)]);
            let feeds = (text.len() - letters.len()) as u64;
            prop_assert_eq!(is_nucleotides(&letters), clean);
            prop_assert_eq!(is_clean(&text), clean);
            prop_assert_eq!(tally(&text), clean.then(|| (by_the_letter(&letters), feeds)));
            let mut out = b"before".to_vec();
            prop_assert_eq!(squeeze(&text, &mut out), clean.then_some(feeds));
            prop_assert_eq!(&out[..6], b"before");
            prop_assert_eq!(&out[6..], if clean { &letters[..] } else { b"" });
        }
    }
}
