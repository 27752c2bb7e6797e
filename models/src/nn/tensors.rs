//! From named tensors of a checkpoint to layers on a device.

use super::{Activation, GatedMlp, Linear, LinearResidual, PackedLinearResidual, Precision, RmsNorm};
use crate::checkpoint::{Error, Weights};
use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Tensor, TensorData};
use kilobase_kernels::matmul::{self, Kernel, PackedMatrix, Rows};

/// Reads named tensors one at a time and puts them on a device, so that at most one is held twice.
#[derive(Clone, Copy, Debug)]
pub struct Tensors<'a> {
    weights: &'a Weights,
    device: &'a Device,
    precision: Precision,
    /// Where weights are packed.
    kernel: Option<Kernel>,
}

impl<'a> Tensors<'a> {
    /// Parameters of `weights`, whose shapes were checked, go to `device`. On the plain processor, which records no
    /// gradients, large matrices are packed for its kernels.
    ///
    /// # Panics
    /// If a precision other than f32 is asked for elsewhere than on the processor.
    pub fn new(weights: &'a Weights, device: &'a Device, precision: Precision) -> Self {
        assert!(precision == Precision::F32 || on_processor(device), "{precision:?} is for the processor");
        let kernel = packs(device).then(|| Kernel::best(precision));
        Self { weights, device, precision, kernel }
    }

    /// What attention computes in.
    pub fn attention_precision(self) -> Precision {
        self.kernel.map_or(self.precision, Kernel::precision)
    }

    /// A parameter of the given shape.
    ///
    /// # Panics
    /// If the tensor is of another shape: checking is the family's first step.
    pub fn param<const D: usize>(self, name: &str, shape: [usize; D]) -> Result<Param<Tensor<D>>, Error> {
        let data = TensorData::new(self.values(name, &shape)?, shape);
        Ok(Param::from_tensor(Tensor::from_data(data, self.device)))
    }

    /// `{name}.weight` `[out, in]` and, if asked for, `{name}.bias` `[out]`.
    pub fn linear(self, name: &str, out: usize, input: usize, bias: bool) -> Result<Linear, Error> {
        if let Some(kernel) = self.kernel {
            return Ok(Linear::packed(
                self.packed(name, out, input, kernel)?,
                bias.then(|| self.values(&format!("{name}.bias"), &[out])).transpose()?,
            ));
        }
        Ok(Linear::new(
            self.param(&format!("{name}.weight"), [out, input])?,
            bias.then(|| self.param(&format!("{name}.bias"), [out])).transpose()?,
            self.precision,
        ))
    }

    /// Several matrices over the same input, `{name}.weight` `[out, in]` each, as one layer with their results side by side.
    pub fn linears<const N: usize>(
        self,
        names: [&str; N],
        outs: [usize; N],
        input: usize,
    ) -> Result<Linear, Error> {
        let out = outs.iter().sum();
        let weight = self.stacked(names, outs, input)?;
        if let Some(kernel) = self.kernel {
            return Ok(Linear::packed(PackedMatrix::with_kernel(Rows::new(&weight, input), kernel), None));
        }
        Ok(Linear::new(self.stacked_param(weight, [out, input]), None, self.precision))
    }

    /// [`Self::linear`] without bias, to which a residual is added.
    pub fn linear_residual(self, name: &str, out: usize, input: usize) -> Result<LinearResidual, Error> {
        if let Some(kernel) = self.kernel {
            let weight = self.packed(name, out, input, kernel)?;
            return Ok(LinearResidual::packed(PackedLinearResidual { weight, bias: None, norm: None }));
        }
        Ok(LinearResidual::new(self.linear(name, out, input, false)?, None))
    }

    /// [`Self::linear`] with bias and [`Self::layer_norm`].
    pub fn linear_norm(
        self,
        name: &str,
        norm: &str,
        out: usize,
        input: usize,
        epsilon: f64,
    ) -> Result<LinearResidual, Error> {
        if let Some(kernel) = self.kernel {
            return Ok(LinearResidual::packed(PackedLinearResidual {
                weight: self.packed(name, out, input, kernel)?,
                bias: Some(self.values(&format!("{name}.bias"), &[out])?),
                norm: Some(self.host_norm(norm, out, epsilon)?),
            }));
        }
        Ok(LinearResidual::new(
            self.linear(name, out, input, true)?,
            Some(self.layer_norm(norm, out, epsilon)?),
        ))
    }

