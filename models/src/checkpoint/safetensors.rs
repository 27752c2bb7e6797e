//! Reading the header of a safetensors file.
//!
//! The `safetensors` crate (0.8) checks that the tensors cover the data without gaps or overlaps and that each is as long
//! as its shape says, but it needs the whole file in memory to do so, keeps the last of two tensors of one name, and does
//! not say which value is wrong. The same rules are therefore applied here to the header alone; a test compares the two.

use std::fmt;

use safetensors::{Dtype, tensor::TensorInfo};
use serde::{
    Deserialize,
    de::{Deserializer, Error as _, MapAccess, Visitor},
};
use thiserror::Error;

use super::{
    Error,
    file::WeightFile,
    tensor::{Entry, Layout, MAX_RANK, Storage, byte_len},
    unique_map::UniqueMap,
};

/// The largest header that is read. Those of models with billions of parameters are below 1 MiB.
const MAX_HEADER: u64 = 16 << 20;

/// Bytes of the length that precedes the header.
const LENGTH_BYTES: u64 = 8;

/// How the header of a safetensors file breaks the format.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HeaderFault {
    /// The file cannot hold the length of a header.
    #[error("{size} bytes are too few for a safetensors file")]
    Short {
        /// The file's size.
        size: u64,
    },
    /// The header is longer than the file, so that the file is truncated or no safetensors file.
    #[error("the header claims {declared} bytes, {available} follow: truncated, or not a safetensors file")]
    Length {
        /// The length claimed.
        declared: u64,
        /// The bytes there are.
        available: u64,
    },
    /// The header is longer than any model's.
    #[error("the header claims {declared} bytes, the limit is {limit}")]
    LengthLimit {
        /// The length claimed.
        declared: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The header does not start with a brace, as the format asks.
    #[error("the header starts with byte {found:#04x} instead of an opening brace")]
    Start {
        /// The byte found.
        found: u8,
    },
    /// The header is not the JSON it should be, or names a tensor twice.
    #[error("header: {0}")]
    Json(#[source] serde_json::Error),
    /// A tensor has more dimensions than any model's.
    #[error("tensor {tensor}: {rank} dimensions, the limit is {}", MAX_RANK)]
    Rank {
        /// The tensor.
        tensor: String,
        /// Its number of dimensions.
        rank: usize,
    },
    /// A tensor ends before it starts.
    #[error("tensor {tensor}: offsets [{start}, {end}] are reversed")]
    Reversed {
        /// The tensor.
        tensor: String,
        /// Its first byte.
        start: u64,
        /// The byte after its last.
        end: u64,
    },
    /// A tensor reaches beyond the end of the file.
    #[error("tensor {tensor}: ends at byte {end} of {available}: truncated")]
    OutOfRange {
        /// The tensor.
        tensor: String,
        /// The byte after its last.
        end: u64,
        /// The bytes of data there are.
        available: u64,
    },
    /// A tensor starts inside the one before it.
    #[error("tensor {tensor}: starts at byte {start}, inside the tensor that ends at {previous_end}")]
    Overlap {
        /// The tensor.
        tensor: String,
        /// Its first byte.
        start: u64,
        /// Where the tensor before it ends.
        previous_end: u64,
    },
    /// Bytes between two tensors belong to none.
    #[error("tensor {tensor}: starts at byte {start}, the tensor before it ends at {previous_end}")]
    Gap {
        /// The tensor.
        tensor: String,
        /// Its first byte.
        start: u64,
        /// Where the tensor before it ends.
        previous_end: u64,
    },
    /// A shape has more elements than can be counted, or does not fill whole bytes.
    #[error("tensor {tensor}: {dtype} of shape {shape:?} has no size in bytes")]
    Unsized {
        /// The tensor.
        tensor: String,
        /// Its element type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Shape and element type do not give the length of the data.
    #[error("tensor {tensor}: {dtype} of shape {shape:?} takes {needed} bytes, its offsets hold {held}")]
    Size {
        /// The tensor.
        tensor: String,
        /// Its element type.
        dtype: Dtype,
        /// Its shape.
        shape: Vec<usize>,
        /// The bytes it takes.
        needed: u64,
        /// The bytes between its offsets.
        held: u64,
    },
    /// Bytes after the last tensor belong to none.
    #[error("{excess} bytes follow the last tensor")]
    Trailing {
        /// How many.
        excess: u64,
    },
}

/// Reads and checks the header of `file`, the `index`-th of its checkpoint.
pub(super) fn read_entries(file: &WeightFile, index: usize) -> Result<Vec<(String, Entry)>, Error> {
    let fail = |fault| Error::Header { path: file.path().to_owned(), fault };
    if file.len() < LENGTH_BYTES {
        return Err(fail(HeaderFault::Short { size: file.len() }));
    }
    let mut length = [0; LENGTH_BYTES as usize];
    file.read_exact_at(&mut length, 0)?;
    let declared = u64::from_le_bytes(length);
    let available = file.len() - LENGTH_BYTES;
    if declared > available {
        return Err(fail(HeaderFault::Length { declared, available }));
    }
    if declared > MAX_HEADER {
        return Err(fail(HeaderFault::LengthLimit { declared, limit: MAX_HEADER }));
    }
    let mut bytes = vec![0; declared as usize];
    file.read_exact_at(&mut bytes, LENGTH_BYTES)?;
    let header = parse(&bytes).map_err(fail)?;
    let data = Data { start: LENGTH_BYTES + declared, len: available - declared };
    place(header, data, index).map_err(fail)
}

fn parse(bytes: &[u8]) -> Result<Vec<(String, TensorInfo)>, HeaderFault> {
    match bytes.first() {
        Some(b'{') => {}
        found => return Err(HeaderFault::Start { found: found.copied().unwrap_or(0) }),
    }
    let Header(tensors) = serde_json::from_slice(bytes).map_err(HeaderFault::Json)?;
    Ok(tensors)
}

/// The part of the file after the header.
#[derive(Clone, Copy)]
struct Data {
    start: u64,
    len: u64,
}

/// Checks that the tensors tile `data`, and gives each its place in the file.
fn place(
    mut tensors: Vec<(String, TensorInfo)>,
    data: Data,
    file: usize,
) -> Result<Vec<(String, Entry)>, HeaderFault> {
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let mut previous_end = 0;
    let mut entries = Vec::with_capacity(tensors.len());
    for (tensor, TensorInfo { dtype, shape, data_offsets }) in tensors {
        let (start, end) = (data_offsets.0 as u64, data_offsets.1 as u64);
        if shape.len() > MAX_RANK {
            return Err(HeaderFault::Rank { tensor, rank: shape.len() });
        }
        if end < start {
            return Err(HeaderFault::Reversed { tensor, start, end });
        }
        if end > data.len {
            return Err(HeaderFault::OutOfRange { tensor, end, available: data.len });
        }
        if start < previous_end {
            return Err(HeaderFault::Overlap { tensor, start, previous_end });
        }
        if start > previous_end {
            return Err(HeaderFault::Gap { tensor, start, previous_end });
        }
        let held = end - start;
        match byte_len(dtype, &shape) {
            None => return Err(HeaderFault::Unsized { tensor, dtype, shape }),
            Some(needed) if needed != held => {
                return Err(HeaderFault::Size { tensor, dtype, shape, needed, held });
            }
            Some(_) => {}
        }
        previous_end = end;
        let storage = Storage::Plain { start: data.start + start, len: held };
        entries
            .push((tensor, Entry { dtype, shape, file, storage, layout: Layout::Contiguous { first: 0 } }));
    }
    match data.len - previous_end {
        0 => Ok(entries),
        excess => Err(HeaderFault::Trailing { excess }),
    }
}

/// The tensors of a header, in its order, no name twice. The metadata must be text and is not kept.
struct Header(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut seen = std::collections::HashSet::new();
        let mut tensors = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("tensor {name:?} appears twice")));
            }
            if name == "__metadata__" {
                map.next_value::<UniqueMap<String>>()?;
            } else {
                tensors.push((name, map.next_value()?));
            }
        }
        Ok(Header(tensors))
    }
}
