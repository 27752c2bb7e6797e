//! FASTQ records that hold nothing odd: four lines that end in a line feed alone, a header of an id and visible letters, a
//! bare `+`. Nearly all are such; every other one is left to the reading line by line.

use std::ops::Range;

use crate::alphabet::scan;

/// Where the lines of a record are in the text that begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    /// One past the id.
    id: usize,
    /// The line feed of the header.
    header: usize,
    /// Letters of the sequence, one at least, and of the quality.
    pub(crate) letters: usize,
}

impl Plain {
    /// Bytes of the record.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.header + 2 * self.letters + 5
    }

    /// The id, of one letter or more.
    #[inline]
    pub(crate) fn id(&self) -> Range<usize> {
        1..self.id
    }

    /// The header after the id, with the blanks around it.
    #[inline]
    pub(super) fn description(&self) -> Range<usize> {
        self.id..self.header
    }

    #[inline]
    pub(crate) fn sequence(&self) -> Range<usize> {
        self.header + 1..self.header + 1 + self.letters
    }

    #[inline]
    pub(crate) fn quality(&self) -> Range<usize> {
        let start = self.header + self.letters + 4;
        start..start + self.letters
    }

    /// The length of the longest line.
    #[inline]
    pub(crate) fn longest(&self) -> usize {
        self.header.max(self.letters)
    }
}

/// The record that a text begins with, if it is plain and whole.
#[inline]
pub(crate) fn first(text: &[u8]) -> Option<Plain> {
    #[cfg(target_arch = "x86_64")]
    match scan::block::Kind::here() {
        // SAFETY: the processor was asked for.
        scan::block::Kind::Avx512 => return unsafe { blocks::first_avx512(text) },
        // SAFETY: the processor was asked for.
        scan::block::Kind::Avx2 => return unsafe { blocks::first_avx2(text) },
        scan::block::Kind::Portable => {}
    }
    first_portable(text)
}

pub(crate) fn first_portable(text: &[u8]) -> Option<Plain> {
    let header = memchr::memchr(b'\n', text)?;
    let line = text[..header].strip_prefix(b"@")?;
    if line.starts_with(b" ") || line.is_empty() || !line.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return None;
    }
    let id = memchr::memchr(b' ', &text[..header]).unwrap_or(header);
    let rest = &text[header + 1..];
    let letters = memchr::memchr(b'\n', rest)?;
    let (sequence, rest) = (&rest[..letters], rest[letters + 1..].strip_prefix(b"+\n")?);
    let (quality, rest) = rest.split_at_checked(letters)?;
    let is_plain =
        letters > 0 && rest.starts_with(b"\n") && scan::is_nucleotides(sequence) && scan::is_visible(quality);
    is_plain.then_some(Plain { id, header, letters })
}

#[cfg(target_arch = "x86_64")]
#[allow(clippy::inline_always, reason = "what is not inlined is compiled without the instructions")]
pub(crate) mod blocks {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    use super::Plain;
    use crate::alphabet::scan::block::{Avx2, Avx512, Block, first as lanes};

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,popcnt,bmi1")]
    pub(super) fn first_avx512(text: &[u8]) -> Option<Plain> {
        // SAFETY: the function enables what such blocks need.
        unsafe { first::<Avx512>(text) }
    }

    #[target_feature(enable = "avx2,popcnt,bmi1")]
    pub(super) fn first_avx2(text: &[u8]) -> Option<Plain> {
        // SAFETY: the function enables what such blocks need.
        unsafe { first::<Avx2>(text) }
    }

    /// 64 bytes from `at` on, zeros beyond the end of the text, which are nothing that a record may hold.
    ///
    /// # Safety
    ///
    /// The processor is of the block's kind.
    #[inline(always)]
    pub(crate) unsafe fn load<B: Block>(text: &[u8], at: usize) -> B {
        if text.len() >= 64 && at <= text.len() - 64 {
            // SAFETY: 64 bytes are there.
            return unsafe { B::load(text.as_ptr().add(at)) };
        }
        let end = last(text, at);
        // SAFETY: there are 64.
        unsafe { B::load(end.as_ptr()) }
    }

