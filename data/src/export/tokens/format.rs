use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::export::format::by_suffix;
use crate::export::{Error, Result};

/// The formats of a file of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// NumPy's array file: one array of all ids.
    Npy,
    /// Apache Parquet: a row a sequence, its ids in a list.
    Parquet,
    /// Tensors of ids and of the borders of sequences.
    Safetensors,
    /// Tab-separated text.
    Tsv,
}

impl Format {
    /// Every format, in the order in which help texts list them.
    pub const ALL: [Self; 4] = [Self::Npy, Self::Parquet, Self::Safetensors, Self::Tsv];

    /// The name of the format, which is also its suffix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Parquet => "parquet",
            Self::Safetensors => "safetensors",
            Self::Tsv => "tsv",
        }
    }

    /// The format that the suffix of `path` names.
    pub fn from_path(path: &Path) -> Result<Self> {
        by_suffix(path)
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|format| format.name() == name);
        named.ok_or_else(|| Error::UnknownFormat { name: name.to_owned() })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
