//! Exact attention over packed sequences, tiled so that memory grows with the length and not with its square.
//!
//! Follows FlashAttention (Dao et al. 2022): for each tile of queries the keys are visited tile by tile with a
//! running maximum and a running sum, so scores exist one tile at a time. Biases and masks come from the
//! *positions* of queries and keys, never from where they lie in memory. [`dense`] is the slow reference.

pub mod dense;
mod heads;
mod selection;
mod spec;
mod stats;
mod tiled;
mod view;

pub use heads::Heads;
pub use selection::Selection;
pub use spec::{AttnSpec, MaskRule, Normalizer, PosRule, T5Bias};
pub use stats::{Collect, Stats};
pub use tiled::forward;
pub use view::{KeyForm, KvView, Strided};

/// Which tokens belong to one sequence, and where in it they stand.
#[derive(Clone, Copy, Debug)]
pub struct Packing<'a> {
    /// Cumulative lengths: sequence `s` owns rows `offsets[s]..offsets[s + 1]`.
    pub offsets: &'a [usize],
    /// Logical position of each row within its sequence.
    pub positions: &'a [u32],
}

impl Packing<'_> {
    fn check(&self, rows: usize) {
        assert_eq!(self.offsets.first(), Some(&0), "offsets start at 0");
        assert_eq!(self.offsets.last(), Some(&rows), "offsets end at the number of rows");
        assert!(self.offsets.is_sorted(), "offsets never fall");
        assert_eq!(self.positions.len(), rows, "one position a row");
    }
}

/// What the scores are before the softmax: `scale * q.k + bias(position distance)`, masked.
#[derive(Clone, Copy, Debug)]
pub struct Scoring<'a> {
    /// Factor on the dot products, usually `1 / sqrt(dim)`.
    pub scale: f32,
    /// A key is visible only if its position is not after the query's.
    pub causal: bool,
    /// ALiBi (Press et al. 2022): `-slope[head] * |i - j|`, one slope a query head; added after scaling.
    pub alibi: Option<&'a [f32]>,
}

fn check(q: Heads<'_>, k: Heads<'_>, v: Heads<'_>, qs: Packing<'_>, ks: Packing<'_>, scoring: Scoring<'_>) {
    for heads in [&q, &k, &v] {
        heads.check();
    }
    qs.check(q.rows);
    ks.check(k.rows);
    assert_eq!(qs.offsets.len(), ks.offsets.len(), "queries and keys of as many sequences");
    assert_eq!((k.rows, k.heads), (v.rows, v.heads), "keys and values of one shape");
    assert_eq!(q.dim, k.dim, "queries and keys of one size");
    assert!(k.heads > 0 && q.heads.is_multiple_of(k.heads), "query heads are a multiple of key heads");
    assert!(scoring.alibi.is_none_or(|slopes| slopes.len() == q.heads), "one slope a query head");
}
