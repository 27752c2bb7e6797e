//! What decoding found out about the reads.

use serde::Serialize;

/// Facts of one decoding.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Reads looked at.
    pub reads: u64,
    /// Reads without primers, or of an impossible length.
    pub without_primers: u64,
    /// Reads that named a strand on their own.
    pub understood: u64,
    /// Reads that did not.
    pub failed: u64,
    /// Clusters of failed reads; 0 if they were not needed.
    pub clusters: u64,
    /// Of them, whose consensus named a strand.
    pub clusters_understood: u64,
    /// Edits of the understood reads.
    pub understood_edits: Edits,
    /// Edits of the clustered reads against their consensus, if it named a strand.
    pub clustered_edits: Edits,
    /// How many strands were named by 0, 1, 2 ... reads; the last counts all from there on.
    pub coverage: Vec<u64>,
    /// Groups of strands, in order.
    pub groups: Vec<Group>,
}

/// Edits and what they were found in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Edits {
    /// Symbols of the strands that were read.
    pub symbols: u64,
    /// Substituted symbols.
    pub substitutions: u64,
    /// Lost symbols.
    pub deletions: u64,
    /// Additional symbols.
    pub insertions: u64,
}

impl Edits {
    pub(super) fn add(&mut self, other: &Self) {
        self.symbols += other.symbols;
        self.substitutions += other.substitutions;
        self.deletions += other.deletions;
        self.insertions += other.insertions;
    }

    /// Substitutions, deletions and insertions a symbol.
    pub fn rates(&self) -> [f64; 3] {
        [self.substitutions, self.deletions, self.insertions]
            .map(|edits| edits as f64 / self.symbols.max(1) as f64)
    }
}

/// A group of strands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// From 0.
    pub group: usize,
    /// Strands that were written.
    pub strands: usize,
    /// Strands that were read.
    pub read: usize,
    /// Strands that were not.
    pub erasures: usize,
    /// Strands that may be missing.
    pub parity: usize,
    /// Strands that may still have been lost; negative where too many were.
    pub margin: i64,
    /// Attempts to restore it: more than one where strands were wrong.
    pub tries: usize,
    /// Whether it was restored.
    pub restored: bool,
}

/// Entries of the coverage histogram.
pub(super) const COVERAGES: usize = 101;

impl Report {
    /// The groups as tab-separated values, with a line of names.
    pub fn groups_tsv(&self) -> String {
        let line = |group: &Group| {
            let Group { group, strands, read, erasures, parity, margin, tries, restored } = group;
            format!("{group}\t{strands}\t{read}\t{erasures}\t{parity}\t{margin}\t{tries}\t{restored}\n")
        };
        let names = "group\tstrands\tread\terasures\tparity\tmargin\ttries\trestored\n".to_owned();
        std::iter::once(names).chain(self.groups.iter().map(line)).collect()
    }
}
