//! Bytes in, sequences, tokens and batches out; results to files.
//!
//! `bytes -> inflate -> records -> windows -> tokens with offsets -> packed batches`, and the writers of results.
//! Beside it: random access to reference genomes, and variants with their scores.

#![allow(
    clippy::inline_always,
    reason = "the innermost loops of inflating and encoding keep their state in registers only when all of a step is inlined"
)]

pub mod alphabet;
pub mod batch;
pub mod enzymes;
pub mod export;
pub mod fastx;
pub mod regions;
pub mod stats;
pub mod tokenize;
pub mod variants;
pub mod window;
