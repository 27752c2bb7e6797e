//! The CPU kernel as an operation of burn's Flex backend.

use super::{Attended, AttnSpec, KvView, Packing, PosRule};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Dispatch, DispatchDevice, Flex, backend_extension};
use burn::tensor::{DType, Device, Tensor, TensorData};
use kilobase_kernels::attention as kernel;

/// Everything about a call but the tensors.
#[derive(Clone, Debug)]
pub(super) struct Call {
    queries: Packing,
    keys: Packing,
    spec: AttnSpec,
}

/// Tiled attention as a backend operation: see [`super::attention`] for shapes.
#[backend_extension(Flex)]
pub(super) trait TiledAttention: burn::backend::Backend {
    /// Returns `out` and `lse`.
    fn tiled_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The kernel runs on plain CPU tensors; a tensor that records gradients takes the composed form.
pub(super) fn serves(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

pub(super) fn attention(q: Tensor<3>, q_packing: &Packing, kv: KvView, spec: &AttnSpec) -> Attended {
    let call = Call { queries: q_packing.clone(), keys: kv.packing, spec: spec.clone() };
    let (out, lse) = <Dispatch as TiledAttention>::tiled_attention(
        q.into_dispatch(),
        kv.k.into_dispatch(),
        kv.v.into_dispatch(),
        call,
    );
    Attended { out: Tensor::from_dispatch(out), lse: Tensor::from_dispatch(lse) }
}

impl TiledAttention for Flex {
    fn tiled_attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, call: Call) -> (FlexTensor, FlexTensor) {
        let (q, k, v) = (readable(q), readable(k), readable(v));
        let (q, k, v) = (heads(&q), heads(&k), heads(&v));
        let pos = match &call.spec.pos {
            PosRule::None => kernel::PosRule::None,
            PosRule::Alibi { slopes } => kernel::PosRule::Alibi { slopes: slopes[..].into(), cap: None },
        };
        let spec =
            kernel::AttnSpec { causal: call.spec.causal, pos, ..kernel::AttnSpec::new(call.spec.scale) };
        let views: Vec<kernel::Strided<'_>> = call
            .keys
            .offsets()
            .windows(2)
            .map(|w| kernel::Strided {
                k: k.slice(w[0]..w[1]),
                v: v.slice(w[0]..w[1]),
                positions: &call.keys.positions()[w[0]..w[1]],
                form: kernel::KeyForm::Raw,
            })
            .collect();
        let rows = call.queries.offsets().windows(2).map(|w| w[0]..w[1]);
        let sequences: Vec<kernel::Sequence<'_>> =
            rows.zip(&views).map(|(rows, kv)| kernel::Sequence { rows, kv }).collect();
        let mut out = vec![0.0_f32; q.rows * q.heads * v.dim];
        let mut lse = vec![0.0_f32; q.rows * q.heads];
        kernel::forward(q, call.queries.positions(), &sequences, &spec, None, &mut out, &mut lse);
        (
            FlexTensor::from_data(TensorData::new(out, [q.rows, q.heads, v.dim])),
            FlexTensor::from_data(TensorData::new(lse, [q.rows, q.heads])),
        )
    }
}

/// The kernel wants f32 with the last axis contiguous and no axis reversed; anything else is copied.
fn readable(tensor: FlexTensor) -> FlexTensor {
    assert_eq!(tensor.dtype(), DType::F32, "the CPU kernel computes in f32");
    let strides = tensor.layout().strides();
    if strides[2] == 1 && strides.iter().all(|&s| s >= 0) { tensor } else { tensor.to_contiguous() }
}

fn heads(tensor: &FlexTensor) -> kernel::Heads<'_> {
    let layout = tensor.layout();
    let (shape, strides) = (layout.shape(), layout.strides());
    kernel::Heads {
        data: &tensor.storage::<f32>()[layout.start_offset()..],
        rows: shape[0],
        heads: shape[1],
        dim: shape[2],
        row_stride: strides[0].unsigned_abs(),
        head_stride: strides[1].unsigned_abs(),
    }
}
