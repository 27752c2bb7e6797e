//! Attention from tensor operations: runs on every device and under autodiff.
//!
//! Queries are taken a tile at a time, so one tile of scores exists at once outside autodiff (which keeps them
//! all for the backward pass).

use super::{Attended, AttnSpec, KvView, Packing, PosRule};
use burn::tensor::{Device, Tensor, TensorData};

/// Scores of one tile of queries and all keys of its sequence are held at once.
const QUERY_TILE: usize = 512;

pub(super) fn attention(q: &Tensor<3>, q_packing: &Packing, kv: &KvView, spec: &AttnSpec) -> Attended {
    let [_, heads, _] = q.dims();
    let [_, kv_heads, v_dim] = kv.v.dims();
    let device = q.device();
    let group = heads / kv_heads;
    let (mut outs, mut lses) = (Vec::new(), Vec::new());
    for (rows, slots) in q_packing.offsets().windows(2).zip(kv.packing.offsets().windows(2)) {
        let count = slots[1] - slots[0];
        if rows[1] == rows[0] {
            continue;
        }
        if count == 0 {
            outs.push(Tensor::zeros([rows[1] - rows[0], heads, v_dim], &device));
            lses.push(Tensor::full([rows[1] - rows[0], heads], f32::NEG_INFINITY, &device));
            continue;
        }
        let by_head = |t: &Tensor<3>| {
            let t = t.clone().narrow(0, slots[0], count).swap_dims(0, 1); // [kv heads, slots, dim]
            let [kv_heads, slots, dim] = t.dims();
            t.reshape([kv_heads, 1, slots, dim]).repeat_dim(1, group).reshape([heads, slots, dim])
        };
        let (k, v) = (by_head(&kv.k).swap_dims(1, 2), by_head(&kv.v));
        let key_positions = &kv.packing.positions()[slots[0]..slots[1]];
        for first in (rows[0]..rows[1]).step_by(QUERY_TILE) {
            let tile = QUERY_TILE.min(rows[1] - first);
            let positions = &q_packing.positions()[first..first + tile];
            let q = q.clone().narrow(0, first, tile).swap_dims(0, 1); // [heads, tile, dim]
            let mut scores = q.matmul(k.clone()).mul_scalar(spec.scale); // [heads, tile, slots]
            if let PosRule::Alibi { slopes } = &spec.pos {
                let slopes = Tensor::<1>::from_floats(&slopes[..], &device).reshape([heads, 1, 1]);
                let distance = grid(positions, key_positions, |i, j| i.abs_diff(j) as f32, &device);
                scores = scores - slopes * distance;
            }
            let hidden = spec.causal.then(|| {
                let later = grid(positions, key_positions, |i, j| f32::from(u8::from(j > i)), &device);
                later.equal_scalar(1.0).expand(scores.dims())
            });
            if let Some(hidden) = &hidden {
                // The lowest finite number, not minus infinity: a row that sees nothing must not become NaN.
                scores = scores.mask_fill(hidden.clone(), f32::MIN);
            }
            let max = scores.clone().detach().max_dim(2); // [heads, tile, 1]
            let mut weights = (scores - max.clone()).exp();
            if let Some(hidden) = hidden {
                weights = weights.mask_fill(hidden, 0.0);
            }
            let sum = weights.clone().sum_dim(2); // [heads, tile, 1]
            let none = sum.clone().equal_scalar(0.0);
            let out = weights.matmul(v.clone()) / sum.clone().mask_fill(none, 1.0); // [heads, tile, v dim]
            outs.push(out.swap_dims(0, 1));
            lses.push((sum.log() + max).squeeze_dim::<2>(2).swap_dims(0, 1));
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

/// `[1, queries, keys]` of a function of the two positions.
fn grid(queries: &[u32], keys: &[u32], f: impl Fn(u32, u32) -> f32, device: &Device) -> Tensor<3> {
    let values: Vec<f32> =
        queries.iter().flat_map(|&i| keys.iter().map(move |&j| (i, j))).map(|(i, j)| f(i, j)).collect();
    Tensor::from_data(TensorData::new(values, [1, queries.len(), keys.len()]), device)
}
