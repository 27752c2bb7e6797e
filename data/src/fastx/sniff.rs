use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;

use super::inflate::{Inflate, Oddities, read_up_to};

/// The text format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Headers start with `>`.
    Fasta,
    /// Headers start with `@`; four lines a record.
    Fastq,
}

/// Large enough that system calls and inflate calls do not count, small enough for the processor's cache.
const BUFFER: usize = 128 * 1024;

/// First bytes, and the format that they give away.
pub(crate) type Magic = (&'static [u8], &'static str);

/// What a raw byte stream turned out to be.
pub(crate) enum Opened {
    /// Text, inflated when need be.
    Text(Box<dyn BufRead + Send>),
    /// A format that is not read here.
    Unsupported(&'static str),
}

/// Looks at the first bytes and puts the inflater in front when they say so. `foreign` are formats that the caller does
/// not read, compressed by gzip or not.
pub(crate) fn open(
    mut raw: Box<dyn Read + Send>,
    oddities: Arc<Oddities>,
    foreign: &[Magic],
) -> io::Result<Opened> {
    let mut magic = [0; 6];
    // Pipes may hand out single bytes: read on until the magic number is whole.
    let found = read_up_to(&mut raw, &mut magic)?;
    let magic = &magic[..found];
    if let Some(format) = unsupported(magic).or_else(|| known(magic, foreign)) {
        return Ok(Opened::Unsupported(format));
    }
    let is_gzip = magic.starts_with(&[0x1f, 0x8b]);
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(magic.to_vec()).chain(raw));
    if !is_gzip {
        return text(whole);
    }
    let mut inflated = Inflate::new(whole, oddities);
    let mut magic = [0; 6];
    let found = read_up_to(&mut inflated, &mut magic)?;
    let magic = &magic[..found];
    if let Some(format) = known(magic, foreign) {
        return Ok(Opened::Unsupported(format));
    }
    if magic.starts_with(&[0x1f, 0x8b]) {
        return Ok(Opened::Unsupported("gzip inside gzip"));
    }
    text(BufReader::with_capacity(BUFFER, Cursor::new(magic.to_vec()).chain(inflated)))
}

/// Takes a UTF-8 byte order mark off, which some editors write.
fn text(mut reader: impl BufRead + Send + 'static) -> io::Result<Opened> {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    let mut start = [0; 3];
    let found = read_up_to(&mut reader, &mut start)?;
    let start = if start == BOM { Vec::new() } else { start[..found].to_vec() };
    Ok(Opened::Text(Box::new(Cursor::new(start).chain(reader))))
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
