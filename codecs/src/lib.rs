//! Codes between information and DNA.
//!
//! [`dloco`] has the constrained, balanced, error-correcting codes of single words and strands; [`archive`] turns files
//! into pools of oligonucleotides and noisy reads back into files.

pub mod archive;
pub mod dloco;
