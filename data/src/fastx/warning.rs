use std::fmt;

use super::ids::Ids;

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
    /// Records with an id that an earlier record has. Checked against the first [`IDS_KEPT`](super::IDS_KEPT) different ids only.
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

/// Collects warnings of one file.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    list: Vec<Warning>,
    ids: Ids,
    waiting: Waiting,
}

/// Ids that were not looked up yet: many at a time are faster.
#[derive(Debug, Default)]
struct Waiting {
    /// The record of the first one.
    record: u64,
    hashes: Vec<u64>,
    /// One after the other, and where each ends.
    names: String,
    ends: Vec<usize>,
}

/// Ids that wait at most.
const WAITING: usize = 64;

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

    /// Takes the id of a new record; [`look_up`](Self::look_up) must follow the last one.
    pub(super) fn note_id(&mut self, record: u64, id: &str) {
        if id.is_empty() {
            self.look_up(); // those that wait are of records one after the other
            return self.note(WarningKind::EmptyId, record, id);
        }
        let Waiting { record: first, hashes, names, ends } = &mut self.waiting;
        if hashes.is_empty() {
            *first = record;
        }
        hashes.push(self.ids.hash(id.as_bytes()));
        names.push_str(id);
        ends.push(names.len());
        if hashes.len() >= WAITING {
            self.look_up();
        }
    }

    /// Looks up the ids that wait.
    pub(super) fn look_up(&mut self) {
        let Waiting { record, hashes, names, ends } = std::mem::take(&mut self.waiting);
        self.note_hashes(record, &hashes, |at| {
            let start = at.checked_sub(1).map_or(0, |before| ends[before]);
            names[start..ends[at]].to_owned()
        });
        self.waiting = Waiting { record: 0, hashes, names, ends };
        self.waiting.hashes.clear();
        self.waiting.names.clear();
        self.waiting.ends.clear();
    }

    /// What ids are hashed by.
    pub(super) fn hasher(&self) -> foldhash::quality::RandomState {
        self.ids.hasher()
    }

    /// Takes the ids of records one after the other, of which `id` gives one.
    pub(super) fn note_hashes(&mut self, record: u64, hashes: &[u64], id: impl Fn(usize) -> String) {
        let (mut count, mut first) = (0, None);
        self.ids.take(hashes, |at| {
            count += 1;
            first.get_or_insert(at);
        });
        let Some(at) = first else { return };
        let kind = WarningKind::DuplicateId;
        if let Some(warning) = self.list.iter_mut().find(|warning| warning.kind == kind) {
            warning.count += count;
        } else {
            self.list.push(Warning { kind, count, record: record + at as u64, id: id(at) });
        }
    }
}
