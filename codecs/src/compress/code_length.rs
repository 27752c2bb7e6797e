//! The seam that every compressor and every model stands behind: how many bits a sequence takes.

use rayon::prelude::*;

/// A code length could not be told: of a model that can fail, such as a neural one.
#[derive(Debug, thiserror::Error)]
#[error("{compressor}: cannot tell the code length of a sequence of {letters} letters")]
pub struct Error {
    /// What was asked.
    pub compressor: String,
    /// Length of the sequence.
    pub letters: usize,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Result of a code length.
pub type Result<T> = std::result::Result<T, Error>;

/// A compressor or a model that tells how many bits it would write.
///
/// Compressors of bytes give multiples of 8. Anything that gives each letter a probability gives the sum of
/// `-log2 p`. From one such function come distances ([`Distance`](super::Distance)), nearest neighbours and trees.
pub trait CodeLength: Sync {
    /// As named in results and model files.
    fn name(&self) -> String;

    /// Bits of one sequence.
    fn bits(&self, sequence: &[u8]) -> Result<f64>;

    /// Bits of `first` with `second` behind it.
    fn joint_bits(&self, first: &[u8], second: &[u8]) -> Result<f64>;

    /// Prepares sequences that many others will be compared with.
    fn corpus<'a>(&'a self, sequences: &'a [Vec<u8>]) -> Result<Box<dyn Corpus + 'a>>
    where
        Self: Sized,
    {
        let alone = sequences.par_iter().map(|sequence| self.bits(sequence)).collect::<Result<_>>()?;
        Ok(Box::new(Plain { code: self, sequences, alone }))
    }
}

/// Bits of a query, and of the query with each sequence of a corpus behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Of the query alone.
    pub alone: f64,
    /// Of the query and each sequence.
    pub joint: Vec<f64>,
}

/// Sequences that queries are compared with.
pub trait Corpus: Sync {
    /// Bits of each sequence alone.
    fn alone(&self) -> &[f64];

    /// Bits of a query with each of the sequences behind it.
    fn row(&self, query: &[u8]) -> Result<Row>;

    /// Bits of each of the sequences with a query behind it: the other order.
    fn backward(&self, query: &[u8]) -> Result<Vec<f64>>;
}

/// Without any preparation.
struct Plain<'a, C> {
    code: &'a C,
    sequences: &'a [Vec<u8>],
    alone: Vec<f64>,
}

impl<C: CodeLength> Corpus for Plain<'_, C> {
    fn alone(&self) -> &[f64] {
        &self.alone
    }

    fn row(&self, query: &[u8]) -> Result<Row> {
        let joint =
            self.sequences.iter().map(|other| self.code.joint_bits(query, other)).collect::<Result<_>>()?;
        Ok(Row { alone: self.code.bits(query)?, joint })
    }

    fn backward(&self, query: &[u8]) -> Result<Vec<f64>> {
        self.sequences.iter().map(|other| self.code.joint_bits(other, query)).collect()
    }
}
