use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What some rows of a [`Spool`](super::Spool) are about: one line of its index.
pub trait Item: Serialize + DeserializeOwned {
    /// How many rows belong to the item.
    fn rows(&self) -> u64;

    /// Adds one cell for each column of a table to `cells`, for the `row`-th row of the item.
    fn cells(&self, row: u64, cells: &mut Vec<String>);
}

/// A stretch of a record that was read as one piece by a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The name of the record.
    pub record: String,
    /// The first base, from 0.
    pub start: u64,
    /// One past the last base.
    pub end: u64,
    /// Tokens that the stretch became.
    pub tokens: u64,
    /// Rows that belong to the stretch: one when pooled, one a token otherwise.
    pub rows: u64,
    /// Where rows are tokens: the bases `[start, end)` of each row. Empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<[u64; 2]>,
}

impl Stretch {
    /// The columns of pooled rows.
    pub const COLUMNS: [&'static str; 4] = ["record", "start", "end", "tokens"];
    /// The columns of rows that are tokens.
    pub const TOKEN_COLUMNS: [&'static str; 6] =
        ["record", "start", "end", "tokens", "token_start", "token_end"];
}

impl Item for Stretch {
    fn rows(&self) -> u64 {
        self.rows
    }

    fn cells(&self, row: u64, cells: &mut Vec<String>) {
        cells.push(self.record.clone());
        cells.extend([self.start, self.end, self.tokens].map(|number| number.to_string()));
        if let Some(span) = self.spans.get(row as usize) {
            cells.extend(span.map(|number| number.to_string()));
        }
    }
}
