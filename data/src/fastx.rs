//! FASTA and FASTQ, plain, gzip or BGZF, as one stream of [`Record`]s.
//!
//! The format and the compression are told from the content, never from the file name. Damage is an error that names
//! file, record and line; nothing is dropped or repaired in silence. What is odd but harmless is a [`Warning`].
//!
//! ```
//! use kilobase_data::fastx;
//!
//! let mut reader = fastx::Reader::new(&b">chr1 a test\nACGT\nacg\n"[..], "test.fa");
//! let record = reader.next().unwrap()?;
//! assert_eq!((record.id.as_str(), record.description.as_str()), ("chr1", "a test"));
//! assert_eq!(record.sequence, b"ACGTacg");
//! assert!(reader.next().is_none());
//! # Ok::<(), fastx::Error>(())
//! ```

mod ahead;
pub(crate) mod error;
mod fasta;
pub(crate) mod fastq;
pub(crate) mod header;
mod ids;
pub(crate) mod inflate;
mod letters;
pub(crate) mod lines;
mod reader;
mod record;
pub(crate) mod sniff;
pub(crate) mod text;
mod warning;

pub use error::{Error, Fault, Place};
pub use ids::IDS_KEPT;
pub use inflate::Damage;
pub(crate) use reader::AtHand;
pub use reader::{Alphabet, Builder, Reader};
pub use record::Record;
pub use sniff::Format;
pub use warning::{Warning, WarningKind};

#[cfg(test)]
mod tests;

/// Reads `bytes` to the end and asserts what holds for every input: used by the property tests and the fuzz targets.
#[doc(hidden)]
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(std::io::Cursor::new(bytes.to_vec()), "input");
    let mut number = 0;
    let mut failed = false;
    while let Some(outcome) = reader.next() {
        assert!(!failed, "a record after an error");
        match outcome {
            Ok(record) => {
                number += 1;
                assert_eq!(record.number, number, "records are counted");
                assert!(crate::alphabet::find_foreign(&record.sequence).is_none(), "a letter got through");
                let is_fastq = reader.format() == Some(Format::Fastq);
                assert_eq!(record.quality.is_some(), is_fastq, "quality belongs to FASTQ");
                if let Some(quality) = &record.quality {
                    assert_eq!(quality.len(), record.len(), "a quality letter a base");
                    assert!(quality.iter().all(u8::is_ascii_graphic), "a quality letter got through");
                }
                assert!(!record.id.contains(['\n', '\r', '\0', ' ', '\t']), "ids are one word");
            }
            Err(error) => {
                failed = true;
                assert!(error.to_string().starts_with("input: "), "errors name the file");
            }
        }
    }
    assert!(reader.next().is_none(), "the end stays the end");
}

/// Inflates a gzip file, checks it and counts its bytes: for benchmarks of that alone.
#[doc(hidden)]
pub fn inflated_bytes(path: &std::path::Path) -> std::io::Result<u64> {
    let file = std::fs::File::open(path)?;
    std::io::copy(&mut inflate::Inflate::new(file, std::sync::Arc::default()), &mut std::io::sink())
}

/// Decodes `bytes` as DEFLATE, and asserts that zlib-rs finds the same: used by the fuzz target. The first says in what parts.
#[doc(hidden)]
pub fn check_deflate(bytes: &[u8]) {
    if let Some((&part, bytes)) = bytes.split_first() {
        inflate::check(bytes, usize::from(part) + 1);
    }
}

/// Packs `bytes` in BGZF blocks, changes one byte of the file as the first bytes say, and asserts that it reads the same on one
/// thread and on several.
#[doc(hidden)]
pub fn check_blocks(bytes: &[u8]) {
    use std::io::{BufRead, Read, Write};

    let Some((&[at_high, at_low, change, size], text)) = bytes.split_first_chunk() else { return };
    let mut file = Vec::new();
    for part in text.chunks(64 * (usize::from(size) + 1)).chain([&[][..]]) {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(part).expect("a vector takes all");
        let packed = encoder.finish().expect("a vector takes all");
        let mut sum = flate2::Crc::new();
        sum.update(part);
        file.extend_from_slice(&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, b'B', b'C', 2, 0]);
        file.extend_from_slice(&(packed.len() as u16 + 25).to_le_bytes());
        file.extend_from_slice(&packed);
        file.extend_from_slice(&sum.sum().to_le_bytes());
        file.extend_from_slice(&(part.len() as u32).to_le_bytes());
    }
    let at = usize::from(u16::from_be_bytes([at_high, at_low])) % file.len();
    if change == 255 {
        file.truncate(at);
    } else {
        file[at] ^= change;
    }
    let read = |threads: usize| {
        let oddities = std::sync::Arc::<inflate::Oddities>::default();
        let raw = sniff::Raw::Stream(Box::new(std::io::Cursor::new(file.clone())));
        let mut found = Vec::new();
        let outcome = match sniff::open(raw, threads, std::sync::Arc::clone(&oddities), &[]) {
            Ok(sniff::Opened::Text(mut text)) => loop {
                match text.fill_buf() {
                    Ok([]) => break Ok("text"),
                    Ok(_) => {
                        let mut portion = [0; 999];
                        let count = text.read(&mut portion).expect("it was there");
                        found.extend_from_slice(&portion[..count]);
                    }
                    Err(error) => break Err(error.to_string()),
                }
            },
            Ok(sniff::Opened::Unsupported(format)) => Ok(format),
            Err(error) => Err(error.to_string()),
        };
        // Only a stream that was read to its end is judged by how it ends.
        let order = std::sync::atomic::Ordering::Relaxed;
        let odd = matches!(outcome, Ok("text"))
            .then(|| (oddities.trailing.load(order), oddities.no_end_block.load(order)));
        (outcome, found, odd)
    };
    assert_eq!(read(1), read(3), "threads change nothing");
}
