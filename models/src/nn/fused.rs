//! Products, normalisation and gates as single operations of burn's Flex backend, with their gradients: composed of tensor
//! operations each is a dozen passes over memory.

use super::host::Host;
use super::{Activation, Precision};
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Dispatch, DispatchDevice, Flex, backend_extension};
use burn::tensor::{Device, Tensor, TensorData};
use kilobase_kernels::matmul::{self, Factor};

/// The operations.
#[backend_extension(Autodiff, Flex)]
pub(super) trait Fused: burn::backend::Backend {
    /// `x weight^T`, `[rows, in]`, `[out, in] -> [rows, out]`. In bf16 both sides of each product, those of the gradients
    /// included, are rounded before it; sums are f32.
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;

    /// [`Self::fused_linear`] plus `residual`, `[rows, out]`.
    fn fused_linear_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;

    /// Root mean square normalisation of rows `[rows, columns]` with factors `[columns]`.
    fn fused_rms_norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self>;

    /// `act(gate) * value`, `[rows, 2 * inner] -> [rows, inner]`.
    fn fused_gated(both: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self>;
}

/// Whether the kernels compute on this device.
pub(super) fn serves(device: &Device) -> bool {
    match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => matches!(device.clone().inner(), DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns, reason = "other backends are features")]
        _ => false,
    }
}

pub(super) fn linear(x: Tensor<2>, weight: Tensor<2>, precision: Precision) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Fused>::fused_linear(
        x.into_dispatch(),
        weight.into_dispatch(),
        precision,
    ))
}

pub(super) fn linear_residual(
    x: Tensor<2>,
    weight: Tensor<2>,
    residual: Tensor<2>,
    precision: Precision,
) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Fused>::fused_linear_residual(
        x.into_dispatch(),
        weight.into_dispatch(),
        residual.into_dispatch(),
        precision,
    ))
}

pub(super) fn rms_norm(x: Tensor<2>, gamma: Tensor<1>, epsilon: f64) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Fused>::fused_rms_norm(
        x.into_dispatch(),
        gamma.into_dispatch(),
        epsilon,
    ))
}

pub(super) fn gated(both: Tensor<2>, activation: Activation) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Fused>::fused_gated(both.into_dispatch(), activation))
}

