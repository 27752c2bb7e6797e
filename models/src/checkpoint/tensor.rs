//! Where the numbers of one tensor are, and how they are read.

use std::io::{self, Read};

use half::{bf16, f16};
use safetensors::Dtype;

use super::{Error, file::WeightFile};

/// The most dimensions a tensor may have. Weights of models have up to five.
pub(super) const MAX_RANK: usize = 16;

/// Bytes read at once: small enough to stay in a core's cache while they are converted; a multiple of every element size.
const CHUNK: usize = 1 << 18;

/// A tensor as it lies in a file. Whoever makes one has checked that it lies within its storage, and the storage within the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// The file, by its number in the checkpoint.
    pub(super) file: usize,
    pub(super) storage: Storage,
    pub(super) layout: Layout,
}

/// A run of bytes in a file, from which tensors are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Storage {
    /// The bytes themselves.
    Plain { start: u64, len: u64 },
    /// A deflate stream of `packed` bytes that gives `len` bytes.
    Deflated { start: u64, packed: u64, len: u64 },
}

/// The order of a tensor's elements in its storage, counted in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Layout {
    /// One after the other, last dimension fastest.
    Contiguous { first: u64 },
    /// Spread out, one step a dimension.
    Strided { first: u64, strides: Vec<u64> },
}

/// The number of elements, unless it overflows.
pub(super) fn element_count(shape: &[u64]) -> Option<u64> {
    // Zeros are left out at first, so that the answer does not depend on where in the shape they stand.
    let product = shape.iter().filter(|&&n| n != 0).try_fold(1u64, |product, &n| product.checked_mul(n))?;
    Some(if shape.contains(&0) { 0 } else { product })
}

/// The bytes a tensor takes, unless they overflow or do not end on a byte.
pub(super) fn byte_len(dtype: Dtype, shape: &[usize]) -> Option<u64> {
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    let bits = element_count(&shape)?.checked_mul(dtype.bitsize() as u64)?;
    (bits % 8 == 0).then_some(bits / 8)
}

impl Entry {
    fn byte_len(&self) -> u64 {
        byte_len(self.dtype, &self.shape).expect("the product was checked when the entry was made")
    }

    fn element_size(&self) -> u64 {
        self.dtype.bitsize() as u64 / 8
    }

    /// The tensor as little-endian bytes in row-major order, piece by piece.
    pub(super) fn bytes<'a>(&self, file: &'a WeightFile) -> Result<Bytes<'a>, Error> {
        let size = self.element_size();
        let len = self.byte_len();
        match (&self.layout, &self.storage) {
            (Layout::Contiguous { first }, Storage::Plain { start, .. }) => {
                Ok(Bytes::File { file, at: start + first * size, left: len })
            }
            (Layout::Contiguous { first }, Storage::Deflated { .. }) => {
                let bytes = self.storage.read(file, first * size, len)?;
                Ok(Bytes::Memory { bytes, at: 0 })
            }
            (Layout::Strided { first, strides }, storage) => {
                if len == 0 {
                    return Ok(Bytes::Memory { bytes: Vec::new(), at: 0 });
                }
                let reach: u64 = self.shape.iter().zip(strides).map(|(&n, step)| (n as u64 - 1) * step).sum();
                let span = storage.read(file, first * size, (reach + 1) * size)?;
                Ok(Bytes::Memory { bytes: gather(&span, &self.shape, strides, size as usize), at: 0 })
            }
        }
    }

    /// The tensor as `f32`. `name` is for the error.
    pub(super) fn read_f32(&self, file: &WeightFile, name: &str) -> Result<Vec<f32>, Error> {
        let convert = converter(self.dtype).ok_or_else(|| Error::NotFloat {
            path: file.path().to_owned(),
            name: name.to_owned(),
            dtype: self.dtype,
        })?;
        // No more than the file holds: every layout has at most as many elements as its storage.
        let mut values = Vec::new();
        values
            .try_reserve_exact((self.byte_len() / self.element_size()) as usize)
            .map_err(|_| file.io_error(io::ErrorKind::OutOfMemory.into()))?;
        let mut bytes = self.bytes(file)?;
        let mut chunk = Vec::new();
        while bytes.next_chunk(&mut chunk)? {
            convert(&chunk, &mut values);
        }
        Ok(values)
    }
}

impl Storage {
    /// The bytes it gives.
    pub(super) fn len(&self) -> u64 {
        match *self {
            Self::Plain { len, .. } | Self::Deflated { len, .. } => len,
        }
    }