    /// The same, and asks for what lies further on: where the next line begins is known only when this one was read, so that
    /// nothing else would come from memory ahead of time.
    ///
    /// # Safety
    ///
    /// The processor is of the block's kind.
    #[inline(always)]
    unsafe fn load_ahead<B: Block>(text: &[u8], at: usize) -> B {
        const AHEAD: usize = 2048;
        // SAFETY: any address may be asked for; and as this function says.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(text.as_ptr().wrapping_add(at + AHEAD).cast());
            load(text, at)
        }
    }

    #[cold]
    fn last(text: &[u8], at: usize) -> [u8; 64] {
        let mut block = [0; 64];
        let rest = text.get(at..).unwrap_or_default();
        block[..rest.len()].copy_from_slice(rest);
        block
    }

    /// # Safety
    ///
    /// The processor is of the block's kind.
    #[inline(always)]
    pub(crate) unsafe fn first<B: Block>(text: &[u8]) -> Option<Plain> {
        if text.first() != Some(&b'@') {
            return None;
        }
        let (mut at, mut id) = (1, usize::MAX);
        let header = loop {
            // SAFETY: as this function says.
            let block = unsafe { load_ahead::<B>(text, at) };
            let blanks = block.equal(b' ');
            if blanks != 0 {
                id = id.min(at + blanks.trailing_zeros() as usize);
            }
            let odd = !block.within(b' ', b'~');
            if odd != 0 {
                break at + odd.trailing_zeros() as usize;
            }
            at += 64;
        };
        id = id.min(header);
        if id == 1 || text.get(header) != Some(&b'\n') {
            return None;
        }
        at = header + 1;
        let end = loop {
            // SAFETY: as this function says.
            let odd = !unsafe { load_ahead::<B>(text, at) }.nucleotides();
            if odd != 0 {
                break at + odd.trailing_zeros() as usize;
            }
            at += 64;
        };
        let plain = Plain { id, header, letters: end - header - 1 };
        let quality = plain.quality();
        if plain.letters == 0
            || text.get(end..end + 3) != Some(b"\n+\n")
            || text.get(quality.end) != Some(&b'\n')
        {
            return None;
        }
        let mut odd = 0;
        for at in quality.clone().step_by(64) {
            // SAFETY: as this function says.
            odd |= !unsafe { load_ahead::<B>(text, at) }.within(b'!', b'~') & lanes(quality.end - at);
        }
        (odd == 0).then_some(plain)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Near to a record: each part is as it should be, or not.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let header = "@[!-~]{0,70}( [ -~]{0,70})?\n?";
        let bases = "[ACGTNacgtnURYKM*.-]{0,150}";
        let parts = (
            header,
            bases,
            "\n\\+\n",
            any::<prop::sample::Index>(),
            any::<u8>(),
            0..4_usize,
            "[@-~\n]{0,90}",
        );
        parts.prop_map(|(header, bases, plus, at, odd, change, rest)| {
            let quality: String = bases.chars().map(|base| char::from(b'!' + base as u8 % 94)).collect();
            let mut text = format!("{header}{bases}{plus}{quality}\n{rest}").into_bytes();
            let at = at.index(text.len());
            match change {
                0 => text[at] = odd,
                1 => text.truncate(at),
                _ => {}
            }
            text
        })
    }

    proptest! {
        #[test]
        fn all_processors_see_the_same_record(text in text()) {
            let expected = first_portable(&text);
            prop_assert_eq!(first(&text), expected);
            #[cfg(target_arch = "x86_64")]
            if scan::block::Kind::here() != scan::block::Kind::Portable {
                // SAFETY: what has more has AVX2.
                prop_assert_eq!(unsafe { blocks::first_avx2(&text) }, expected);
            }
            if let Some(plain) = expected {
                prop_assert!(plain.bytes() <= text.len() && text[plain.bytes() - 1] == b'\n');
                prop_assert!(scan::is_nucleotides(&text[plain.sequence()]));
            }
        }
    }

    #[test]
    fn the_lines_of_a_record() {
        let text = b"@a b c\nACGT\n+\nII@+\n@next";
        let plain = first(text).unwrap();
        assert_eq!((&text[plain.id()], &text[plain.description()]), (&b"a"[..], &b" b c"[..]));
        assert_eq!((&text[plain.sequence()], &text[plain.quality()]), (&b"ACGT"[..], &b"II@+"[..]));
        assert_eq!((&text[plain.bytes()..], plain.longest()), (&b"@next"[..], 6));
        for odd in
            [&b"@\nA\n+\nI\n"[..], b"@ a\nA\n+\nI\n", b"@a\n\n+\n\n", b"@a\nA\n+a\nI\n", b"@a\nA\n+\nI"]
        {
            assert_eq!(first(odd), None);
        }
    }
}
