//! Information and DNA.
//!
//! [`dloco`] has the constrained, balanced, error-correcting codes of single words and strands; [`archive`] turns files
//! into pools of oligonucleotides and noisy reads back into files; [`compress`] has compressors as models of sequences.

pub mod archive;
pub mod compress;
pub mod dloco;
