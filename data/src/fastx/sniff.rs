use std::io::{self, BufRead, Read};
use std::sync::Arc;

use memmap2::Mmap;

use super::ahead::Ahead;
use super::inflate::{self, Inflate, Oddities};
use super::text::Text;

/// The text format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Headers start with `>`.
    Fasta,
    /// Headers start with `@`; four lines a record.
    Fastq,
}

/// First bytes, and the format that they give away.
pub(crate) type Magic = (&'static [u8], &'static str);

/// Bytes as they lie in a file.
pub(crate) enum Raw {
    /// Come one after the other.
    Stream(Box<dyn Read + Send>),
    /// Are all there.
    Mapped(Mmap),
}

/// What raw bytes turned out to be.
pub(crate) enum Opened {
    /// Text, inflated when need be.
    Text(Text),
    /// A format that is not read here.
    Unsupported(&'static str),
}

/// Looks at the first bytes and puts the inflater in front when they say so. `foreign` are formats that the caller does
/// not read, compressed by gzip or not. On more than one of `threads`, text is inflated ahead, and blocks side by side.
pub(crate) fn open(
    raw: Raw,
    threads: usize,
    oddities: Arc<Oddities>,
    foreign: &[Magic],
) -> io::Result<Opened> {
    let mut raw = match raw {
        Raw::Stream(inner) => Text::stream(inner),
        Raw::Mapped(map) => Text::mapped(map),
    };
    // Pipes may hand out single bytes: read on until the magic number is whole.
    let start = raw.peek(START)?;
    if let Some(format) = unsupported(start).or_else(|| known(start, foreign)) {
        return Ok(Opened::Unsupported(format));
    }
    if !start.starts_with(inflate::GZIP) {
        return without_mark(raw);
    }
    let is_bgzf = matches!(start, [_, _, 8, 4, .., b'B', b'C', 2, 0, _, _]);
    let mut text = if threads < 2 {
        Text::stream(Box::new(Inflate::new(raw, oddities)))
    } else if is_bgzf {
        Text::ahead(inflate::blocks(raw, oddities, threads)?)
    } else {
        Text::ahead(Ahead::read(Inflate::new(raw, oddities))?)
    };
    let start = text.peek(START)?;
    if let Some(format) = known(start, foreign) {
        return Ok(Opened::Unsupported(format));
    }
    if start.starts_with(inflate::GZIP) {
        return Ok(Opened::Unsupported("gzip inside gzip"));
    }
    without_mark(text)
}

/// All magic numbers, and a usual header of a BGZF block.
const START: usize = 18;

/// Takes a UTF-8 byte order mark off, which some editors write.
fn without_mark(mut text: Text) -> io::Result<Opened> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if text.peek(MARK.len())? == MARK {
        text.consume(MARK.len());
    }
    Ok(Opened::Text(text))
}

/// The format of a file that is packed in a way that nothing here reads.
pub(crate) fn unsupported(magic: &[u8]) -> Option<&'static str> {
    known(magic, &PACKED)
}

const PACKED: [Magic; 6] = [
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd-compressed"),
    (b"BZh", "bzip2-compressed"),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz-compressed"),
    (b"PK\x03\x04", "a zip archive"),
    (&[0xff, 0xfe], "UTF-16 text"),
    (&[0xfe, 0xff], "UTF-16 text"),
];

fn known(magic: &[u8], formats: &[Magic]) -> Option<&'static str> {
    formats.iter().find(|(start, _)| magic.starts_with(start)).map(|&(_, name)| name)
}
