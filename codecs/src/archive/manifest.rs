//! The manifest: what is known of a pool without reading it.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::format::Format;
use super::outer::Geometry;
use super::{Error, Result};

/// Written as JSON beside the pool. Its own hash tells a changed one from what was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `DLC1`.
    pub archive: String,
    /// Name of the file, without folders.
    pub file: String,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// SHA-256 of the file, in hexadecimal digits.
    pub file_sha256: String,
    /// Whether the file is compressed by zstd.
    pub zstd: bool,
    /// The strands.
    pub format: Format,
    /// Groups of strands.
    pub groups: usize,
    /// Strands of a group that hold data.
    pub data_strands: usize,
    /// Strands of a group that restore others.
    pub parity_strands: usize,
    /// Of the other fields.
    #[serde(default)]
    pub manifest_sha256: String,
}

impl Manifest {
    /// How the pool is cut.
    pub fn geometry(&self) -> Result<Geometry> {
        let Self { groups, data_strands: data, parity_strands: parity, .. } = *self;
        Geometry { groups, data, parity, payload: self.format.payload_bytes }.check()
    }

    /// As JSON, with its hash.
    pub fn to_json(&self) -> String {
        let mut sealed = self.clone();
        sealed.manifest_sha256 = self.own_hash();
        serde_json::to_string_pretty(&sealed).expect("plain fields") + "\n"
    }

    /// From JSON of the file `path`.
    pub fn parse(json: &[u8], path: &str) -> Result<Self> {
        let bad = |reason: String| Error::Manifest { path: path.to_owned(), reason };
        let manifest: Self = serde_json::from_slice(json)
            .map_err(|error| bad(format!("is no manifest of a pool: {error}")))?;
        if manifest.archive != "DLC1" {
            return Err(bad(format!("is of an archive {:?}, not DLC1", manifest.archive)));
        }
        if manifest.manifest_sha256 != manifest.own_hash() {
            return Err(bad("was changed after it was written: its hash is another".to_owned()));
        }
        manifest.format.check().map_err(|error| bad(error.to_string()))?;
        manifest.geometry().map_err(|error| bad(error.to_string()))?;
        Ok(manifest)
    }

    fn own_hash(&self) -> String {
        let mut open = self.clone();
        open.manifest_sha256.clear();
        hex::encode(Sha256::digest(serde_json::to_vec(&open).expect("plain fields")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::PRESETS;

    fn manifest() -> Manifest {
        Manifest {
            archive: "DLC1".to_owned(),
            file: "a.bin".to_owned(),
            file_bytes: 3,
            file_sha256: "00".repeat(32),
            zstd: false,
            format: PRESETS[0].format(1),
            groups: 1,
            data_strands: 5,
            parity_strands: 4,
            manifest_sha256: String::new(),
        }
    }

    #[test]
    fn manifest_comes_back_and_a_changed_one_does_not() {
        let json = manifest().to_json();
        let back = Manifest::parse(json.as_bytes(), "m.json").unwrap();
        assert_eq!(Manifest { manifest_sha256: String::new(), ..back }, manifest());
        for (from, to) in
            [("\"groups\": 1", "\"groups\": 2"), ("DLC1", "DLC2"), ("a.bin", "b.bin"), ("{", "")]
        {
            let changed = json.replacen(from, to, 1);
            let error = Manifest::parse(changed.as_bytes(), "m.json").unwrap_err().to_string();
            assert!(error.starts_with("m.json: "), "{error}");
        }
    }
}
