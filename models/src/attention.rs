//! The one attention of kilobase, over burn tensors.
//!
//! [`attention`] is the only entry: every model family calls it and none has an attention loop of its own. Two
//! ideas keep it small. *Logical position is data*: causality, windows, rotations and biases come from the positions in
//! [`Packing`], never from where a row lies. `(out, lse)` *is the exchange format*: partial results over disjoint keys
//! merge exactly, so the logarithm of the denominator is returned beside the output.
//!
//! Sequences are packed: `[tokens, heads, dim]` with offsets, no padding. What a layer computes is the kernel's
//! [`AttnSpec`]. On the CPU the tiled kernel of [`kilobase_kernels::attention`] runs, forward and backward, with memory
//! linear in length; on other devices the same arithmetic is composed from tensor operations.

pub mod alibi;
mod composed;
#[cfg(feature = "cpu")]
mod flex;
mod packing;
pub mod scaling;
#[cfg(all(test, feature = "cpu"))]
mod tests;

pub use kilobase_kernels::attention::{AttnSpec, KeyForm, MaskRule, Normalizer, PosRule, Selection, T5Bias};
pub use kilobase_kernels::rotary::{RopeStyle, Rotary};
pub use packing::Packing;

use burn::tensor::Tensor;

/// Keys and values as attention sees them.
#[derive(Clone, Debug)]
pub struct Kv {
    /// `[slots, kv heads, dim]`
    pub k: Tensor<3>,
    /// `[slots, kv heads, value dim]`
    pub v: Tensor<3>,
    /// Sequences and positions of the slots.
    pub packing: Packing,
    /// Whether `k` is rotated already.
    pub form: KeyForm,
}

impl Kv {
    /// Keys and values as projected.
    pub fn new(k: Tensor<3>, v: Tensor<3>, packing: Packing) -> Self {
        Self { k, v, packing, form: KeyForm::Raw }
    }
}

/// The result of attention over a set of keys.
#[derive(Clone, Debug)]
pub struct Attended {
    /// `[tokens, heads, value dim]`; 0 where a query sees no key.
    pub out: Tensor<3>,
    /// Natural logarithm of the denominator of the weights, `[tokens, heads]`; minus infinity where no key is seen.
    pub lse: Tensor<2>,
}

/// Exact attention of packed queries `[tokens, heads, dim]` over packed keys and values.
///
/// Query head `h` reads key/value head `h / (heads / kv heads)`. Query `i` of sequence `s` sees keys of
/// sequence `s` only. Under autodiff both results carry gradients to `q`, `k` and `v`.
///
/// # Panics
/// If shapes, packings and spec do not fit together.
pub fn attention(q: Tensor<3>, q_packing: &Packing, kv: Kv, spec: &AttnSpec) -> Attended {
    run(q, q_packing, kv, spec, None)
}

/// The same with the T5 biases `[heads, buckets]` in a tensor, which takes the place of the table in the spec and to which
/// gradients flow.
///
/// # Panics
/// As [`attention`]; or if the spec has another position rule or the table another shape.
pub fn attention_with_table(
    q: Tensor<3>,
    q_packing: &Packing,
    kv: Kv,
    spec: &AttnSpec,
    table: Tensor<2>,
) -> Attended {
    let PosRule::T5(bias) = &spec.pos else { panic!("a table of biases is for T5 positions") };
    assert_eq!(table.dims(), [q.dims()[1], bias.buckets], "one bias a query head and bucket");
    run(q, q_packing, kv, spec, Some(table))
}

/// Exact attention of packed tokens over their own sequences, queries, keys and values side by side as one projection gives
/// them: `[tokens, (heads + 2 kv heads) * dim] -> [tokens, heads * dim]`. Under autodiff the result carries gradients.
///
/// # Panics
/// If shapes, packing and spec do not fit together.
pub fn attention_of_rows(
    qkv: Tensor<2>,
    [heads, kv_heads, dim]: [usize; 3],
    packing: &Packing,
    spec: &AttnSpec,
) -> Tensor<2> {
    #[cfg(feature = "cpu")]
    if flex::serves(&qkv.device(), spec) {
        return flex::attention_of_rows(qkv, [heads, kv_heads, dim], packing, spec);
    }
    let rows = qkv.dims()[0];
    let qkv = qkv.reshape([rows, heads + 2 * kv_heads, dim]);
    let part = |first, count| qkv.clone().narrow(1, first, count);
    let kv = Kv::new(part(heads, kv_heads), part(heads + kv_heads, kv_heads), packing.clone());
    attention(part(0, heads), packing, kv, spec).out.reshape([rows, heads * dim])
}

fn run(q: Tensor<3>, q_packing: &Packing, kv: Kv, spec: &AttnSpec, table: Option<Tensor<2>>) -> Attended {
    #[cfg(feature = "cpu")]
    if flex::serves(&q.device(), spec) {
        return flex::attention(q, q_packing, kv, spec, table);
    }
    composed::attention(&q, q_packing, &kv, spec, table.as_ref())
}
