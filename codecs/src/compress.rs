//! Compressors as models of sequences: distances, classification, trees, and a compressor of FASTA files.
//!
//! Everything stands on one function, the number of bits that a sequence takes ([`CodeLength`]): of the common compressors
//! ([`bytes`]), of mixed contexts, or of any model with probabilities. The method for gene families is that of *DNA
//! Sequence Classification with Compressors* (arXiv 2401.14025) and its ancestor by Jiang et al. (ACL 2023).

pub mod bytes;
pub mod cm;
pub mod code_length;
pub mod deflate;
mod distance;
pub mod dna;
pub mod fasta;
pub mod knn;
pub mod labelled;
pub mod letters;
pub mod markov;
pub mod matrix;
pub mod measures;
pub mod model_file;
pub mod neighbours;
mod prefetch;
pub mod split;
mod table;
pub mod tree;
mod varint;
pub mod words;
pub mod zlib;

pub use code_length::CodeLength;
pub use distance::Distance;
pub use letters::Letters;
