//! DNA language models: tokens in, embeddings, scores and sequences out.

pub mod attention;
pub mod cache;
pub mod checkpoint;
pub mod decode;
pub mod device;
pub mod family;
pub mod mixer;
pub mod nn;
pub mod pretrained;
pub mod run;
pub mod train;
