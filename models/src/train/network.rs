//! What training needs of a family: its forward pass in stages, and the published names of its parameters.

use super::head::Matrix;
use crate::attention::Packing;
use crate::checkpoint::Checkpoint;
use crate::family;
use crate::nn::Precision;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kilobase_data::batch::PackedBatch;
use std::fmt::Debug;

/// The published tensors that the loss over the vocabulary reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// The matrix `[vocabulary, hidden]`.
    pub weight: &'static str,
    /// The bias `[vocabulary]`.
    pub bias: Option<&'static str>,
}

/// A model that can be trained: on a device that records gradients its stages record them.
///
/// A forward pass is the rows of the embedding, [`begin`](Self::begin), each [`layer`](Self::layer), [`end`](Self::end); each stage can be run and
/// differentiated apart from the others.
pub trait Network: Module + Debug {
    /// The published name of the embedding of tokens.
    const WORDS: &'static str;

    /// How the published names of the parameters of a head for classes or values begin.
    const HEAD: &'static [&'static str];

    /// Loads a checkpoint of the family onto a device. The precision is that of products.
    ///
    /// # Panics
    /// If it is of another family; or if a precision other than f32 is asked for elsewhere than on the processor.
    fn open(checkpoint: Checkpoint, device: &Device, precision: Precision) -> Result<Self, family::Error>;

    /// The published tensors that a parameter stacks, first rows first, and how many of its `rows` each has. `path` is the
    /// parameter's place in the module.
    fn names(&self, path: &[&str], rows: usize) -> Vec<(String, usize)>;

    /// Rows of the embedding, `[tokens, hidden]`.
    fn words(&self, ids: &[u32]) -> Tensor<2>;

    /// What is done before the layers.
    fn begin(&self, words: Tensor<2>, batch: &PackedBatch) -> Tensor<2>;

    /// Number of layers.
    fn layers(&self) -> usize;

    /// One layer, `[tokens, hidden] -> [tokens, hidden]`.
    fn layer(&self, n: usize, x: Tensor<2>, batch: &PackedBatch) -> Tensor<2>;

    /// Whether a token sees those after it.
    const SEES_ALL: bool;

    /// Keys and values of a layer side by side, `[tokens, hidden] -> [tokens, width]`.
    fn keys(&self, n: usize, x: Tensor<2>) -> Tensor<2>;

    /// One layer for some tokens, given the [`keys`](Self::keys) that they see: with those of all tokens it is [`layer`](Self::layer).
    fn layer_over(
        &self,
        n: usize,
        x: Tensor<2>,
        at: &Packing,
        keys: Tensor<2>,
        keys_at: &Packing,
    ) -> Tensor<2>;

    /// What is done after the layers to the rows from which tokens are predicted, `[rows, hidden]`.
    fn end(&self, x: Tensor<2>, rows: &[usize]) -> Tensor<2>;

    /// What a head for classes or values answers, `[sequences, answers]`, to what the layers give; `None` without one.
    fn classify(&self, x: Tensor<2>, batch: &PackedBatch) -> Option<Tensor<2>>;

    /// The output matrix; `None` where the checkpoint has none.
    fn output(&self) -> Option<(Output, Matrix)>;
}
