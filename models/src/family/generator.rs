//! GENERator (Wu et al. 2025, <https://arxiv.org/abs/2502.07272>): a Llama decoder over 6-mers of DNA.
//!
//! Rotary positions, grouped queries, gated SiLU feed-forward layers, root mean square normalisation before each layer.
//! Reference code and weights: <https://github.com/GenerTeam/GENERator>. Anything that is a Llama by tensors and
//! configuration loads as well. Computes the reference's f32 path.

mod config;
mod model;
mod weights;

pub use config::Config;
pub use model::{Extended, Generator};
pub use weights::{expected, matched};
