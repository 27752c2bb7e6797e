//! Distances of all pairs.

use std::io::{self, Write};

use rayon::prelude::*;

use super::Distance;
use super::code_length::{Corpus, Result};

/// A square matrix of distances with the names of its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    names: Vec<String>,
    /// Row by row: from the row's sequence to the column's.
    values: Vec<f64>,
}

/// Which of the two orders of a pair counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The row's sequence first, as it is; by default the mean of both orders.
    pub one_way: bool,
    /// Keep the distance of a sequence from itself, which is not 0 by compression; by default it is set to 0.
    pub raw_diagonal: bool,
}

/// A name that strict PHYLIP cannot hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// Ten letters do not tell two names apart.
    #[error("strict PHYLIP keeps 10 letters of a name, and {first} and {second} begin alike")]
    Shared {
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
}

impl Matrix {
    /// Distances between all sequences of a corpus. `done` is called with the letters of each finished row.
    pub fn new(
        names: Vec<String>,
        sequences: &[Vec<u8>],
        corpus: &dyn Corpus,
        distance: Distance,
        options: Options,
        done: impl Fn(u64) + Sync,
    ) -> Result<Self> {
        let rows: Vec<Vec<f64>> = sequences
            .par_iter()
            .map(|sequence| {
                let row = distance.row(corpus, sequence)?;
                done(sequence.len() as u64);
                Ok(row)
            })
            .collect::<Result<_>>()?;
        let mut matrix = Self { names, values: rows.concat() };
        let n = matrix.len();
        if !options.one_way {
            for i in 0..n {
                for j in 0..i {
                    let mean = f64::midpoint(matrix.values[i * n + j], matrix.values[j * n + i]);
                    matrix.values[i * n + j] = mean;
                    matrix.values[j * n + i] = mean;
                }
            }
        }
        if !options.raw_diagonal {
            for i in 0..n {
                matrix.values[i * n + i] = 0.0;
            }
        }
        Ok(matrix)
    }

    /// A matrix of values that are there already, row by row.
    ///
    /// # Panics
    /// If there are not as many as pairs of names.
    pub fn from_values(names: Vec<String>, values: Vec<f64>) -> Self {
        assert_eq!(values.len(), names.len() * names.len(), "a value for each pair");
        Self { names, values }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Names of the rows.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// From one sequence to another.
    pub fn get(&self, from: usize, to: usize) -> f64 {
        self.values[from * self.len() + to]
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    fn row(&self, at: usize) -> &[f64] {
        &self.values[at * self.len()..(at + 1) * self.len()]
    }

    /// Writes PHYLIP's square format: relaxed, with names of any length and two spaces behind; `strict` with ten letters.
    /// White space in names becomes `_`.
    pub fn write_phylip(&self, out: &mut impl Write, strict: bool) -> io::Result<()> {
        writeln!(out, "{}", self.len())?;
        for (at, name) in self.names.iter().enumerate() {
            let name: String = name.chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect();
            if strict {
                let name: String = name.chars().take(10).collect();
                write!(out, "{name:<10}")?;
            } else {
                write!(out, "{name}  ")?;
            }
            for (column, value) in self.row(at).iter().enumerate() {
                write!(out, "{}{value:.6}", if column > 0 { " " } else { "" })?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// Whether ten letters tell all names apart, as strict PHYLIP asks.
    pub fn check_strict(&self) -> std::result::Result<(), NameError> {
        let short = |name: &str| -> String { name.chars().take(10).collect() };
        let mut order: Vec<&String> = self.names.iter().collect();
        order.sort_by_key(|name| short(name));
        match order.windows(2).find(|pair| short(pair[0]) == short(pair[1])) {
            Some(pair) => Err(NameError::Shared { first: pair[0].clone(), second: pair[1].clone() }),
            None => Ok(()),
        }
    }

    /// Writes a table with a header.
    pub fn write_tsv(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "#id")?;
        for name in &self.names {
            write!(out, "\t{name}")?;
        }
        writeln!(out)?;
        for (at, name) in self.names.iter().enumerate() {
            write!(out, "{name}")?;
            for value in self.row(at) {
                write!(out, "\t{value:.6}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// Writes NumPy's format, in f64.
    pub fn write_npy(&self, out: &mut impl Write) -> io::Result<()> {
        let n = self.len();
        let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({n}, {n}), }}");
        // The values begin at a multiple of 64, and the header's last letter is a line feed.
        let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
        out.write_all(b"\x93NUMPY\x01\x00")?;
        out.write_all(&(length as u16).to_le_bytes())?;
        writeln!(out, "{text:<width$}", width = length - 1)?;
        self.values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same bits are what is asked for")]
mod tests {
    use super::*;
    use crate::compress::CodeLength;
    use crate::compress::bytes::{Compressor, Kind};

    fn matrix(options: Options) -> Matrix {
        let sequences: Vec<Vec<u8>> =
            [&b"ACGTACGTTTGACCA"[..], b"ACGTACGTTTGACCAGG", b"TTTTTTCCCCCAA"].map(<[u8]>::to_vec).to_vec();
        let gzip = Compressor::new(Kind::Gzip, 9).unwrap();
        let corpus = gzip.corpus(&sequences).unwrap();
        let names = ["a", "b b", "c"].map(String::from).to_vec();
        Matrix::new(names, &sequences, &*corpus, Distance::Ncd, options, |_| ()).unwrap()
    }

    #[test]
    fn mean_of_both_orders_and_no_distance_from_itself() {
        let mean = matrix(Options::default());
        let raw = matrix(Options { one_way: true, raw_diagonal: true });
        assert_eq!(mean.get(0, 0), 0.0);
        assert!(raw.get(0, 0) > 0.0);
        assert_eq!(mean.get(0, 2), mean.get(2, 0));
        assert_eq!(mean.get(0, 2), f64::midpoint(raw.get(0, 2), raw.get(2, 0)));
    }

    #[test]
    fn formats_hold_names_and_values() {
        let matrix = Matrix::from_values(vec!["a".into(), "b b".into()], vec![0.0, 0.25, 0.25, 0.0]);
        let text = |write: &dyn Fn(&mut Vec<u8>) -> io::Result<()>| {
            let mut out = Vec::new();
            write(&mut out).unwrap();
            out
        };
        assert_eq!(
            text(&|out| matrix.write_phylip(out, false)),
            b"2\na  0.000000 0.250000\nb_b  0.250000 0.000000\n"
        );
        assert_eq!(text(&|out| matrix.write_phylip(out, true))[..15], *b"2\na         0.0");
        assert_eq!(
            text(&|out| matrix.write_tsv(out)),
            b"#id\ta\tb b\na\t0.000000\t0.250000\nb b\t0.250000\t0.000000\n"
        );
        let npy = text(&|out| matrix.write_npy(out));
        assert_eq!((npy.len() - 4 * 8) % 64, 0);
        assert_eq!(npy[npy.len() - 4 * 8 - 1], b'\n');
        assert_eq!(npy[npy.len() - 16..npy.len() - 8], 0.25_f64.to_le_bytes());
    }

    #[test]
    fn strict_names_are_told_apart_or_refused() {
        let of = |names: [&str; 2]| {
            Matrix::from_values(names.map(String::from).to_vec(), vec![0.0; 4]).check_strict()
        };
        assert_eq!(of(["sample-000-a", "sample-001-a"]), Ok(()));
        assert!(of(["sample-0000-a", "sample-0000-b"]).unwrap_err().to_string().contains("sample-0000-b"));
    }
}
