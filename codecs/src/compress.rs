//! Compressors as models of sequences: distances, classification, trees, and a compressor of FASTA files.

pub mod deflate;
pub mod zlib;
