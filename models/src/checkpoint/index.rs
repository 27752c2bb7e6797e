//! The index of a sharded checkpoint: which file holds which tensor.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use thiserror::Error;

use super::{Error, file, tensor::Entry, unique_map::UniqueMap};

/// The largest index that is read. A model of a thousand layers needs about 2 MB.
const MAX_INDEX: u64 = 64 << 20;

/// How an index and its shards disagree.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexFault {
    /// The index names no tensor.
    #[error("the index names no tensor")]
    Empty,
    /// The name of a shard is not that of a file beside the index.
    #[error("shard {shard:?} is not the plain name of a file ending in {suffix}")]
    ShardName {
        /// The name.
        shard: String,
        /// How such a name ends.
        suffix: &'static str,
    },
    /// The index places a tensor in a shard that does not hold it.
    #[error("tensor {tensor} is not in shard {shard}, where the index places it")]
    NotInShard {
        /// The tensor.
        tensor: String,
        /// The shard.
        shard: String,
    },
    /// A shard holds a tensor that the index does not place there.
    #[error("shard {shard} holds tensor {tensor}, which the index does not place there")]
    NotInIndex {
        /// The tensor.
        tensor: String,
        /// The shard.
        shard: String,
    },
}

/// A checked index: tensors by shard.
#[derive(Debug)]
pub(super) struct Index {
    /// Shard name to the names of its tensors.
    shards: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct File {
    weight_map: UniqueMap<String>,
}

impl Index {
    /// Reads an index whose shards end in `suffix`.
    pub(super) fn read(path: &Path, suffix: &'static str) -> Result<Self, Error> {
        let file: File = file::read_json(path, MAX_INDEX)?;
        Self::new(file.weight_map.0, suffix).map_err(|fault| Error::Index { path: path.to_owned(), fault })
    }

    fn new(weight_map: BTreeMap<String, String>, suffix: &'static str) -> Result<Self, IndexFault> {
        if weight_map.is_empty() {
            return Err(IndexFault::Empty);
        }
        let mut shards = BTreeMap::<_, Vec<_>>::new();
        for (tensor, shard) in weight_map {
            if !is_plain_file_name(&shard) || !shard.ends_with(suffix) {
                return Err(IndexFault::ShardName { shard, suffix });
            }
            shards.entry(shard).or_default().push(tensor);
        }
        Ok(Self { shards })
    }

    /// The shards' file names, sorted.
    pub(super) fn shards(&self) -> impl Iterator<Item = &str> {
        self.shards.keys().map(String::as_str)
    }

    /// Checks that the tensors found in `shard` are those the index places there.
    pub(super) fn check(&self, shard: &str, found: &[(String, Entry)]) -> Result<(), IndexFault> {
        let listed = self.shards.get(shard).map_or(&[][..], Vec::as_slice);
        // `listed` is sorted because it was filled from a sorted map.
        let mut names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(tensor) =
            names.iter().find(|name| listed.binary_search_by(|l| l.as_str().cmp(name)).is_err())
        {
            return Err(IndexFault::NotInIndex { tensor: (*tensor).to_owned(), shard: shard.to_owned() });
        }
        match listed.iter().find(|name| names.binary_search(&name.as_str()).is_err()) {
            Some(tensor) => Err(IndexFault::NotInShard { tensor: tensor.clone(), shard: shard.to_owned() }),
            None => Ok(()),
        }
    }
}

/// Whether a name can only mean a file in the directory it is joined to.
fn is_plain_file_name(name: &str) -> bool {
    !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_names_that_leave_the_directory_are_refused() {
        for name in
            ["../a.bin", "/a.bin", "a/b.bin", r"a\b.bin", "c:a.bin", "..bin", ".bin", "a.pkl", "", "a\0.bin"]
        {
            let map = BTreeMap::from([("w".to_owned(), name.to_owned())]);
            assert!(matches!(Index::new(map, ".bin"), Err(IndexFault::ShardName { .. })), "{name:?}");
        }
    }
}
