//! Between the cache and the functions of [`select`](crate::cache::select): slots in the order of their positions, and
//! queries as they meet rotated keys.

use std::borrow::Cow;
use std::ops::Range;

use kilobase_kernels::attention::{KvView, Selection};
use rayon::prelude::*;

use super::infllm::rotary;
use super::{Queries, rank};
use crate::cache::select::join;

/// The slots of a head in the order of their positions.
pub(super) struct Tokens<'a> {
    /// Ascending.
    pub(super) positions: Cow<'a, [u32]>,
    /// The slot of each token, if the slots themselves are in another order.
    slots: Option<Vec<usize>>,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(view: &'a dyn KvView, head: usize) -> Self {
        let positions = view.positions(head);
        if positions.is_sorted() {
            return Self { positions: Cow::Borrowed(positions), slots: None };
        }
        let slots = rank::by_position(positions);
        let positions = slots.iter().map(|&slot| positions[slot]).collect();
        Self { positions: Cow::Owned(positions), slots: Some(slots) }
    }

    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    /// Tokens at a position and before it.
    pub(super) fn until(&self, position: u32) -> usize {
        self.positions.partition_point(|&p| p <= position)
    }

    /// The keys of some tokens, `[tokens, dim]`.
    pub(super) fn keys(&self, view: &dyn KvView, head: usize, tokens: Range<usize>) -> Vec<f32> {
        let dim = view.key_dim();
        let mut keys = vec![0.0; tokens.len() * dim];
        match &self.slots {
            None => view.keys(head, tokens, &mut keys),
            Some(slots) => {
                for (&slot, key) in slots[tokens].iter().zip(keys.chunks_exact_mut(dim)) {
                    view.keys(head, slot..slot + 1, key);
                }
            }
        }
        keys
    }

    /// The slots of ranges of tokens, as ranges.
    fn slots(&self, tokens: Vec<Range<usize>>) -> Vec<Range<usize>> {
        let Some(slots) = &self.slots else { return tokens };
        let mut chosen: Vec<usize> = tokens.into_iter().flat_map(|tokens| &slots[tokens]).copied().collect();
        chosen.sort_unstable();
        join(chosen.into_iter().map(|slot| slot..slot + 1))
    }
}

/// Queries of one group of heads that choose together.
pub(super) struct Group<'a> {
    pub(super) head: usize,
    pub(super) tokens: &'a Tokens<'a>,
    /// `[rows, heads of the group, key_dim]`, rotated.
    pub(super) queries: Vec<f32>,
    /// Tokens that all of the queries see, and that some of them see.
    pub(super) seen: Range<usize>,
    pub(super) scale: f32,
}

impl Group<'_> {
    /// Everything that one of the queries sees.
    pub(super) fn all(&self) -> Vec<Range<usize>> {
        std::iter::once(0..self.seen.end).collect()
    }
}

/// What `choose` returns for each key/value head and `block` rows of queries, as slots: ascending ranges of tokens.
/// Queries that see at most `dense` tokens read all of them; if all queries do, there is no selection.
pub(super) fn select(
    queries: Queries<'_>,
    view: &dyn KvView,
    block: usize,
    dense: usize,
    choose: impl Fn(Group<'_>) -> Vec<Range<usize>> + Sync,
) -> Option<Selection> {
    let Queries { q, positions, spec } = queries;
    let last = *positions.iter().max()?;
    let tokens: Vec<Tokens<'_>> = (0..view.heads()).map(|head| Tokens::of(view, head)).collect();
    if tokens.iter().all(|tokens| tokens.until(last) <= dense) {
        return None;
    }
    let rotated = rotated(queries);
    let (group, blocks) = (q.heads / view.heads(), q.rows.div_ceil(block));
    let list = |i: usize| {
        let (head, first) = (i / blocks, i % blocks * block);
        let (rows, tokens) = (first..(first + block).min(q.rows), &tokens[head]);
        let seen = rows.clone().map(|row| tokens.until(positions[row]));
        let seen = seen.clone().min().unwrap_or(0)..seen.max().unwrap_or(0);
        let of_row = |row| &rotated[(row * q.heads + head * group) * q.dim..][..group * q.dim];
        let queries = rows.flat_map(of_row).copied().collect();
        let group = Group { head, tokens, queries, seen, scale: spec.scale };
        tokens.slots(if group.seen.end <= dense { group.all() } else { choose(group) })
    };
    let lists: Vec<_> = (0..view.heads() * blocks).into_par_iter().map(list).collect();
    Some(Selection { query_block: block, slots: lists.chunks(blocks).map(<[_]>::to_vec).collect() })
}

/// `[rows, query heads, key_dim]`
pub(super) fn rotated(queries: Queries<'_>) -> Vec<f32> {
    let Queries { q, positions, spec } = queries;
    let rows = (0..q.rows).flat_map(|row| (0..q.heads).map(move |head| (row, head)));
    let mut rotated: Vec<f32> = rows.flat_map(|(row, head)| q.row(row, head)).copied().collect();
    if let Some(rotary) = rotary(spec) {
        let places = positions.iter().flat_map(|&p| std::iter::repeat_n(i64::from(p), q.heads));
        rotary.rotate(&mut rotated, &places.collect::<Vec<_>>());
    }
    rotated
}
