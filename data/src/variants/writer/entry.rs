use serde::{Deserialize, Serialize};

use crate::export::Item;

/// A record, as the spool's index knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    alternates: u64,
    /// The codes of the alternates without a score, by their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<(u64, String)>,
}

impl Entry {
    pub(super) fn new(reasons: Vec<Option<String>>) -> Self {
        let alternates = reasons.len() as u64;
        let skipped = (0..).zip(reasons).filter_map(|(at, code)| Some((at, code?))).collect();
        Self { alternates, skipped }
    }

    /// The code of an alternate.
    pub(super) fn code(&self, alternate: usize) -> Option<&str> {
        let found = self.skipped.iter().find(|(at, _)| *at == alternate as u64);
        found.map(|(_, code)| code.as_str())
    }

    pub(super) fn codes(&self) -> impl Iterator<Item = &str> {
        self.skipped.iter().map(|(_, code)| code.as_str())
    }
}

impl Item for Entry {
    fn rows(&self) -> u64 {
        self.alternates
    }

    /// None: the source has the columns, and is read beside the spool.
    fn cells(&self, _row: u64, _cells: &mut Vec<String>) {}
}
