//! Layers that more than one model family uses in the same way.
//!
//! Each holds its weights as parameters of the tensor library, which every device computes with and training changes,
//! or, for inference on the processor, packed for our kernels and nowhere else.

#[cfg(feature = "cpu")]
mod fused;
#[cfg(feature = "cpu")]
pub(crate) mod host;
mod linear;
mod residual;
mod rms_norm;
mod tensors;

pub use kilobase_kernels::matmul::{Activation, Kernel, Precision};
pub use linear::Linear;
pub use residual::{GatedMlp, LinearResidual, PackedLinearResidual};
pub use rms_norm::RmsNorm;
pub use tensors::Tensors;
pub(crate) use tensors::on_processor;
