use super::Allele;

/// A line of a VCF file, or a row of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The record, from 1.
    pub number: u64,
    /// The line in the file, from 1.
    pub line: u64,
    /// The contig's name.
    pub contig: String,
    /// The place of the first base of `reference`, from 1. VCF uses 0 for the telomere before the first base.
    pub position: u64,
    /// The names of the variant, as they are written; none where there is none.
    pub id: Option<String>,
    /// The bases that the reference is said to have, in upper case: nucleotide codes. Empty where a table has `-` or `.`.
    pub reference: Vec<u8>,
    /// What stands in their place; at least one.
    pub alternates: Vec<Allele>,
    /// The line, without its end.
    pub(super) source: Vec<u8>,
}

impl Record {
    /// The line as it stands in the file, without its end.
    pub fn source(&self) -> &[u8] {
        &self.source
    }
}
