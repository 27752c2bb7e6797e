//! Root mean square normalisation.

#[cfg(feature = "cpu")]
use super::host::{self, Host};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use std::sync::Arc;

/// `x / sqrt(mean(x^2) + epsilon) * gamma` over each row (Zhang & Sennrich 2019). Its factors are a parameter, which can be
/// trained, or numbers for the processor.
#[derive(Module, Debug)]
pub struct RmsNorm {
    gamma: Option<Param<Tensor<1>>>,
    #[module(skip)]
    packed: Option<Arc<Vec<f32>>>,
    epsilon: f64,
}

impl RmsNorm {
    /// From a parameter `[width]`.
    pub fn new(gamma: Param<Tensor<1>>, epsilon: f64) -> Self {
        Self { gamma: Some(gamma), packed: None, epsilon }
    }

    /// For inference on the processor.
    pub fn packed(gamma: Vec<f32>, epsilon: f64) -> Self {
        Self { gamma: None, packed: Some(Arc::new(gamma)), epsilon }
    }

    /// Bytes of the factors, unless they are a parameter.
    pub fn packed_bytes(&self) -> usize {
        self.packed.as_ref().map_or(0, |gamma| size_of_val(&gamma[..]))
    }

    /// `[rows, width] -> [rows, width]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        #[cfg(feature = "cpu")]
        if let Some(gamma) = &self.packed {
            let x = Host::new(x);
            let shape = [x.rows().rows(), gamma.len()];
            let mut out = vec![0.0; shape[0] * shape[1]];
            kilobase_kernels::matmul::rms_norm(x.rows(), gamma, self.epsilon as f32, &mut out);
            return host::tensor(out, shape);
        }
        let gamma = self.gamma.as_ref().expect("factors, packed or not").val();
        #[cfg(feature = "cpu")]
        if super::fused::serves(&x.device()) {
            return super::fused::rms_norm(x, gamma, self.epsilon);
        }
        let size = (x.clone().square().mean_dim(1) + self.epsilon).sqrt();
        x / size * gamma.unsqueeze()
    }
}
