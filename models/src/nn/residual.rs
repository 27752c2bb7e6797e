//! Layers with their residual and the normalisation after it.

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

/// `norm(residual + x W^T + b)`
#[derive(Module, Debug)]
pub struct LinearNorm {
    linear: Option<Linear>,
    norm: Option<LayerNorm>,
    #[module(skip)]
    packed: Option<Arc<PackedLinearNorm>>,
}

/// What is left of it for inference on the processor.
#[derive(Debug)]
pub struct PackedLinearNorm {
    /// `[out, in]`
    pub weight: PackedMatrix,
    /// `[out]`
    pub bias: Option<Vec<f32>>,
    /// Over the sum.
    pub norm: kilobase_kernels::matmul::LayerNorm,
}

impl LinearNorm {
    /// From parameters.
    pub fn new(linear: Linear, norm: LayerNorm) -> Self {
        Self { linear: Some(linear), norm: Some(norm), packed: None }
    }

    /// For inference on the processor.
    pub fn packed(packed: PackedLinearNorm) -> Self {
        Self { linear: None, norm: None, packed: Some(Arc::new(packed)) }
    }

    /// `[rows, in]`, `[rows, out] -> [rows, out]`
    pub fn forward(&self, x: Tensor<2>, residual: Tensor<2>) -> Tensor<2> {
        #[cfg(feature = "cpu")]
        if let Some(PackedLinearNorm { weight, bias, norm }) = self.packed.as_deref() {
            let (x, residual) = (Host::new(x), Host::new(residual));
            let shape = [x.rows().rows(), weight.outputs()];
            let mut out = vec![0.0; shape[0] * shape[1]];
            matmul::linear_norm(x.rows(), weight, bias.as_deref(), residual.rows(), norm, &mut out);
            return host::tensor(out, shape);
        }
        let (Some(linear), Some(norm)) = (&self.linear, &self.norm) else {
            unreachable!("weights, packed or not")
        };
        norm.forward(residual + linear.forward(x))
    }
}

/// `norm(x + (act(x G^T) . (x U^T)) W^T + b)`, `G` and `U` being the halves of one matrix.
#[derive(Module, Debug)]
pub struct GatedMlp {
    gated: Option<Linear>,
    down: Option<LinearNorm>,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    packed: Option<Arc<kilobase_kernels::matmul::GatedMlp>>,
}

impl GatedMlp {
    /// From parameters; `gated` gives the gates first, then the values.
    pub fn new(gated: Linear, down: LinearNorm, activation: Activation) -> Self {
        Self { gated: Some(gated), down: Some(down), activation, packed: None }
    }

    /// For inference on the processor.
    pub fn packed(packed: kilobase_kernels::matmul::GatedMlp) -> Self {
        Self { gated: None, down: None, activation: packed.activation, packed: Some(Arc::new(packed)) }
    }

    /// `[rows, hidden] -> [rows, hidden]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        #[cfg(feature = "cpu")]
        if let Some(packed) = self.packed.as_deref() {
            let x = Host::new(x);
            let shape = [x.rows().rows(), packed.down.outputs()];
            let mut out = vec![0.0; shape[0] * shape[1]];
            matmul::gated_mlp(packed, x.rows(), &mut out);
            return host::tensor(out, shape);
        }
        let (Some(gated), Some(down)) = (&self.gated, &self.down) else {
            unreachable!("weights, packed or not")
        };
        let both = gated.forward(x.clone()); // [rows, 2 * intermediate]
        let [rows, width] = both.dims();
        let gate = both.clone().slice([0..rows, 0..width / 2]);
        let value = both.slice([0..rows, width / 2..width]);
        let gate = match self.activation {
            Activation::Gelu => gelu(gate),
            Activation::Silu => silu(gate),
        };
        down.forward(gate * value, x)
    }
}
