//! From named tensors of a checkpoint to parameters on a device.

use super::Linear;
use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Tensor, TensorData};

/// Reads named tensors one at a time and puts them on a device.
///
/// The reader is given a name and returns the values in row-major order; it is the place for dtype conversion.
/// Shapes are the caller's: a reader that returns another number of values is a defect and panics.
pub struct Tensors<'a, E> {
    device: &'a Device,
    read: &'a mut dyn FnMut(&str) -> Result<Vec<f32>, E>,
}

impl<'a, E> Tensors<'a, E> {
    /// Parameters go to `device`, values come from `read`.
    pub fn new(device: &'a Device, read: &'a mut dyn FnMut(&str) -> Result<Vec<f32>, E>) -> Self {
        Self { device, read }
    }

    /// A parameter of the given shape.
    pub fn param<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Param<Tensor<D>>, E> {
        let data = TensorData::new((self.read)(name)?, shape);
        Ok(Param::from_tensor(Tensor::from_data(data, self.device)))
    }

    /// `{name}.weight` `[out, in]` and, if asked for, `{name}.bias` `[out]`.
    pub fn linear(&mut self, name: &str, out: usize, input: usize, bias: bool) -> Result<Linear, E> {
        Ok(Linear {
            weight: self.param(&format!("{name}.weight"), [out, input])?,
            bias: bias.then(|| self.param(&format!("{name}.bias"), [out])).transpose()?,
        })
    }

    /// `{name}.weight` and `{name}.bias`, both `[size]`.
    pub fn layer_norm(&mut self, name: &str, size: usize, epsilon: f64) -> Result<LayerNorm, E> {
        let mut norm = LayerNormConfig::new(size).with_epsilon(epsilon).init(self.device);
        norm.gamma = self.param(&format!("{name}.weight"), [size])?;
        norm.beta = Some(self.param(&format!("{name}.bias"), [size])?);
        Ok(norm)
    }
}
