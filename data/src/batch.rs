//! Sequences of different length side by side, without padding.

mod packed;
mod plan;

pub use packed::{Error, PackedBatch, Padding};
pub use plan::pack_by_budget;
