//! What users do with a model.

mod embed;
pub mod loss;
pub mod mlm;
mod pool;

pub use embed::{Embedder, Embedding, Error};
pub use pool::{ParsePoolingError, Pooling};
