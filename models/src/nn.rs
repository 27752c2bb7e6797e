//! Layers that more than one model family uses in the same way.

mod linear;
mod tensors;

pub use linear::Linear;
pub use tensors::Tensors;
