//! From named tensors of a checkpoint to parameters on a device.

use super::Linear;
use crate::checkpoint::{Error, Weights};
use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Tensor, TensorData};

/// Reads named tensors one at a time and puts them on a device, so that at most one is held twice.
#[derive(Clone, Copy, Debug)]
pub struct Tensors<'a> {
    weights: &'a Weights,
    device: &'a Device,
}

impl<'a> Tensors<'a> {
    /// Parameters of `weights`, whose shapes were checked, go to `device`.
    pub fn new(weights: &'a Weights, device: &'a Device) -> Self {
        Self { weights, device }
    }

    /// A parameter of the given shape.
    ///
    /// # Panics
    /// If the tensor is of another shape: checking is the family's first step.
    pub fn param<const D: usize>(self, name: &str, shape: [usize; D]) -> Result<Param<Tensor<D>>, Error> {
        assert_eq!(self.weights.shape(name)?, shape, "{name} was not checked");
        let data = TensorData::new(self.weights.read_f32(name)?, shape);
        Ok(Param::from_tensor(Tensor::from_data(data, self.device)))
    }

    /// `{name}.weight` `[out, in]` and, if asked for, `{name}.bias` `[out]`.
    pub fn linear(self, name: &str, out: usize, input: usize, bias: bool) -> Result<Linear, Error> {
        Ok(Linear {
            weight: self.param(&format!("{name}.weight"), [out, input])?,
            bias: bias.then(|| self.param(&format!("{name}.bias"), [out])).transpose()?,
        })
    }

    /// `{name}.weight` and `{name}.bias`, both `[size]`.
    pub fn layer_norm(self, name: &str, size: usize, epsilon: f64) -> Result<LayerNorm, Error> {
        let mut norm = LayerNormConfig::new(size).with_epsilon(epsilon).init(self.device);
        norm.gamma = self.param(&format!("{name}.weight"), [size])?;
        norm.beta = Some(self.param(&format!("{name}.bias"), [size])?);
        Ok(norm)
    }
}
