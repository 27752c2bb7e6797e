//! The CPU kernel as an operation of burn's Flex backend, and its backward pass as a step of burn's autodiff.

mod backward;
mod call;
mod rows;

use super::{Attended, AttnSpec, Kv, Normalizer, Packing};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Dispatch, DispatchDevice, Flex, backend_extension};
use burn::tensor::{Device, Tensor};
use call::{Call, tensor};

/// Tiled attention as a backend operation: see [`super::attention`] for shapes.
#[backend_extension(Autodiff, Flex)]
pub(super) trait TiledAttention: burn::backend::Backend {
    /// Returns `out` and `lse`. `table` holds the T5 biases `[heads, buckets]`; empty where the spec's own count.
    fn tiled_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        table: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// Whether the kernel computes this: on CPU tensors, and with gradients where it has them.
pub(super) fn serves(device: &Device, spec: &AttnSpec) -> bool {
    match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => {
            matches!(device.clone().inner(), DispatchDevice::Flex(_)) && spec.norm == Normalizer::Softmax
        }
        #[allow(unreachable_patterns, reason = "other backends are features")]
        _ => false,
    }
}

pub(super) use rows::attention_of_rows;

pub(super) fn attention(
    q: Tensor<3>,
    q_packing: &Packing,
    kv: Kv,
    spec: &AttnSpec,
    table: Option<Tensor<2>>,
) -> Attended {
    let call = Call { queries: q_packing.clone(), keys: kv.packing, form: kv.form, spec: spec.clone() };
    let table = table.unwrap_or_else(|| Tensor::zeros([0, 0], &q.device()));
    let (out, lse) = <Dispatch as TiledAttention>::tiled_attention(
        q.into_dispatch(),
        kv.k.into_dispatch(),
        kv.v.into_dispatch(),
        table.into_dispatch(),
        call,
    );
    Attended { out: Tensor::from_dispatch(out), lse: Tensor::from_dispatch(lse) }
}

impl TiledAttention for Flex {
    fn tiled_attention(
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        table: FlexTensor,
        call: Call,
    ) -> (FlexTensor, FlexTensor) {
        call.with(q, k, v, &table, |kernel| {
            let (rows, heads, dim) = kernel.shape();
            let (out, lse) = kernel.forward();
            (tensor(out, [rows, heads, dim]), tensor(lse, [rows, heads]))
        })
    }
}
