//! One block.

use super::layers::Layers;
use super::lzma;
use crate::compress::dna::{Decoder, Encoder, Predictor};
use crate::compress::varint::{put, take};

/// How a block is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Taken apart, with modelled bases.
    Sequences = 1,
    /// As bytes.
    Bytes = 2,
}

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Sequences),
            2 => Some(Self::Bytes),
            _ => None,
        }
    }
}

pub(super) struct Encoded {
    pub(super) kind: Kind,
    pub(super) data: Vec<u8>,
    pub(super) bases: u64,
    pub(super) bases_stored: u64,
}

/// Of the bytes so many in a hundred must be bases, for the models to pay.
const LEAST_BASES: usize = 50;

pub(super) fn encode(content: &[u8]) -> Encoded {
    let layers = Layers::split(content);
    let others = layers.headers.len() + layers.lines.len() + layers.cases.len() + layers.others.len();
    let pays = layers.bases.len() * 100 >= content.len() * LEAST_BASES && others < content.len() / 2;
    let bytes =
        |bases: u64| Encoded { kind: Kind::Bytes, data: lzma::encode(content), bases, bases_stored: 0 };
    if !pays {
        return bytes(layers.bases.len() as u64);
    }
    let mut text = Vec::new();
    let parts = [&layers.lines, &layers.cases, &layers.others, &layers.headers];
    for part in parts {
        put(&mut text, part.len() as u64);
    }
    for part in parts {
        text.extend_from_slice(part);
    }
    let packed = lzma::encode(&text);
    let bases = encode_bases(&layers.bases);
    let mut data = Vec::new();
    for length in [text.len(), packed.len(), layers.bases.len()] {
        put(&mut data, length as u64);
    }
    data.extend(packed);
    data.extend(&bases);
    Encoded {
        kind: Kind::Sequences,
        data,
        bases: layers.bases.len() as u64,
        bases_stored: bases.len() as u64,
    }
}

const SHORT: &str = "it is shorter than it says";

pub(super) fn decode(kind: Kind, data: &[u8], length: usize) -> Result<Vec<u8>, &'static str> {
    if kind == Kind::Bytes {
        return lzma::decode(data, length);
    }
    let mut rest = data;
    let mut size = || usize::try_from(take(&mut rest)?).ok();
    let (Some(text), Some(packed), Some(bases)) = (size(), size(), size()) else { return Err(SHORT) };
    // Layers are never longer than half of the content when they are written.
    if text > length + 64 || bases > length {
        return Err("it says to hold more than its content");
    }
    let packed = rest.split_off(..packed).ok_or(SHORT)?;
    let text = lzma::decode(packed, text)?;
    let mut layers = Layers::default();
    let mut bytes = &text[..];
    let mut sizes = [0; 4];
    for size in &mut sizes {
        *size = take(&mut bytes).and_then(|size| usize::try_from(size).ok()).ok_or(SHORT)?;
    }
    let parts = [&mut layers.lines, &mut layers.cases, &mut layers.others, &mut layers.headers];
    for (part, size) in parts.into_iter().zip(sizes) {
        *part = bytes.split_off(..size).ok_or(SHORT)?.to_vec();
    }
    layers.bases = decode_bases(rest, bases);
    layers.join(length)
}

fn encode_bases(bases: &[u8]) -> Vec<u8> {
    let (mut predictor, mut encoder) = (Predictor::new(bases.len()), Encoder::new());
    for &base in bases {
        encoder.encode(predictor.predict(), base);
        predictor.update(base);
    }
    encoder.finish()
}

fn decode_bases(bytes: &[u8], length: usize) -> Vec<u8> {
    let (mut predictor, mut decoder) = (Predictor::new(length), Decoder::new(bytes));
    let mut next = || {
        let base = decoder.decode(predictor.predict());
        predictor.update(base);
        base
    };
    (0..length).map(|_| next()).collect()
}
