//! Layers with their residual and, in models that normalise afterwards, the normalisation.

use super::Linear;
#[cfg(feature = "cpu")]
use super::host::{self, Host};
use burn::module::Module;
use burn::nn::LayerNorm;
use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, silu};
#[cfg(feature = "cpu")]
use kilobase_kernels::matmul;
use kilobase_kernels::matmul::{Activation, PackedMatrix};
use std::sync::Arc;

/// `norm(residual + x W^T + b)`; without a norm the sum itself.
#[derive(Module, Debug)]
pub struct LinearResidual {
    linear: Option<Linear>,
    norm: Option<LayerNorm>,
    #[module(skip)]
    packed: Option<Arc<PackedLinearResidual>>,
}

/// What is left of it for inference on the processor.
#[derive(Debug)]
pub struct PackedLinearResidual {
    /// `[out, in]`
    pub weight: PackedMatrix,
    /// `[out]`
    pub bias: Option<Vec<f32>>,
    /// Over the sum.
    pub norm: Option<kilobase_kernels::matmul::LayerNorm>,
}

/// Bytes of what stands beside packed matrices.
fn beside(bias: Option<&Vec<f32>>, norm: Option<&kilobase_kernels::matmul::LayerNorm>) -> usize {
    let bias = bias.map_or(0, Vec::len);
    let norm = norm.map_or(0, |norm| norm.gamma.len() + norm.beta.len());
    (bias + norm) * size_of::<f32>()
}

impl LinearResidual {
    /// From parameters.
    pub fn new(linear: Linear, norm: Option<LayerNorm>) -> Self {
        Self { linear: Some(linear), norm, packed: None }
    }

    /// For inference on the processor.
    pub fn packed(packed: PackedLinearResidual) -> Self {
        Self { linear: None, norm: None, packed: Some(Arc::new(packed)) }
    }

    /// Bytes of what is packed.
    pub fn packed_bytes(&self) -> usize {
        self.packed.as_ref().map_or(0, |p| p.weight.bytes() + beside(p.bias.as_ref(), p.norm.as_ref()))
    }

    /// `[rows, in]`, `[rows, out] -> [rows, out]`
    pub fn forward(&self, x: Tensor<2>, residual: Tensor<2>) -> Tensor<2> {
        #[cfg(feature = "cpu")]
        if let Some(PackedLinearResidual { weight, bias, norm }) = self.packed.as_deref() {
            let (x, residual) = (Host::new(x), Host::new(residual));
            let shape = [x.rows().rows(), weight.outputs()];
            let mut out = vec![0.0; shape[0] * shape[1]];
            let (bias, norm) = (bias.as_deref(), norm.as_ref());
            matmul::linear_residual(x.rows(), weight, bias, residual.rows(), norm, &mut out);
            return host::tensor(out, shape);
        }
        let sum = self.linear.as_ref().expect("weights, packed or not").forward_residual(x, residual);
        match &self.norm {
            Some(norm) => norm.forward(sum),
            None => sum,
        }
    }
}

/// `norm(residual + (act(x G^T) . (x U^T)) W^T + b)`, `G` and `U` being the halves of one matrix.
#[derive(Module, Debug)]
pub struct GatedMlp {
    gated: Option<Linear>,
    down: Option<LinearResidual>,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    packed: Option<Arc<kilobase_kernels::matmul::GatedMlp>>,
}

impl GatedMlp {
    /// From parameters; `gated` gives the gates first, then the values.
    pub fn new(gated: Linear, down: LinearResidual, activation: Activation) -> Self {
        Self { gated: Some(gated), down: Some(down), activation, packed: None }
    }

    /// For inference on the processor.
    pub fn packed(packed: kilobase_kernels::matmul::GatedMlp) -> Self {
        Self { gated: None, down: None, activation: packed.activation, packed: Some(Arc::new(packed)) }
    }

    /// Bytes of what is packed.
    pub fn packed_bytes(&self) -> usize {
        self.packed
            .as_ref()
            .map_or(0, |p| p.gated.bytes() + p.down.bytes() + beside(p.bias.as_ref(), p.norm.as_ref()))
    }

    /// `[rows, hidden]`, `[rows, hidden] -> [rows, hidden]`. In models that normalise afterwards `x` is the residual as well.
    pub fn forward(&self, x: Tensor<2>, residual: Tensor<2>) -> Tensor<2> {
        #[cfg(feature = "cpu")]
        if let Some(packed) = self.packed.as_deref() {
            let (x, residual) = (Host::new(x), Host::new(residual));
            let shape = [x.rows().rows(), packed.down.outputs()];
            let mut out = vec![0.0; shape[0] * shape[1]];
            matmul::gated_mlp(packed, x.rows(), residual.rows(), &mut out);
            return host::tensor(out, shape);
        }
        let (Some(gated), Some(down)) = (&self.gated, &self.down) else {
            unreachable!("weights, packed or not")
        };
        let both = gated.forward(x); // [rows, 2 * intermediate]
        #[cfg(feature = "cpu")]
        if super::fused::serves(&both.device()) {
            return down.forward(super::fused::gated(both, self.activation), residual);
        }
        let [rows, width] = both.dims();
        let gate = both.clone().slice([0..rows, 0..width / 2]);
        let value = both.slice([0..rows, width / 2..width]);
        let gate = match self.activation {
            Activation::Gelu => gelu(gate),
            Activation::Silu => silu(gate),
        };
        down.forward(gate * value, residual)
    }
}
