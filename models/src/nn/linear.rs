//! `y = x W^T + b`, weights as checkpoints store them.

#[cfg(feature = "cpu")]
use super::host::{self, Host};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
#[cfg(feature = "cpu")]
use kilobase_kernels::matmul;
use kilobase_kernels::matmul::{PackedMatrix, Precision};
use std::sync::Arc;

/// A linear layer. Its weights are a parameter, which can be trained, or packed for the processor.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Option<Param<Tensor<2>>>,
    bias: Option<Param<Tensor<1>>>,
    /// Of products with weights that are not packed.
    #[module(skip)]
    precision: Precision,
    #[module(skip)]
    packed: Option<Arc<Packed>>,
}

/// What is left of a linear layer for inference.
#[derive(Debug)]
#[cfg_attr(not(feature = "cpu"), allow(dead_code, reason = "read by the kernels"))]
struct Packed {
    weight: PackedMatrix,
    bias: Option<Vec<f32>>,
}

impl Linear {
    /// `weight` `[out, in]`, as in published checkpoints. The precision is that of products on the processor; other devices
    /// compute as their tensors are.
    pub fn new(weight: Param<Tensor<2>>, bias: Option<Param<Tensor<1>>>, precision: Precision) -> Self {
        Self { weight: Some(weight), bias, precision, packed: None }
    }

    /// For inference on the processor.
    pub fn packed(weight: PackedMatrix, bias: Option<Vec<f32>>) -> Self {
        let precision = weight.kernel().precision();
        Self { weight: None, bias: None, precision, packed: Some(Arc::new(Packed { weight, bias })) }
    }

    /// Whether the weights are packed.
    pub fn is_packed(&self) -> bool {
        self.packed.is_some()
    }

    /// Bytes of what is packed.
    pub fn packed_bytes(&self) -> usize {
        self.packed.as_ref().map_or(0, |packed| {
            packed.weight.bytes() + packed.bias.as_ref().map_or(0, |bias| size_of_val(&bias[..]))
        })
    }

    /// The weights `[out, in]`, unless they are packed.
    pub fn weight(&self) -> Option<Tensor<2>> {
        self.weight.as_ref().map(Param::val)
    }

    /// What products are computed in on the processor.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Some outputs only, `[rows, in] -> [rows, count]`, from weights that are not packed.
    ///
    /// # Panics
    /// If the weights are packed.
    pub fn forward_rows(&self, x: Tensor<2>, first: usize, count: usize) -> Tensor<2> {
        let weight = self.weight.as_ref().expect("weights that are not packed").val();
        let y = self.product(x, weight.narrow(0, first, count));
        match &self.bias {
            Some(bias) => y + bias.val().narrow(0, first, count).unsqueeze(),
            None => y,
        }
    }

    /// `[rows, in] -> [rows, out]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        #[cfg(feature = "cpu")]
        if let Some(Packed { weight, bias }) = self.packed.as_deref() {
            let x = Host::new(x);
            let shape = [x.rows().rows(), weight.outputs()];
            let mut out = vec![0.0; shape[0] * shape[1]];
            matmul::linear(x.rows(), weight, bias.as_deref(), &mut out);
            return host::tensor(out, shape);
        }
        let y = self.product(x, self.weight.as_ref().expect("weights, packed or not").val());
        match &self.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        }
    }

    /// [`Self::forward`] plus `[rows, out]`, from weights that are not packed.
    pub(super) fn forward_residual(&self, x: Tensor<2>, residual: Tensor<2>) -> Tensor<2> {
        #[cfg(feature = "cpu")]
        if let (true, Some(weight), None) = (super::fused::serves(&x.device()), &self.weight, &self.bias) {
            return super::fused::linear_residual(x, weight.val(), residual, self.precision);
        }
        residual + self.forward(x)
    }

    fn product(&self, x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
        #[cfg(feature = "cpu")]
        if super::fused::serves(&x.device()) {
            return super::fused::linear(x, weight, self.precision);
        }
        x.matmul(weight.transpose())
    }
}
