//! The backward pass of tiled attention: keeps queries, keys, values, `out` and `lse`, never the scores.

use super::call::{floats, tensor};
use super::{Call, TiledAttention};
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::tensor::{Shape, Slice};

/// Gradients of tiled attention as an operation of a backend without autodiff.
pub(super) trait TiledBackward: TiledAttention {
    /// Gradients of `q`, `k`, `v` and `table`. `result` is `[rows, heads, value_dim + 1]`: `out`, and `lse` as the last
    /// column; `d_result` its gradient.
    fn tiled_backward(
        inputs: [FloatTensor<Self>; 4],
        result: FloatTensor<Self>,
        d_result: FloatTensor<Self>,
        call: &Call,
    ) -> [FloatTensor<Self>; 4];
}

impl TiledBackward for Flex {
    fn tiled_backward(
        [q, k, v, table]: [FlexTensor; 4],
        result: FlexTensor,
        d_result: FlexTensor,
        call: &Call,
    ) -> [FlexTensor; 4] {
        let dims = |tensor: &FlexTensor| {
            let shape = tensor.layout().shape();
            [shape[0], shape[1], shape[2]]
        };
        let (q_dims, k_dims, v_dims) = (dims(&q), dims(&k), dims(&v));
        let table_dims = [table.layout().shape()[0], table.layout().shape()[1]];
        let (out, lse) = split(&floats(&result), v_dims[2]);
        let (d_out, d_lse) = split(&floats(&d_result), v_dims[2]);
        let gradients =
            call.with(q, k, v, &table, |kernel| kernel.backward(&out, &lse, &d_out, Some(&d_lse)));
        // An empty table stands for one that nobody asks a gradient of.
        let d_table = if table_dims[0] == 0 { Vec::new() } else { gradients.d_table };
        [
            tensor(gradients.dq, q_dims),
            tensor(gradients.dk.concat(), k_dims),
            tensor(gradients.dv.concat(), v_dims),
            tensor(d_table, table_dims),
        ]
    }
}

/// Rows of `dim + 1` numbers to rows of `dim`, and the last ones.
fn split(rows: &[f32], dim: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = rows.chunks_exact(dim + 1);
    (rows.clone().flat_map(|row| &row[..dim]).copied().collect(), rows.map(|row| row[dim]).collect())
}

/// What the backward pass reads: the inputs by their nodes, the result, and how it came about.
type State<B> = ([NodeId; 4], FloatTensor<B>, Call);

#[derive(Debug)]
struct Step;

impl<B: TiledBackward> Backward<B, 4> for Step {
    type State = State<B>;

    fn backward(self, ops: Ops<State<B>, 4>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let d_result = gradients.consume::<B>(&ops.node);
        let (inputs, result, call) = ops.state;
        let inputs = inputs.map(|id| checkpointer.retrieve_node_output(id));
        let d_inputs = B::tiled_backward(inputs, result, d_result, &call);
        for (node, gradient) in ops.parents.into_iter().zip(d_inputs) {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

/// `out` and `lse` beside each other, so that one node of the graph carries the gradients of both.
fn joined<B: TiledBackward>(inputs: [FloatTensor<B>; 4], call: Call) -> FloatTensor<B> {
    let [q, k, v, table] = inputs;
    let (out, lse) = B::tiled_attention(q, k, v, table, call);
    let [rows, heads] = lse.shape().dims();
    B::float_cat(vec![out, B::float_reshape(lse, Shape::new([rows, heads, 1]))], 2)
}

impl<B: TiledBackward, C: CheckpointStrategy> TiledAttention for Autodiff<B, C> {
    fn tiled_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        table: FloatTensor<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let inputs = [q, k, v, table];
        let nodes = inputs.each_ref().map(FloatTensor::<Self>::node);
        let result = match Step.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(mut step) => {
                let ids = inputs.each_ref().map(|input| step.checkpoint(input));
                let result = joined::<B>(inputs.map(FloatTensor::<Self>::into_primitive), call.clone());
                step.finish((ids, result.clone(), call), result)
            }
            OpsKind::UnTracked(step) => {
                step.finish(joined::<B>(inputs.map(FloatTensor::<Self>::into_primitive), call))
            }
        };
        let [rows, heads, columns] = result.shape().dims();
        let part = |start: usize, end: usize| {
            let all = |n: usize| Slice::new(0, Some(n as isize), 1);
            let columns = Slice::new(start as isize, Some(end as isize), 1);
            Self::float_slice(result.clone(), &[all(rows), all(heads), columns])
        };
        let lse = Self::float_reshape(part(columns - 1, columns), Shape::new([rows, heads]));
        (part(0, columns - 1), lse)
    }
}
