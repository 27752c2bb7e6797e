//! Sequences of different length side by side, without padding.

mod bins;
mod decompose;
mod packed;
mod plan;
pub mod sequences;
mod shuffle;
pub mod stream;

pub use bins::first_fit_decreasing;
pub use decompose::{Decomposition, decompose_pow2};
pub use packed::{Error, PackedBatch, Padding};
pub use plan::pack_by_budget;
pub use sequences::Sequences;
pub use stream::{Batches, Source};
