//! Distances from code lengths.

use super::code_length::{Corpus, Result};

/// How code lengths of `x`, `y` and `xy` become a distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Distance {
    /// `(C(xy) - min(C(x), C(y))) / max(C(x), C(y))`: the normalised compression distance (Cilibrasi and Vitanyi 2005). May
    /// pass 1 a little.
    #[default]
    Ncd,
    /// `C(xy) / (C(x) + C(y))`: the compression-based dissimilarity measure (Keogh et al. 2004).
    Cdm,
    /// `(C(xy) - C(y)) / C(x)`: what the query costs once the other is known. One-way.
    Cond,
    /// `(C(xy) - C(y)) / (2 |x|)`: the normalised relative compression, as a share of 2 bits a letter. One-way.
    Nrc,
}

impl Distance {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ncd, Self::Cdm, Self::Cond, Self::Nrc];

    /// As written on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ncd => "ncd",
            Self::Cdm => "cdm",
            Self::Cond => "cond",
            Self::Nrc => "nrc",
        }
    }

    /// The distance, from bits of the query `x` of so many letters, of `y`, and of both.
    pub fn of(self, letters: usize, x: f64, y: f64, joint: f64) -> f64 {
        match self {
            Self::Ncd => (joint - x.min(y)) / x.max(y),
            Self::Cdm => joint / (x + y),
            Self::Cond => (joint - y) / x,
            Self::Nrc => (joint - y) / (2.0 * letters.max(1) as f64),
        }
    }

    /// Distances of a query from every sequence of a corpus.
    pub fn row(self, corpus: &dyn Corpus, query: &[u8]) -> Result<Vec<f64>> {
        let row = corpus.row(query)?;
        let pairs = row.joint.iter().zip(corpus.alone());
        Ok(pairs.map(|(&joint, &alone)| self.of(query.len(), row.alone, alone, joint)).collect())
    }
}