    /// A gated layer of `{gated}.weight` `[2 * intermediate, hidden]` and the [`Self::linear_norm`] of `down` and `norm`.
    pub fn gated_mlp(
        self,
        [gated, down, norm]: [&str; 3],
        hidden: usize,
        intermediate: usize,
        activation: Activation,
        epsilon: f64,
    ) -> Result<GatedMlp, Error> {
        if let Some(kernel) = self.kernel {
            let weight = self.values(&format!("{gated}.weight"), &[2 * intermediate, hidden])?;
            let gated = PackedMatrix::gated(Rows::new(&weight, hidden), kernel);
            drop(weight);
            return Ok(GatedMlp::packed(matmul::GatedMlp {
                gated,
                down: self.packed(down, hidden, intermediate, kernel)?,
                bias: Some(self.values(&format!("{down}.bias"), &[hidden])?),
                activation,
                norm: Some(self.host_norm(norm, hidden, epsilon)?),
            }));
        }
        let gated = self.linear(gated, 2 * intermediate, hidden, false)?;
        let down = self.linear_norm(down, norm, hidden, intermediate, epsilon)?;
        Ok(GatedMlp::new(gated, down, activation))
    }

    /// A gated layer of three matrices without biases, `{gate}.weight` and `{up}.weight` `[intermediate, hidden]` and
    /// `{down}.weight` `[hidden, intermediate]`, to which a residual is added.
    pub fn gated_residual(
        self,
        [gate, up, down]: [&str; 3],
        hidden: usize,
        intermediate: usize,
        activation: Activation,
    ) -> Result<GatedMlp, Error> {
        let weight = self.stacked([gate, up], [intermediate; 2], hidden)?;
        if let Some(kernel) = self.kernel {
            let gated = PackedMatrix::gated(Rows::new(&weight, hidden), kernel);
            drop(weight);
            let down = self.packed(down, hidden, intermediate, kernel)?;
            return Ok(GatedMlp::packed(matmul::GatedMlp {
                gated,
                down,
                bias: None,
                activation,
                norm: None,
            }));
        }
        let gated = Linear::new(self.stacked_param(weight, [2 * intermediate, hidden]), None, self.precision);
        let down = self.linear_residual(down, hidden, intermediate)?;
        Ok(GatedMlp::new(gated, down, activation))
    }

    /// `{name}.weight` `[size]`.
    pub fn rms_norm(self, name: &str, size: usize, epsilon: f64) -> Result<RmsNorm, Error> {
        let name = format!("{name}.weight");
        if self.kernel.is_some() {
            return Ok(RmsNorm::packed(self.values(&name, &[size])?, epsilon));
        }
        Ok(RmsNorm::new(self.param(&name, [size])?, epsilon))
    }

    /// `{name}.weight` and `{name}.bias`, both `[size]`.
    pub fn layer_norm(self, name: &str, size: usize, epsilon: f64) -> Result<LayerNorm, Error> {
        let mut norm = LayerNormConfig::new(size).with_epsilon(epsilon).init(self.device);
        norm.gamma = self.param(&format!("{name}.weight"), [size])?;
        norm.beta = Some(self.param(&format!("{name}.bias"), [size])?);
        Ok(norm)
    }

    fn host_norm(self, name: &str, size: usize, epsilon: f64) -> Result<matmul::LayerNorm, Error> {
        Ok(matmul::LayerNorm {
            gamma: self.values(&format!("{name}.weight"), &[size])?,
            beta: self.values(&format!("{name}.bias"), &[size])?,
            epsilon: epsilon as f32,
        })
    }

    fn stacked<const N: usize>(
        self,
        names: [&str; N],
        outs: [usize; N],
        input: usize,
    ) -> Result<Vec<f32>, Error> {
        let mut all = Vec::with_capacity(outs.iter().sum::<usize>() * input);
        for (name, out) in names.into_iter().zip(outs) {
            all.extend(self.values(&format!("{name}.weight"), &[out, input])?);
        }
        Ok(all)
    }

    fn stacked_param(self, values: Vec<f32>, shape: [usize; 2]) -> Param<Tensor<2>> {
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), self.device))
    }

    fn packed(self, name: &str, out: usize, input: usize, kernel: Kernel) -> Result<PackedMatrix, Error> {
        let weight = self.values(&format!("{name}.weight"), &[out, input])?;
        Ok(PackedMatrix::with_kernel(Rows::new(&weight, input), kernel))
    }

    fn values(self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        assert_eq!(self.weights.shape(name)?, shape, "{name} was not checked");
        self.weights.read_f32(name)
    }
}

/// Whether weights on this device are packed for our kernels.
fn packs(device: &Device) -> bool {
    #[cfg(feature = "cpu")]
    return matches!(device.as_dispatch(), burn::backend::DispatchDevice::Flex(_));
    #[cfg(not(feature = "cpu"))]
    {
        let _ = device;
        false
    }
}

/// Whether our kernels compute on this device, gradients recorded or not.
pub(crate) fn on_processor(device: &Device) -> bool {
    #[cfg(feature = "cpu")]
    return super::fused::serves(device);
    #[cfg(not(feature = "cpu"))]
    {
        let _ = device;
        false
    }
}
