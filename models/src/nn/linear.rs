//! `y = x W^T + b`, weights as checkpoints store them.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// A linear layer with `weight` `[out, in]`, as in published checkpoints; the product reads it transposed in
/// place.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// `[rows, in] -> [rows, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let y = x.matmul(self.weight.val().transpose());
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }
}
