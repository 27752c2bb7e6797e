use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

/// Something odd that is read all the same. There is one a kind and file, with a count: the list stays short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What.
    pub kind: WarningKind,
    /// How often.
    pub count: u64,
    /// The first record it concerns, from 1; 0 when it concerns the file.
    pub record: u64,
    /// The id of that record.
    pub id: String,
}

/// The kinds of [`Warning`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WarningKind {
    /// Records with an id that an earlier record has. Checked against the first [`IDS_KEPT`] different ids only.
    DuplicateId,
    /// Records without an id.
    EmptyId,
    /// Descriptions that are not UTF-8; unreadable bytes were replaced.
    DescriptionEncoding,
    /// Bytes after the end of the gzip stream; they were ignored, as gzip does.
    TrailingBytes,
    /// A BGZF file without its empty last block. Some writers leave it out; it is also how a file looks that was cut
    /// between two blocks, which nothing in the file can tell.
    NoEndBlock,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            WarningKind::DuplicateId => "records that repeat an earlier id",
            WarningKind::EmptyId => "records without an id",
            WarningKind::DescriptionEncoding => "descriptions that are not UTF-8 text",
            WarningKind::TrailingBytes => {
                return f.write_str("bytes after the end of the gzip stream were ignored");
            }
            WarningKind::NoEndBlock => {
                return f.write_str(
                    "the BGZF end-of-file block is missing: complete as far as can be told, but it may have been cut",
                );
            }
        };
        write!(f, "{what}: {} (first: record {}", self.count, self.record)?;
        if !self.id.is_empty() {
            write!(f, ", id {}", self.id.escape_debug())?;
        }
        f.write_str(")")
    }
}

/// Ids remembered for the duplicate check: 2^20 hashes are about 18 MB, whatever the length of the file.
pub const IDS_KEPT: usize = 1 << 20;

/// Collects warnings of one file.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    list: Vec<Warning>,
    ids: HashSet<u64, BuildHasherDefault<AsIs>>,
    hasher: foldhash::quality::RandomState,
}

impl Warnings {
    pub(super) fn as_slice(&self) -> &[Warning] {
        &self.list
    }

    pub(super) fn note(&mut self, kind: WarningKind, record: u64, id: &str) {
        match self.list.iter_mut().find(|warning| warning.kind == kind) {
            Some(warning) => warning.count += 1,
            None => self.list.push(Warning { kind, count: 1, record, id: id.to_owned() }),
        }
    }

    /// Looks at the id of a new record. Two different ids among a million share a hash in one file of about 3 * 10^7.
    pub(super) fn note_id(&mut self, record: u64, id: &str) {
        if id.is_empty() {
            return self.note(WarningKind::EmptyId, record, id);
        }
        let hash = self.hasher.hash_one(id);
        let is_full = self.ids.len() >= IDS_KEPT;
        if if is_full { self.ids.contains(&hash) } else { !self.ids.insert(hash) } {
            self.note(WarningKind::DuplicateId, record, id);
        }
    }
}

/// For keys that are hashes already, with a seed of their own.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are numbers of 64 bits");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
