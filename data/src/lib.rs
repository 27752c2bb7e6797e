//! Bytes in, sequences, tokens and batches out; results to files.
//!
//! `bytes -> inflate -> records -> windows -> tokens with offsets -> packed batches`, and the writers of results.

pub mod alphabet;
pub mod batch;
pub mod export;
pub mod fastx;
pub mod tokenize;
pub mod window;
