//! HiP attention (Lee et al. 2024): queries read the first keys, the last, and between them the blocks that a search
//! finds. See [`select::hip`](crate::cache::select::hip).

use kilobase_kernels::attention::{KeyForm, KvView, Selection};

use super::tokens::{Group, select};
use super::{CachePolicy, Kind, Needs, Queries, Settings};
use crate::cache::select::hip::Hip;
use crate::cache::select::{dot, join};

/// The search and what is read in any case. There is no state: the search reads the keys that it needs.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The search among the keys between.
    pub search: Hip,
    /// Queries that read the same keys, 32 to 64 in the paper. A call of more rows is cut into blocks of this size.
    pub queries: usize,
    /// First keys, always read.
    pub sinks: usize,
    /// Last keys up to the newest query's own, always read.
    pub window: usize,
    /// Queries that see at most so many keys read them all.
    pub dense: usize,
}

impl CachePolicy for Policy {
    fn name(&self) -> String {
        format!("{self:?}")
    }

    fn needs(&self) -> Needs {
        Needs { key_form: Some(KeyForm::Rotated), ..Needs::new(Kind::Select) }
    }

    fn reads(&self, slots: usize) -> usize {
        let found = self.sinks + self.window + self.search.keep * self.search.block;
        if slots <= self.dense { slots } else { slots.min(found) }
    }

    fn select(&mut self, _layer: usize, queries: Queries<'_>, view: &dyn KvView) -> Option<Selection> {
        select(queries, view, self.queries.max(1), self.dense, |group| {
            let Group { head, tokens, queries, seen, .. } = group;
            let local = seen.start.min(seen.end.saturating_sub(self.window));
            let far = self.sinks.min(local)..local;
            let size = self.search.block;
            let block = |block: usize| far.start + block * size..far.end.min(far.start + (block + 1) * size);
            let found = self.search.blocks(far.len().div_ceil(size), |i| {
                let keys = tokens.keys(view, head, block(i));
                let dim = view.key_dim();
                let with = |key| queries.chunks_exact(dim).map(move |query| dot(query, key));
                keys.chunks_exact(dim).flat_map(with).fold(f32::NEG_INFINITY, f32::max)
            });
            let read = std::iter::once(0..far.start).chain(found.into_iter().map(block));
            join(read.chain(std::iter::once(local..seen.end)))
        })
    }
}

/// An eighth of the budget is the first keys, a quarter the last, at most 256 and 1024; the rest are blocks of at most
/// 32 that at most 32 queries look for together.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    let budget = settings.budget;
    let (sinks, window) = ((budget / 8).min(256), (budget / 4).clamp(1, 1024));
    let block = (budget / 16).clamp(1, 32);
    Box::new(Policy {
        search: Hip { block, keep: budget.saturating_sub(sinks + window) / block },
        queries: (budget / 8).clamp(1, 32),
        sinks,
        window,
        dense: budget,
    })
}
