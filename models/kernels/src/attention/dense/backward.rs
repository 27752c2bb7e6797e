//! Gradients by the chain rule, one score at a time.

use super::scores::{Head, dot};
use crate::attention::{AttnSpec, Heads, Normalizer, PosRule, Sequence, check};

/// Gradients in f64, laid out as [`attention::Gradients`](crate::attention::Gradients).
#[derive(Clone, Debug, Default)]
pub struct Gradients {
    /// `[rows, heads, key_dim]`
    pub dq: Vec<f64>,
    /// One a sequence, `[slots, kv heads, key_dim]`.
    pub dk: Vec<Vec<f64>>,
    /// One a sequence, `[slots, kv heads, value_dim]`.
    pub dv: Vec<Vec<f64>>,
    /// `[heads, buckets]` of a T5 table, else empty.
    pub d_table: Vec<f64>,
}

/// Gradients of `sum(d_out * out) + sum(d_lse * lse)` by their definition.
///
/// # Panics
/// As [`backward`](crate::attention::backward).
pub fn backward(
    q: Heads<'_>,
    positions: &[u32],
    sequences: &[Sequence<'_>],
    spec: &AttnSpec,
    d_out: &[f32],
    d_lse: Option<&[f32]>,
) -> Gradients {
    check(q, positions, sequences, spec, None);
    assert_eq!(spec.norm, Normalizer::Softmax, "gradients of softmax attention only");
    let mut gradients = Gradients { dq: vec![0.0; q.rows * q.heads * q.dim], ..Gradients::default() };
    if let PosRule::T5(bias) = &spec.pos {
        gradients.d_table = vec![0.0; bias.table.len()];
    }
    for sequence in sequences {
        let (kv, slots) = (sequence.kv, sequence.kv.positions(0).len());
        gradients.dk.push(vec![0.0; slots * kv.heads() * kv.key_dim()]);
        gradients.dv.push(vec![0.0; slots * kv.heads() * kv.value_dim()]);
        for head in 0..q.heads {
            let head = Head::new(q, positions, sequence, spec, None, head);
            for row in 0..sequence.rows.len() {
                let at = (sequence.rows.start + row) * q.heads + head.head;
                let d_out = &d_out[at * kv.value_dim()..][..kv.value_dim()];
                let d_out: Vec<f64> = d_out.iter().map(|&x| f64::from(x)).collect();
                let d_lse = d_lse.map_or(0.0, |d_lse| f64::from(d_lse[at]));
                gradients.add_row(&head, row, at, kv.heads(), &d_out, d_lse);
            }
        }
    }
    gradients
}

impl Gradients {
    fn add_row(
        &mut self,
        head: &Head<'_>,
        row: usize,
        at: usize,
        kv_heads: usize,
        d_out: &[f64],
        d_lse: f64,
    ) {
        let (weights, _) = head.weights(row);
        let (dk, dv) = (self.dk.last_mut().expect("a sequence"), self.dv.last_mut().expect("a sequence"));
        let toward: Vec<f64> = (0..head.slots()).map(|slot| dot(d_out, head.value(slot))).collect();
        let mean = dot(&toward, &weights);
        for (slot, &weight) in weights.iter().enumerate() {
            if weight == 0.0 {
                continue;
            }
            let d_score = weight * (toward[slot] - mean + d_lse);
            if let Some(bucket) = head.bucket(row, slot) {
                self.d_table[bucket] += d_score;
            }
            let slope = head
                .spec
                .softcap
                .map_or(1.0, |c| 1.0 - (head.product(row, slot, 0) / f64::from(c)).tanh().powi(2));
            let d_product = d_score * slope * head.scale;
            let (query, key) = head.meeting(row, slot);
            let kv_at = slot * kv_heads + head.kv_head;
            add(&mut self.dq[at * key.len()..], &key, d_product);
            add(&mut dk[kv_at * key.len()..], &query, d_product);
            add(&mut dv[kv_at * d_out.len()..], d_out, weight);
        }
    }
}

fn add(target: &mut [f64], x: &[f64], factor: f64) {
    for (target, x) in target.iter_mut().zip(x) {
        *target += factor * x;
    }
}