    /// `len` bytes from byte `from` of the storage.
    pub(super) fn read(&self, file: &WeightFile, from: u64, len: u64) -> Result<Vec<u8>, Error> {
        match *self {
            Self::Plain { start, .. } => {
                let mut bytes = vec![0; len as usize];
                file.read_exact_at(&mut bytes, start + from)?;
                Ok(bytes)
            }
            Self::Deflated { start, packed, len: full } => {
                let mut stream = vec![0; packed as usize];
                file.read_exact_at(&mut stream, start)?;
                let mut bytes = Vec::with_capacity(full as usize);
                // One byte more than promised is enough to notice a stream that goes on.
                flate2::read::DeflateDecoder::new(stream.as_slice())
                    .take(full + 1)
                    .read_to_end(&mut bytes)
                    .map_err(|source| file.io_error(source))?;
                if bytes.len() as u64 != full {
                    return Err(file.io_error(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("a compressed entry gives {} bytes or more, it promised {full}", bytes.len()),
                    )));
                }
                bytes.drain(..from as usize);
                bytes.truncate(len as usize);
                Ok(bytes)
            }
        }
    }
}

/// The bytes of a tensor in pieces of one size, so that two tensors can be walked side by side.
pub(super) enum Bytes<'a> {
    File { file: &'a WeightFile, at: u64, left: u64 },
    Memory { bytes: Vec<u8>, at: usize },
}

impl Bytes<'_> {
    /// Replaces `chunk` by the next piece; false when there is none.
    pub(super) fn next_chunk(&mut self, chunk: &mut Vec<u8>) -> Result<bool, Error> {
        match self {
            Self::File { file, at, left } => {
                let len = (*left).min(CHUNK as u64);
                chunk.resize(len as usize, 0);
                file.read_exact_at(chunk, *at)?;
                *at += len;
                *left -= len;
            }
            Self::Memory { bytes, at } => {
                let end = bytes.len().min(*at + CHUNK);
                chunk.clear();
                chunk.extend_from_slice(&bytes[*at..end]);
                *at = end;
            }
        }
        Ok(!chunk.is_empty())
    }
}

/// Copies a strided tensor out of `span`, which starts at its first element, into row-major order.
fn gather(span: &[u8], shape: &[usize], strides: &[u64], size: usize) -> Vec<u8> {
    let elements: usize = shape.iter().product();
    let mut bytes = Vec::with_capacity(elements * size);
    let mut index = vec![0usize; shape.len()];
    let mut at = 0usize;
    for _ in 0..elements {
        bytes.extend_from_slice(&span[at * size..(at + 1) * size]);
        for axis in (0..shape.len()).rev() {
            let step = strides[axis] as usize;
            index[axis] += 1;
            at += step;
            if index[axis] < shape[axis] {
                break;
            }
            at -= step * shape[axis];
            index[axis] = 0;
        }
    }
    bytes
}

/// Appends little-endian numbers as `f32`.
type Convert = fn(&[u8], &mut Vec<f32>);

/// How numbers of a floating-point type become `f32`; none for other types. `F64` is rounded.
fn converter(dtype: Dtype) -> Option<Convert> {
    match dtype {
        Dtype::F32 => {
            Some(|bytes, out| out.extend(bytes.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b))))
        }
        Dtype::F64 => Some(|bytes, out| {
            out.extend(bytes.as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b) as f32));
        }),
        Dtype::F16 => Some(|bytes, out| {
            out.extend(bytes.as_chunks::<2>().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()));
        }),
        Dtype::BF16 => Some(|bytes, out| {
            out.extend(bytes.as_chunks::<2>().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()));
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_transposes() {
        let span: Vec<u8> = (0..6).collect();
        assert_eq!(gather(&span, &[3, 2], &[1, 3], 1), [0, 3, 1, 4, 2, 5]);
    }

    #[test]
    fn every_float_type_is_converted() {
        let mut out = Vec::new();
        converter(Dtype::F16).unwrap()(&f16::from_f32(1.5).to_le_bytes(), &mut out);
        converter(Dtype::BF16).unwrap()(&bf16::from_f32(-2.0).to_le_bytes(), &mut out);
        converter(Dtype::F32).unwrap()(&0.1f32.to_le_bytes(), &mut out);
        converter(Dtype::F64).unwrap()(&0.1f64.to_le_bytes(), &mut out);
        assert_eq!(out, [1.5, -2.0, 0.1, 0.1]);
        assert!(converter(Dtype::I64).is_none());
    }

    #[test]
    fn shapes_that_overflow_have_no_length() {
        assert_eq!(byte_len(Dtype::F32, &[1 << 40, 1 << 40]), None);
        assert_eq!(byte_len(Dtype::F32, &[0, 1 << 40, 1 << 40]), None);
        assert_eq!(byte_len(Dtype::F64, &[1 << 62]), None);
        assert_eq!(byte_len(Dtype::F4, &[3]), None);
        assert_eq!(byte_len(Dtype::F32, &[]), Some(4));
        assert_eq!(byte_len(Dtype::F32, &[3, 0]), Some(0));
    }
}