/// Their gradients as operations of a backend without autodiff.
pub(super) trait FusedBackward: Fused {
    /// The gradient of `x`: `d weight`.
    fn linear_input_gradient(
        weight: FloatTensor<Self>,
        d: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;

    /// The gradient of `weight`: `d^T x`.
    fn linear_weight_gradient(
        x: FloatTensor<Self>,
        d: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;

    /// Gradients of `x` and `gamma`.
    fn rms_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        epsilon: f64,
        d: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2];

    /// The gradient of `both`.
    fn gated_backward(
        both: FloatTensor<Self>,
        activation: Activation,
        d: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

impl Fused for Flex {
    fn fused_linear(x: FlexTensor, weight: FlexTensor, precision: Precision) -> FlexTensor {
        let (x, weight) = (Host::of(&x), Host::of(&weight));
        let shape = [x.rows().rows(), weight.rows().rows()];
        tensor(Factor::transposed(weight.rows(), precision).product(x.rows(), None), shape)
    }

    fn fused_linear_residual(
        x: FlexTensor,
        weight: FlexTensor,
        residual: FlexTensor,
        precision: Precision,
    ) -> FlexTensor {
        let [x, weight, residual] = [x, weight, residual].map(|tensor| Host::of(&tensor));
        let shape = [x.rows().rows(), weight.rows().rows()];
        let out = Factor::transposed(weight.rows(), precision).product(x.rows(), Some(residual.rows()));
        tensor(out, shape)
    }

    fn fused_rms_norm(x: FlexTensor, gamma: FlexTensor, epsilon: f64) -> FlexTensor {
        let (x, gamma) = (Host::of(&x), Host::of(&gamma));
        let columns = gamma.numbers().len();
        let mut out = vec![0.0; x.numbers().len()];
        matmul::rms_norm(x.rows(), gamma.numbers(), epsilon as f32, &mut out);
        tensor(out, [x.rows().rows(), columns])
    }

    fn fused_gated(both: FlexTensor, activation: Activation) -> FlexTensor {
        let both = Host::of(&both);
        let rows = both.rows().rows();
        let out = matmul::gated(both.rows(), activation);
        let inner = out.len() / rows.max(1);
        tensor(out, [rows, inner])
    }
}

impl FusedBackward for Flex {
    fn linear_input_gradient(weight: FlexTensor, d: FlexTensor, precision: Precision) -> FlexTensor {
        let (weight, d) = (Host::of(&weight), Host::of(&d));
        let shape = [d.rows().rows(), weight.rows().columns()];
        tensor(Factor::new(weight.rows(), precision).product(d.rows(), None), shape)
    }

    fn linear_weight_gradient(x: FlexTensor, d: FlexTensor, precision: Precision) -> FlexTensor {
        let (x, d) = (Host::of(&x), Host::of(&d));
        let shape = [d.rows().columns(), x.rows().columns()];
        tensor(matmul::transposed_times(d.rows(), x.rows(), precision), shape)
    }

    fn rms_norm_backward(x: FlexTensor, gamma: FlexTensor, epsilon: f64, d: FlexTensor) -> [FlexTensor; 2] {
        let (x, gamma, d) = (Host::of(&x), Host::of(&gamma), Host::of(&d));
        let (d_x, d_gamma) = matmul::rms_norm_backward(x.rows(), gamma.numbers(), epsilon as f32, d.rows());
        let columns = d_gamma.len();
        [tensor(d_x, [x.rows().rows(), columns]), tensor(d_gamma, [columns])]
    }

    fn gated_backward(both: FlexTensor, activation: Activation, d: FlexTensor) -> FlexTensor {
        let (both, d) = (Host::of(&both), Host::of(&d));
        let rows = both.rows().rows();
        let out = matmul::gated_backward(both.rows(), activation, d.rows());
        let columns = out.len() / rows.max(1);
        tensor(out, [rows, columns])
    }
}

#[derive(Debug)]
struct LinearStep;

/// Parents are `x`, `weight` and, if there is one, the residual.
impl<B: FusedBackward, const N: usize> Backward<B, N> for LinearStep {
    type State = ([NodeId; 2], Precision);

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let d = gradients.consume::<B>(&ops.node);
        let ([x, weight], precision) = ops.state;
        let mut parents = ops.parents.into_iter();
        let [of_x, of_weight, of_residual] = std::array::from_fn(|_| parents.next().flatten());
        if let Some(node) = of_residual {
            gradients.register::<B>(node.id, d.clone());
        }
        if let Some(node) = of_x {
            let weight = checkpointer.retrieve_node_output(weight);
            gradients.register::<B>(node.id, B::linear_input_gradient(weight, d.clone(), precision));
        }
        if let Some(node) = of_weight {
            let x = checkpointer.retrieve_node_output(x);
            gradients.register::<B>(node.id, B::linear_weight_gradient(x, d, precision));
        }
    }
}

#[derive(Debug)]
struct NormStep;

impl<B: FusedBackward> Backward<B, 2> for NormStep {
    type State = ([NodeId; 2], f64);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let d = gradients.consume::<B>(&ops.node);
        let ([x, gamma], epsilon) = ops.state;
        let x = checkpointer.retrieve_node_output(x);
        let gamma = checkpointer.retrieve_node_output(gamma);
        let found = B::rms_norm_backward(x, gamma, epsilon, d);
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct GatedStep;

impl<B: FusedBackward> Backward<B, 1> for GatedStep {
    type State = (NodeId, Activation);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let d = gradients.consume::<B>(&ops.node);
        let (both, activation) = ops.state;
        let found = B::gated_backward(checkpointer.retrieve_node_output(both), activation, d);
        let [node] = ops.parents;
        if let Some(node) = node {
            gradients.register::<B>(node.id, found);
        }
    }
}

impl<B: FusedBackward, C: CheckpointStrategy> Fused for Autodiff<B, C> {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        match LinearStep.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut step) => {
                let ids = [step.checkpoint(&x), step.checkpoint(&weight)];
                let out = B::fused_linear(x.into_primitive(), weight.into_primitive(), precision);
                step.finish((ids, precision), out)
            }
            OpsKind::UnTracked(step) => {
                step.finish(B::fused_linear(x.into_primitive(), weight.into_primitive(), precision))
            }
        }
    }

    fn fused_linear_residual(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), residual.node()];
        let run = |[x, weight, residual]: [FloatTensor<Self>; 3]| {
            let (x, weight) = (x.into_primitive(), weight.into_primitive());
            B::fused_linear_residual(x, weight, residual.into_primitive(), precision)
        };
        match LinearStep.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut step) => {
                let ids = [step.checkpoint(&x), step.checkpoint(&weight)];
                step.finish((ids, precision), run([x, weight, residual]))
            }
            OpsKind::UnTracked(step) => step.finish(run([x, weight, residual])),
        }
    }

    fn fused_rms_norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self> {
        match NormStep.prepare::<C>([x.node(), gamma.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut step) => {
                let ids = [step.checkpoint(&x), step.checkpoint(&gamma)];
                let out = B::fused_rms_norm(x.into_primitive(), gamma.into_primitive(), epsilon);
                step.finish((ids, epsilon), out)
            }
            OpsKind::UnTracked(step) => {
                step.finish(B::fused_rms_norm(x.into_primitive(), gamma.into_primitive(), epsilon))
            }
        }
    }

    fn fused_gated(both: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        match GatedStep.prepare::<C>([both.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut step) => {
                let id = step.checkpoint(&both);
                step.finish((id, activation), B::fused_gated(both.into_primitive(), activation))
            }
            OpsKind::UnTracked(step) => step.finish(B::fused_gated(both.into_primitive(), activation)),
        }
    }
}
