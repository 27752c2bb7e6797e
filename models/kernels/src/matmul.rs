//! Matrix products with weights that are packed once.
//!
//! `x [m, k] * w^T [k, n]`: weights are laid out for the micro-kernel when the model is loaded ([`PackedMatrix`]), rows
//! of `x` when they are used. What follows a product in a layer (bias, gated activation, residual, normalisation) happens
//! while its tile is in cache. Every number of the result is one sum in one order, whatever the number of rows or threads.

mod activation;
mod block;
mod dispatch;
mod kernel;
mod linear;
mod mlp;
mod norm;
mod numbers;
mod once;
mod packed;
#[cfg(target_arch = "x86_64")]
mod pairs;
pub(crate) mod product;
mod rows;
mod training;
mod vector;

pub use kernel::{Kernel, Precision};
pub use linear::{linear, linear_residual};
pub use mlp::{Activation, GatedMlp, gated_mlp};
pub use norm::{LayerNorm, rms_norm};
pub use once::{Factor, add_transposed_times, transposed_times};
pub use packed::PackedMatrix;
pub use rows::Rows;
pub use training::{gated, gated_backward, rms_norm_backward};

#[cfg(test)]
use crate::bf16;
#[cfg(test)]
mod tests;
