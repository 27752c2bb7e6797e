use std::path::Path;

use serde::Deserialize;

use crate::tokenize::special::Names;
use crate::tokenize::{Error, Layout, VocabularyFault, file};

/// What a k-mer tokenizer takes from `tokenizer_config.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct KmerConfig {
    /// The class that wrote the file.
    #[serde(default)]
    pub tokenizer_class: Option<String>,
    /// Bases of a token; some copies of the models call it `kmer`.
    #[serde(default, alias = "kmer")]
    pub k: Option<u64>,
    /// Letters from the start of a token to that of the next: k where it does not say, or 1.
    #[serde(default)]
    pub stride: Option<u64>,
    /// Whether a start mark is added. One revision of the models does not say, and adds it.
    #[serde(default = "yes", rename = "add_bos_token")]
    pub start: bool,
    /// Whether an end mark is added. For inference there must be none, or decoders go on after the end.
    #[serde(default, rename = "add_eos_token")]
    pub end: bool,
    #[serde(flatten)]
    pub(super) names: Names,
}

fn yes() -> bool {
    true
}

/// 4^8 tokens; no model in use goes beyond 4^6.
const LARGEST_K: u64 = 8;

impl KmerConfig {
    /// The configuration of k-mers of `k` bases, with a start mark and no end mark.
    pub fn new(k: u64) -> Self {
        Self {
            tokenizer_class: None,
            k: Some(k),
            stride: None,
            start: true,
            end: false,
            names: Names::default(),
        }
    }

    /// The configuration of overlapping k-mers of `k` bases between both marks, as the first DNABERT reads them.
    pub fn overlapping(k: u64) -> Self {
        Self { stride: Some(1), end: true, ..Self::new(k) }
    }

    /// Reads a `tokenizer_config.json`.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = file::read(path)?;
        serde_json::from_slice(&bytes)
            .map_err(|source| Error::Json { file: path.display().to_string(), source })
    }

    /// Whether the file is about k-mers at all.
    pub fn is_kmer(&self) -> bool {
        self.k.is_some() || self.tokenizer_class.as_deref() == Some("DNAKmerTokenizer")
    }

    /// Whether the file could be that of the first DNABERT, which says nothing of k-mers.
    pub(super) fn is_bert(&self) -> bool {
        matches!(self.tokenizer_class.as_deref(), None | Some("BertTokenizer" | "DNATokenizer"))
    }

    pub(super) fn layout(&self, k: usize) -> Result<Layout, VocabularyFault> {
        match self.stride {
            None => Ok(Layout::SideBySide),
            Some(stride) if stride == k as u64 => Ok(Layout::SideBySide),
            Some(1) => Ok(Layout::Overlapping),
            Some(found) => Err(VocabularyFault::Stride { found, k }),
        }
    }

    pub(super) fn checked_k(&self) -> Result<usize, VocabularyFault> {
        match self.k {
            Some(k @ 1..=LARGEST_K) => Ok(k as usize),
            found => Err(VocabularyFault::Length { found, largest: LARGEST_K }),
        }
    }

    /// A special token that the tokenizer cannot do without.
    pub(super) fn require(
        &self,
        role: &'static str,
        id: Option<u32>,
        usual: &str,
    ) -> Result<u32, VocabularyFault> {
        let given = match role {
            "unknown" => &self.names.unk_token,
            "start" => &self.names.bos_token,
            _ => &self.names.eos_token,
        };
        id.ok_or_else(|| {
            let token = given.as_ref().map_or(usual, |name| name.as_str()).to_owned();
            VocabularyFault::MissingSpecial { role, token }
        })
    }
}
