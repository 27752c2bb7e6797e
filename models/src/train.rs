//! Training: losses and their gradients, the optimiser, the order of data, and runs that survive being killed.
//!
//! The forward pass is the one of inference ([`crate::family`]), on a device that records gradients. Around it
//!
//! * [`head`] computes the output matrix, the loss over a vocabulary and its gradient in blocks of rows, so that no
//!   `[tokens, vocabulary]` matrix exists,
//! * [`gradient`] runs the layers, keeping the whole graph, or one layer at a time, or one chunk of a layer at a time,
//! * [`Parameters`] hold the masters in f32 under the names of the published checkpoints, and [`AdamW`] changes them,
//! * [`corpus`] and [`order`] say which bases a step reads: a function of the seed and the step alone,
//! * [`pretrain`] is a run from a recipe, and [`store`] the checkpoints it leaves; [`finetune`] makes a classifier
//!   or a regression of a checkpoint, with all weights or with [`lora`],
//! * [`markov`], [`logistic`] and [`ridge`] are what a neural model has to beat.

pub mod adamw;
pub mod corpus;
pub mod curve;
mod error;
pub mod example;
pub mod finetune;
pub mod gradient;
pub mod head;
pub mod log;
pub mod logistic;
pub mod lora;
pub mod markov;
pub mod metrics;
mod network;
pub mod order;
mod parameters;
pub mod pretrain;
pub mod recipe;
pub mod ridge;
pub mod schedule;
pub mod store;
mod targets;
pub mod vocabulary;

pub use adamw::AdamW;
pub use error::Error;
pub use network::{Network, Output};
pub use parameters::{Named, Parameters};
pub use targets::Targets;
