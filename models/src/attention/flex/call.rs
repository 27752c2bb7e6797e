//! From tensors to the kernel's slices and back.

use crate::attention::{AttnSpec, KeyForm, Packing, PosRule};
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, TensorData};
use kilobase_kernels::attention::{self as kernel, Gradients, Heads, Sequence, Strided};

/// Everything about a call but the tensors.
#[derive(Clone, Debug)]
pub(in crate::attention) struct Call {
    pub(super) queries: Packing,
    pub(super) keys: Packing,
    pub(super) form: KeyForm,
    pub(super) spec: AttnSpec,
}

/// A call as the kernel sees it.
pub(super) struct Kernel<'a> {
    q: Heads<'a>,
    v: Heads<'a>,
    positions: &'a [u32],
    sequences: Vec<Sequence<'a>>,
    spec: AttnSpec,
}

impl Call {
    /// Runs something over the tensors' elements where they lie.
    pub(super) fn with<R>(
        &self,
        q: FlexTensor,
        k: FlexTensor,
        v: FlexTensor,
        table: &FlexTensor,
        run: impl FnOnce(Kernel<'_>) -> R,
    ) -> R {
        let (q, k, v) = (readable(q), readable(k), readable(v));
        self.with_heads([heads(&q), heads(&k), heads(&v)], self.spec_with(table), run)
    }

    /// The same over queries, keys and values.
    pub(super) fn with_heads<R>(
        &self,
        [q, k, v]: [Heads<'_>; 3],
        spec: AttnSpec,
        run: impl FnOnce(Kernel<'_>) -> R,
    ) -> R {
        let spans =
            |packing: &Packing| -> Vec<_> { packing.offsets().windows(2).map(|w| w[0]..w[1]).collect() };
        let (rows, slots) = (spans(&self.queries), spans(&self.keys));
        assert_eq!(rows.len(), slots.len(), "queries and keys of as many sequences");
        assert_eq!(
            (q.rows, k.rows),
            (self.queries.positions().len(), self.keys.positions().len()),
            "packed rows"
        );
        let view = |slots: &std::ops::Range<usize>| Strided {
            k: k.slice(slots.clone()),
            v: v.slice(slots.clone()),
            positions: &self.keys.positions()[slots.clone()],
            form: self.form,
        };
        let views: Vec<Strided<'_>> = slots.iter().map(view).collect();
        let sequences = rows.into_iter().zip(&views).map(|(rows, kv)| Sequence { rows, kv }).collect();
        run(Kernel { q, v, positions: self.queries.positions(), sequences, spec })
    }

    /// The spec with the biases of the table, if there are any.
    fn spec_with(&self, table: &FlexTensor) -> AttnSpec {
        let mut spec = self.spec.clone();
        if let PosRule::T5(bias) = &mut spec.pos {
            let values = floats(table);
            if !values.is_empty() {
                bias.table = values.into();
            }
        }
        spec
    }
}

impl Kernel<'_> {
    /// `[rows, heads, value_dim]` of the output.
    pub(super) fn shape(&self) -> (usize, usize, usize) {
        (self.q.rows, self.q.heads, self.v.dim)
    }

    /// `out` and `lse`.
    pub(super) fn forward(&self) -> (Vec<f32>, Vec<f32>) {
        let (rows, heads, dim) = self.shape();
        let (mut out, mut lse) = (vec![0.0; rows * heads * dim], vec![0.0; rows * heads]);
        kernel::forward(self.q, self.positions, &self.sequences, &self.spec, None, &mut out, &mut lse);
        (out, lse)
    }

    pub(super) fn backward(
        &self,
        out: &[f32],
        lse: &[f32],
        d_out: &[f32],
        d_lse: Option<&[f32]>,
    ) -> Gradients {
        let (positions, sequences) = (self.positions, &self.sequences);
        kernel::backward(self.q, positions, sequences, &self.spec, out, lse, d_out, d_lse)
    }
}

/// The kernel wants f32 with the last axis contiguous and no axis reversed; anything else is copied.
fn readable(tensor: FlexTensor) -> FlexTensor {
    assert_eq!(tensor.dtype(), DType::F32, "the CPU kernel computes in f32");
    let strides = tensor.layout().strides();
    if strides[2] == 1 && strides.iter().all(|&s| s >= 0) { tensor } else { tensor.to_contiguous() }
}

fn heads(tensor: &FlexTensor) -> Heads<'_> {
    let layout = tensor.layout();
    let (shape, strides) = (layout.shape(), layout.strides());
    Heads {
        data: &tensor.storage::<f32>()[layout.start_offset()..],
        rows: shape[0],
        heads: shape[1],
        dim: shape[2],
        row_stride: strides[0].unsigned_abs(),
        head_stride: strides[1].unsigned_abs(),
    }
}

/// All elements in row-major order.
pub(super) fn floats(tensor: &FlexTensor) -> Vec<f32> {
    let tensor = tensor.to_contiguous();
    let start = tensor.layout().start_offset();
    tensor.storage::<f32>()[start..start + tensor.layout().num_elements()].to_vec()
}

pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
