//! Information and DNA: compressors as models of sequences.

pub mod compress;
