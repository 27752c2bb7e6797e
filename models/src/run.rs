//! What users do with a model.

mod embed;
pub mod generate;
pub mod kmers;
pub mod loss;
pub mod mlm;
mod pool;
pub mod score;
pub mod variants;

pub use embed::{Embedder, Embedding, Error};
pub use pool::{ParsePoolingError, Pooling};
