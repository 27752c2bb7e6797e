//! DNABERT-2 (Zhou et al. 2023, <https://arxiv.org/abs/2306.15006>): a MosaicBERT encoder over BPE tokens of DNA.
//!
//! Symmetric ALiBi instead of position embeddings, gated GELU feed-forward layers, normalisation after each
//! residual. Reference code and weights: <https://huggingface.co/zhihan1996/DNABERT-2-117M>. Computes the
//! reference's f32 path.

mod config;
mod model;
mod weights;

pub use config::Config;
pub use model::{DnaBert2, Head, Mlm};
pub use weights::{base, expected, matched};
