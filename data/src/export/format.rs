use std::{fmt, path::Path, str::FromStr};

use super::{Error, Result};

/// The formats of a file of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// NumPy's array file: one f32 array `[rows, width]`.
    Npy,
    /// One f32 tensor `embeddings` `[rows, width]`, with the metadata in its header.
    Safetensors,
    /// Tab-separated text: what a row is about, then its numbers.
    Tsv,
}

impl Format {
    /// Every format, in the order in which help texts list them.
    pub const ALL: [Self; 3] = [Self::Npy, Self::Safetensors, Self::Tsv];

    /// The name of the format, which is also its suffix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Safetensors => "safetensors",
            Self::Tsv => "tsv",
        }
    }

    /// The format that the suffix of `path` names.
    pub fn from_path(path: &Path) -> Result<Self> {
        by_suffix(path)
    }
}

/// What the suffix of `path` names, in any case.
pub(super) fn by_suffix<F: FromStr>(path: &Path) -> Result<F> {
    path.extension()
        .and_then(|suffix| suffix.to_str()?.to_ascii_lowercase().parse().ok())
        .ok_or_else(|| Error::UnknownFormat { name: path.display().to_string() })
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| Error::UnknownFormat { name: name.to_owned() })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffix_names_the_format_in_any_case() {
        assert_eq!(Format::from_path(Path::new("a/b.NPY")).unwrap(), Format::Npy);
        assert_eq!(Format::from_path(Path::new("b.tsv")).unwrap(), Format::Tsv);
        assert!(matches!(Format::from_path(Path::new("npy")), Err(Error::UnknownFormat { .. })));
        assert!(matches!("parquet".parse::<Format>(), Err(Error::UnknownFormat { .. })));
    }
}
