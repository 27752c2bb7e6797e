/// One sequence of a FASTA or FASTQ file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The first word of the header. Empty when the header is.
    pub id: String,
    /// The header after the first word, without the white space around it.
    pub description: String,
    /// The letters as written, case included, without line ends.
    pub sequence: Vec<u8>,
    /// The quality letters as written, one a base; none in FASTA.
    pub quality: Option<Vec<u8>>,
    /// The place in the file, from 1.
    pub number: u64,
}

impl Record {
    /// Bases in the sequence.
    pub fn len(&self) -> usize {
        self.sequence.len()
    }

    /// Whether the sequence has no base. Such records are valid.
    pub fn is_empty(&self) -> bool {
        self.sequence.is_empty()
    }
}
