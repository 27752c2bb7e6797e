//! The one attention of kilobase.
//!
//! [`attention`] is the only entry: every model family calls it and none has an attention loop of its own. Two
//! ideas keep it small. *Logical position is data*: causality and ALiBi come from the positions in [`Packing`],
//! never from where a row lies. `(out, lse)` *is the exchange format*: partial results over disjoint keys merge
//! exactly, so the logarithm of the softmax denominator is returned beside the output.
//!
//! Sequences are packed: `[tokens, heads, dim]` with offsets, no padding. On the CPU the tiled kernel of
//! [`kilobase_kernels::attention`] runs (memory linear in length); under autodiff and on other devices
//! the same arithmetic is composed from tensor operations.

pub mod alibi;
mod composed;
#[cfg(feature = "cpu")]
mod flex;
pub mod scaling;

use burn::tensor::Tensor;
use std::sync::Arc;

/// Which rows form a sequence, and where in it each stands.
#[derive(Clone, Debug)]
pub struct Packing {
    offsets: Arc<[usize]>,
    positions: Arc<[u32]>,
}

impl Packing {
    /// Sequences with the given cumulative lengths (`0` first), numbered `0, 1, 2, ...` within each.
    ///
    /// # Panics
    /// If the offsets do not start at 0 or fall.
    pub fn from_offsets(offsets: &[usize]) -> Self {
        assert!(offsets.first() == Some(&0) && offsets.is_sorted(), "offsets {offsets:?}");
        let positions = offsets.windows(2).flat_map(|w| 0..(w[1] - w[0]) as u32).collect();
        Self { offsets: offsets.into(), positions }
    }

    /// The same rows with other logical positions, one a row.
    ///
    /// # Panics
    /// If there are more or fewer positions than rows.
    #[must_use]
    pub fn with_positions(self, positions: &[u32]) -> Self {
        assert_eq!(positions.len(), self.positions.len(), "one position a row");
        Self { positions: positions.into(), ..self }
    }

    /// Cumulative lengths: sequence `s` owns rows `offsets[s]..offsets[s + 1]`.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Logical position of each row.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }
}

/// How positions enter the scores.
#[derive(Clone, Debug)]
pub enum PosRule {
    /// Not at all.
    None,
    /// `-slope[head] * |i - j|` added after scaling (Press et al. 2022); symmetric when not causal.
    Alibi {
        /// One slope a query head, in the order of the heads: see [`alibi::slopes`].
        slopes: Arc<[f32]>,
    },
}

/// What one attention layer computes.
#[derive(Clone, Debug)]
pub struct AttnSpec {
    /// Factor on the dot products, usually `1 / sqrt(dim)`.
    pub scale: f32,
    /// A key is visible only if its position is not after the query's.
    pub causal: bool,
    /// The position rule.
    pub pos: PosRule,
}

/// Keys and values as attention sees them.
#[derive(Clone, Debug)]
pub struct KvView {
    /// `[slots, kv heads, dim]`
    pub k: Tensor<3>,
    /// `[slots, kv heads, value dim]`
    pub v: Tensor<3>,
    /// Sequences and positions of the slots.
    pub packing: Packing,
}

/// The result of attention over a set of keys.
#[derive(Clone, Debug)]
pub struct Attended {
    /// `[tokens, heads, value dim]`; 0 where a query sees no key.
    pub out: Tensor<3>,
    /// Natural logarithm of the softmax denominator, `[tokens, heads]`; minus infinity where no key is seen.
    pub lse: Tensor<2>,
}

/// Exact attention of packed queries `[tokens, heads, dim]` over packed keys and values.
///
/// Query head `h` reads key/value head `h / (heads / kv heads)`. Query `i` of sequence `s` sees keys of
/// sequence `s` only.
///
/// # Panics
/// If shapes and packings do not fit together.
pub fn attention(q: Tensor<3>, q_packing: &Packing, kv: KvView, spec: &AttnSpec) -> Attended {
    #[cfg(feature = "cpu")]
    if flex::serves(&q.device()) {
        return flex::attention(q, q_packing, kv, spec);
    }
    composed::attention(&q, q_packing, &kv, spec)
}

#[cfg(all(test, feature = "cpu"))]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution};

    /// The composed form is what runs under autodiff and on GPUs; the kernel is what runs on the CPU.
    #[test]
    fn composed_and_kernel_agree() {
        let device = Device::flex();
        device.seed(7);
        let offsets = [0, 3, 3, 40, 200];
        for (heads, kv_heads, causal, alibi) in
            [(4, 4, false, true), (4, 2, true, false), (6, 1, true, true), (1, 1, false, false)]
        {
            let tensor = |h, d| Tensor::<3>::random([200, h, d], Distribution::Normal(0.0, 1.0), &device);
            let packing = Packing::from_offsets(&offsets);
            let kv = KvView { k: tensor(kv_heads, 8), v: tensor(kv_heads, 5), packing: packing.clone() };
            let pos =
                if alibi { PosRule::Alibi { slopes: alibi::slopes(heads).into() } } else { PosRule::None };
            let spec = AttnSpec { scale: 0.35, causal, pos };
            let q = tensor(heads, 8);
            let a = flex::attention(q.clone(), &packing, kv.clone(), &spec);
            let b = composed::attention(&q, &packing, &kv, &spec);
            let worst = |x: f32, y: f32| assert!((x - y).abs() < 2e-6, "{x} and {y}");
            let values = |t: Tensor<3>| crate::family::values(t);
            for (x, y) in values(a.out).into_iter().zip(values(b.out)) {
                worst(x, y);
            }
            for (x, y) in values(a.lse.unsqueeze()).into_iter().zip(values(b.lse.unsqueeze())) {
                worst(x / 10.0, y / 10.0);
            }
        }
    }

    #[test]
    fn kernel_reads_a_fused_projection_in_place() {
        let device = Device::flex();
        let fused = Tensor::<4>::random([5, 3, 2, 4], Distribution::Normal(0.0, 1.0), &device);
        let part = |i| fused.clone().narrow(1, i, 1).squeeze_dim::<3>(1);
        let packing = Packing::from_offsets(&[0, 5]);
        let spec = AttnSpec { scale: 0.5, causal: false, pos: PosRule::None };
        let view = KvView { k: part(1), v: part(2), packing: packing.clone() };
        let strided = attention(part(0), &packing, view, &spec).out;
        let copy = |t: Tensor<3>| Tensor::<3>::from_data(t.into_data(), &device);
        let view = KvView { k: copy(part(1)), v: copy(part(2)), packing: packing.clone() };
        let contiguous = attention(copy(part(0)), &packing, view, &spec).out;
        assert_eq!(strided.into_data(), contiguous.into_data());
    }
}
