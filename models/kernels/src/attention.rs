//! Exact attention over packed sequences, tiled so that memory grows with the length and not with its square.
//!
//! Follows FlashAttention (Dao et al. 2022): for each tile of queries the keys are visited tile by tile with a
//! running maximum and a running sum, so scores exist one tile at a time. Biases and masks come from the
//! *positions* of queries and keys, never from where they lie in memory, and tiles of keys that nothing sees are not
//! visited. `(out, lse)` is the exchange format: results over disjoint keys [`merge`] exactly. [`dense`] is the slow
//! reference.

pub mod dense;
mod heads;
mod merge;
mod selection;
mod spec;
mod stats;
mod t5;
mod tiled;
mod view;

pub use heads::Heads;
pub use merge::merge;
pub use selection::Selection;
pub use spec::{AttnSpec, MaskRule, Normalizer, PosRule};
pub use stats::{Collect, Stats};
pub use t5::T5Bias;
pub use tiled::{Gradients, backward, collect, forward};
pub use view::{KeyForm, KvView, Strided};

use std::ops::Range;

/// A row of LSSAR whose largest re-weighted score is not above this has equal weights, up to rounding.
const UNIFORM: f32 = 1e-5;

/// One sequence of a packed call.
#[derive(Clone)]
pub struct Sequence<'a> {
    /// Its query rows. The sequences of a call own the rows `0..q.rows` in order.
    pub rows: Range<usize>,
    /// Its keys and values.
    pub kv: &'a dyn KvView,
}

/// Asserts that the arguments of a call fit together.
///
/// Lists of slots and segment ids number the rows and slots of one sequence, so a call with them has exactly one.
fn check(
    q: Heads<'_>,
    positions: &[u32],
    sequences: &[Sequence<'_>],
    spec: &AttnSpec,
    selection: Option<&Selection>,
) {
    q.check();
    assert_eq!(positions.len(), q.rows, "one position a query row");
    let mut next = 0;
    for Sequence { rows, .. } in sequences {
        assert!(rows.start == next && rows.end >= next, "sequences own the rows in order, without gaps");
        next = rows.end;
    }
    assert_eq!(next, q.rows, "every query row belongs to a sequence");
    let Some(first) = sequences.first() else { return };
    let (kv_heads, value_dim) = (first.kv.heads(), first.kv.value_dim());
    assert!(value_dim > 0, "values hold numbers");
    for Sequence { kv, .. } in sequences {
        assert_eq!((kv.heads(), kv.value_dim()), (kv_heads, value_dim), "sequences of one shape");
        assert_eq!(kv.key_dim(), q.dim, "queries and keys of one size");
        check_positions(&spec.pos, q, kv.key_form());
    }
    assert!(
        kv_heads > 0 && q.heads.is_multiple_of(kv_heads),
        "query heads are a multiple of key/value heads"
    );
    if let Some(selection) = selection {
        check_selection(selection, sequences, kv_heads);
    }
    check_mask(&spec.mask, sequences, kv_heads);
}

fn check_positions(pos: &PosRule, q: Heads<'_>, form: KeyForm) {
    match pos {
        PosRule::None => {}
        PosRule::Rope { rotary, cap } => {
            assert_eq!(2 * rotary.frequencies().len(), q.dim, "one frequency a pair of coordinates");
            assert!(cap.is_none() || form == KeyForm::Raw, "a distance cap needs raw keys");
        }
        PosRule::Alibi { slopes, .. } => assert_eq!(slopes.len(), q.heads, "one slope a query head"),
        PosRule::T5(bias) => {
            assert_eq!(bias.table.len(), q.heads * bias.buckets, "one bias a query head and bucket");
            assert!(bias.buckets >= 4 && bias.max_distance as usize > bias.buckets / 2, "buckets that grow");
        }
    }
}

fn check_mask(mask: &MaskRule, sequences: &[Sequence<'_>], kv_heads: usize) {
    match mask {
        MaskRule::Full | MaskRule::Window { .. } => {}
        MaskRule::Segments { queries, slots } => {
            let [Sequence { rows, kv }] = sequences else { panic!("segments belong to one sequence") };
            assert_eq!(queries.len(), rows.len(), "one segment a query row");
            for head in 0..kv_heads {
                assert_eq!(slots.len(), kv.positions(head).len(), "one segment a slot");
            }
        }
        MaskRule::Slots(selection) => check_selection(selection, sequences, kv_heads),
        MaskRule::And(rules) => rules.iter().for_each(|rule| check_mask(rule, sequences, kv_heads)),
    }
}

fn check_selection(selection: &Selection, sequences: &[Sequence<'_>], kv_heads: usize) {
    let [Sequence { rows, kv }] = sequences else { panic!("a selection belongs to one sequence") };
    assert!(selection.query_block > 0, "a block holds queries");
    assert_eq!(selection.slots.len(), kv_heads, "lists for every key/value head");
    for (head, blocks) in selection.slots.iter().enumerate() {
        assert!(
            blocks.len() >= rows.len().div_ceil(selection.query_block),
            "a list for every block of queries"
        );
        for list in blocks {
            assert!(
                list.is_sorted_by(|a, b| a.end <= b.start) && list.iter().all(|r| r.start <= r.end),
                "ranges of slots ascend"
            );
            assert!(list.last().is_none_or(|r| r.end <= kv.positions(head).len()), "slots that exist");
        }
    }
}
