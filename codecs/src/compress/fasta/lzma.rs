//! LZMA for what is not bases, or the bytes themselves where these are shorter.

use std::io::Read;

use liblzma::stream::{Filters, LzmaOptions, Stream};

const STORED: u8 = 0;
const LZMA: u8 = 1;
const PRESET: u32 = 6;
/// Of a decoder: the dictionary of the preset and what surrounds it.
const DICTIONARY: u32 = 1 << 23;

fn filters() -> Filters {
    let mut options = LzmaOptions::new_preset(PRESET).expect("a preset of the library");
    options.dict_size(DICTIONARY);
    let mut filters = Filters::new();
    filters.lzma2(&options);
    filters
}

/// Compresses; the length has to be known for the way back.
pub(super) fn encode(bytes: &[u8]) -> Vec<u8> {
    let stream = Stream::new_raw_encoder(&filters()).expect("a filter of the library");
    let mut out = vec![LZMA];
    liblzma::read::XzEncoder::new_stream(bytes, stream).read_to_end(&mut out).expect("memory to memory");
    if out.len() > bytes.len() {
        out.clear();
        out.push(STORED);
        out.extend_from_slice(bytes);
    }
    out
}

/// Restores exactly `length` bytes.
pub(super) fn decode(bytes: &[u8], length: usize) -> Result<Vec<u8>, &'static str> {
    let (&kind, bytes) = bytes.split_first().ok_or("it is empty")?;
    let out = match kind {
        STORED => bytes.to_vec(),
        LZMA => {
            let stream = Stream::new_raw_decoder(&filters()).expect("a filter of the library");
            let mut out = Vec::new();
            // One byte more shows that there is more.
            liblzma::read::XzDecoder::new_stream(bytes, stream)
                .take(length as u64 + 1)
                .read_to_end(&mut out)
                .map_err(|_| "its LZMA data are not valid")?;
            out
        }
        _ => return Err("it is packed in a way that is not known"),
    };
    if out.len() == length { Ok(out) } else { Err("its length is another than it says") }
}
