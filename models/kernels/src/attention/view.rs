//! Keys and values as attention reads them: a contiguous projection, a paged cache, anything that can fill a tile.

use super::Heads;
use std::ops::Range;

/// Whether stored keys already carry the rotation of their position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyForm {
    /// As projected. The kernel rotates while it loads; required by distance caps and by frequencies that change.
    Raw,
    /// Rotated by their own position. Cheapest to read.
    Rotated,
}

/// Keys and values of one sequence.
///
/// The number of slots may differ between key/value heads: a cache that evicts by head keeps different slots in
/// each. Everything that depends on a place in the sequence is computed from [`KvView::positions`], never from the
/// number of a slot, so the order of the slots does not matter.
pub trait KvView: Sync {
    /// Number of key/value heads.
    fn heads(&self) -> usize;
    /// Size of a key.
    fn key_dim(&self) -> usize;
    /// Size of a value.
    fn value_dim(&self) -> usize;
    /// Logical position of every slot of one head; its length is the number of slots.
    fn positions(&self, head: usize) -> &[u32];
    /// Whether the keys are already rotated. Meaningless without rotary positions.
    fn key_form(&self) -> KeyForm;
    /// Writes the keys of some slots, `[slots, key_dim]`.
    fn keys(&self, head: usize, slots: Range<usize>, out: &mut [f32]);
    /// Writes the values of some slots, `[slots, value_dim]`.
    fn values(&self, head: usize, slots: Range<usize>, out: &mut [f32]);

    /// The keys of some slots where they lie, `[slots, 1, key_dim]`, if a stride can tell: saves the copy.
    fn lend_keys(&self, _head: usize, _slots: Range<usize>) -> Option<Heads<'_>> {
        None
    }

    /// The same for values, `[slots, 1, value_dim]`.
    fn lend_values(&self, _head: usize, _slots: Range<usize>) -> Option<Heads<'_>> {
        None
    }
}

/// Keys and values in two strided arrays, the same slots for every head.
#[derive(Clone, Copy, Debug)]
pub struct Strided<'a> {
    /// `[slots, heads, key_dim]`
    pub k: Heads<'a>,
    /// `[slots, heads, value_dim]`
    pub v: Heads<'a>,
    /// Logical position of each slot.
    pub positions: &'a [u32],
    /// Whether `k` is rotated.
    pub form: KeyForm,
}

impl KvView for Strided<'_> {
    fn heads(&self) -> usize {
        self.k.heads
    }

    fn key_dim(&self) -> usize {
        self.k.dim
    }

    fn value_dim(&self) -> usize {
        self.v.dim
    }

    fn positions(&self, _head: usize) -> &[u32] {
        self.positions
    }

    fn key_form(&self) -> KeyForm {
        self.form
    }

    fn keys(&self, head: usize, slots: Range<usize>, out: &mut [f32]) {
        self.k.copy(head, slots, out);
    }

    fn values(&self, head: usize, slots: Range<usize>, out: &mut [f32]) {
        self.v.copy(head, slots, out);
    }

    fn lend_keys(&self, head: usize, slots: Range<usize>) -> Option<Heads<'_>> {
        Some(self.k.head(head).slice(slots))
    }

    fn lend_values(&self, head: usize, slots: Range<usize>) -> Option<Heads<'_>> {
        Some(self.v.head(head).slice(slots))
    }
}
