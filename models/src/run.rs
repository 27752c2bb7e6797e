//! What users do with a model.

mod embed;
mod error;
pub mod generate;
pub mod kmers;
pub mod loss;
pub mod mlm;
mod pool;
pub mod predict;
pub mod price;
mod reading;
pub mod score;
pub mod variants;

pub use embed::{Embedder, Embedding};
pub use error::Error;
pub use pool::{ParsePoolingError, Pool, Pooling};
pub use reading::{Long, Reading};
