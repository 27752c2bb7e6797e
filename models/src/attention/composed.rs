//! Attention from tensor operations: runs on every device and under autodiff.
//!
//! Queries are taken a tile at a time, so one tile of scores exists at once outside autodiff (which keeps them
//! all for the backward pass).

mod normalise;
mod places;
mod rotate;

use super::{Attended, AttnSpec, Kv, Packing, PosRule};
use burn::tensor::Tensor;
use normalise::normalise;
use places::Places;
use rotate::Turned;
use std::ops::Range;

/// Scores of one tile of queries and all keys of its sequence are held at once.
const QUERY_TILE: usize = 512;

pub(super) fn attention(
    q: &Tensor<3>,
    q_packing: &Packing,
    kv: &Kv,
    spec: &AttnSpec,
    table: Option<&Tensor<2>>,
) -> Attended {
    let [_, heads, _] = q.dims();
    let v_dim = kv.v.dims()[2];
    let device = q.device();
    let spans = |packing: &Packing| -> Vec<_> { packing.offsets().windows(2).map(|w| w[0]..w[1]).collect() };
    let (mut outs, mut lses) = (Vec::new(), Vec::new());
    for (rows, slots) in spans(q_packing).into_iter().zip(spans(&kv.packing)) {
        if rows.is_empty() {
            continue;
        }
        if slots.is_empty() {
            outs.push(Tensor::zeros([rows.len(), heads, v_dim], &device));
            lses.push(Tensor::full([rows.len(), heads], f32::NEG_INFINITY, &device));
            continue;
        }
        let sequence = Sequence::new(q, q_packing, kv, spec, rows.clone(), slots);
        for start in (0..rows.len()).step_by(QUERY_TILE) {
            let (out, lse) = sequence.attend(start..rows.len().min(start + QUERY_TILE), table);
            outs.push(out.swap_dims(0, 1));
            lses.push(lse.squeeze_dim::<2>(2).swap_dims(0, 1));
        }
    }
    if outs.is_empty() {
        return Attended {
            out: Tensor::zeros([0, heads, v_dim], &device),
            lse: Tensor::zeros([0, heads], &device),
        };
    }
    Attended { out: Tensor::cat(outs, 0), lse: Tensor::cat(lses, 0) }
}

/// One sequence, by head.
struct Sequence<'a> {
    spec: &'a AttnSpec,
    turned: Turned,
    /// `[heads, slots, value dim]`
    v: Tensor<3>,
    group: usize,
    query_positions: &'a [u32],
    key_positions: &'a [u32],
}

impl<'a> Sequence<'a> {
    fn new(
        q: &Tensor<3>,
        q_packing: &'a Packing,
        kv: &'a Kv,
        spec: &'a AttnSpec,
        rows: Range<usize>,
        slots: Range<usize>,
    ) -> Self {
        let [_, heads, _] = q.dims();
        let group = heads / kv.k.dims()[1];
        let by_head = |t: &Tensor<3>| {
            let t = t.clone().narrow(0, slots.start, slots.len()).swap_dims(0, 1); // [kv heads, slots, dim]
            let [kv_heads, slots, dim] = t.dims();
            t.reshape([kv_heads, 1, slots, dim]).repeat_dim(1, group).reshape([heads, slots, dim])
        };
        let query_positions = &q_packing.positions()[rows.clone()];
        let key_positions = &kv.packing.positions()[slots.clone()];
        let q = q.clone().narrow(0, rows.start, rows.len()).swap_dims(0, 1); // [heads, rows, dim]
        let turned = Turned::new(spec, q, by_head(&kv.k), query_positions, key_positions, kv.form);
        Self { spec, turned, v: by_head(&kv.v), group, query_positions, key_positions }
    }

    /// `out` `[heads, rows, value dim]` and `lse` `[heads, rows, 1]` of a tile of queries.
    fn attend(&self, rows: Range<usize>, table: Option<&Tensor<2>>) -> (Tensor<3>, Tensor<3>) {
        let device = self.v.device();
        let places = Places::new(&self.query_positions[rows.clone()], self.key_positions, &device);
        let hidden = places.hidden(self.spec, rows.clone(), self.turned.heads(), self.group);
        let products = self.turned.products(rows, &places); // [heads, rows, slots]
        let mut scores = normalise::scaled(self.spec, products, hidden.as_ref(), self.turned.dim());
        if let Some(cap) = self.spec.softcap {
            scores = scores.div_scalar(cap).tanh().mul_scalar(cap);
        }
        match &self.spec.pos {
            PosRule::None | PosRule::Rope { .. } => {}
            PosRule::Alibi { slopes, cap } => scores = scores - places.alibi(slopes, *cap),
            PosRule::T5(bias) => scores = scores + places.t5(bias, table),
        }
        let (weights, lse) = normalise(self.spec.norm, scores, hidden.as_ref());
        (weights.matmul(self.v.clone()), lse)
    }
}
