//! Attention of tokens over their own sequences, from rows as one projection gives them: nothing is cut apart or put together but
//! by the kernel, forward and backward.

use super::call::{Call, tensor};
use crate::attention::{AttnSpec, KeyForm, Packing};
use crate::nn::host::Host;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use kilobase_kernels::attention::Heads;
use rayon::prelude::*;

/// Heads of queries, those of keys and of values, and the size of each.
pub(super) type Dims = [usize; 3];

/// The operation.
#[backend_extension(Autodiff, Flex)]
pub(super) trait RowAttention: Backend {
    /// `[tokens, (heads + 2 kv heads) * dim]` to `[tokens, heads * dim]`, and `lse` `[tokens, heads]`, which carries no
    /// gradient.
    fn row_attention(
        qkv: FloatTensor<Self>,
        dims: Dims,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// Its gradient as an operation of a backend without autodiff.
pub(super) trait RowBackward: RowAttention {
    /// The gradient of `qkv`, given that of `out`.
    fn row_backward(
        qkv: FloatTensor<Self>,
        out: FloatTensor<Self>,
        lse: FloatTensor<Self>,
        d_out: FloatTensor<Self>,
        dims: Dims,
        call: &Call,
    ) -> FloatTensor<Self>;
}

pub(in crate::attention) fn attention_of_rows(
    qkv: Tensor<2>,
    dims: Dims,
    packing: &Packing,
    spec: &AttnSpec,
) -> Tensor<2> {
    let (queries, keys) = (packing.clone(), packing.clone());
    let call = Call { queries, keys, form: KeyForm::Raw, spec: spec.clone() };
    let (out, _) = <Dispatch as RowAttention>::row_attention(qkv.into_dispatch(), dims, call);
    Tensor::from_dispatch(out)
}

/// Queries, keys and values of rows.
fn parts(qkv: &Host, [heads, kv_heads, dim]: Dims) -> [Heads<'_>; 3] {
    let (rows, width) = (qkv.rows().rows(), qkv.rows().columns());
    assert_eq!(width, (heads + 2 * kv_heads) * dim, "queries, keys and values of a token");
    [(0, heads), (heads, kv_heads), (heads + kv_heads, kv_heads)].map(|(first, heads)| Heads {
        data: qkv.numbers().get(first * dim..).unwrap_or_default(),
        rows,
        heads,
        dim,
        row_stride: width,
        head_stride: dim,
    })
}

impl RowAttention for Flex {
    fn row_attention(qkv: FlexTensor, dims: Dims, call: Call) -> (FlexTensor, FlexTensor) {
        let qkv = Host::of(&qkv);
        call.with_heads(parts(&qkv, dims), call.spec.clone(), |kernel| {
            let (rows, heads, dim) = kernel.shape();
            let (out, lse) = kernel.forward();
            (tensor(out, [rows, heads * dim]), tensor(lse, [rows, heads]))
        })
    }
}

impl RowBackward for Flex {
    fn row_backward(
        qkv: FlexTensor,
        out: FlexTensor,
        lse: FlexTensor,
        d_out: FlexTensor,
        dims: Dims,
        call: &Call,
    ) -> FlexTensor {
        let [qkv, out, lse, d_out] = [qkv, out, lse, d_out].map(|tensor| Host::of(&tensor));
        let gradients = call.with_heads(parts(&qkv, dims), call.spec.clone(), |kernel| {
            kernel.backward(out.numbers(), lse.numbers(), d_out.numbers(), None)
        });
        let [heads, kv_heads, dim] = dims;
        let (q, kv) = (heads * dim, kv_heads * dim);
        let mut d_qkv = vec![0.0; qkv.numbers().len()];
        let mut rest = &mut d_qkv[..];
        let mut d_q = &gradients.dq[..];
        let mut sequences = Vec::with_capacity(gradients.dk.len());
        for (d_k, d_v) in gradients.dk.iter().zip(&gradients.dv) {
            let rows = d_k.len() / kv.max(1);
            let (part, others) = rest.split_at_mut(rows * (q + 2 * kv));
            let (queries, other_queries) = d_q.split_at(rows * q);
            (rest, d_q) = (others, other_queries);
            sequences.push((part, queries, d_k, d_v));
        }
        sequences.into_par_iter().for_each(|(part, d_q, d_k, d_v)| {
            let rows = part.chunks_exact_mut(q + 2 * kv).zip(d_q.chunks_exact(q));
            for ((row, d_q), (d_k, d_v)) in rows.zip(d_k.chunks_exact(kv).zip(d_v.chunks_exact(kv))) {
                row[..q].copy_from_slice(d_q);
                row[q..q + kv].copy_from_slice(d_k);
                row[q + kv..].copy_from_slice(d_v);
            }
        });
        tensor(d_qkv, [qkv.rows().rows(), q + 2 * kv])
    }
}

#[derive(Debug)]
struct Step;

impl<B: RowBackward> Backward<B, 1> for Step {
    type State = (NodeId, [FloatTensor<B>; 2], Dims, Call);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let d_out = gradients.consume::<B>(&ops.node);
        let (qkv, [out, lse], dims, call) = ops.state;
        let qkv = checkpointer.retrieve_node_output(qkv);
        let [node] = ops.parents;
        if let Some(node) = node {
            gradients.register::<B>(node.id, B::row_backward(qkv, out, lse, d_out, dims, &call));
        }
    }
}

impl<B: RowBackward, C: CheckpointStrategy> RowAttention for Autodiff<B, C> {
    fn row_attention(
        qkv: FloatTensor<Self>,
        dims: Dims,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match Step.prepare::<C>([qkv.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut step) => {
                let id = step.checkpoint(&qkv);
                let (out, lse) = B::row_attention(qkv.into_primitive(), dims, call.clone());
                let state = (id, [out.clone(), lse.clone()], dims, call);
                (step.finish(state, out), Self::from_inner(lse))
            }
            OpsKind::UnTracked(step) => {
                let (out, lse) = B::row_attention(qkv.into_primitive(), dims, call);
                (step.finish(out), Self::from_inner(lse))
            }
        }
    }
}
