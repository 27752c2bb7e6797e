//! The key/value cache of a sequence: pages, and policies that make it smaller or faster.
//!
//! A [`KvCache`] keeps, for each layer and key/value head by itself, a list of slots with their logical positions, the
//! keys and the values in pages of a [`PagePool`]. Heads have page tables of their own, so that a policy which drops
//! other slots in each head frees real memory. Pages are shared by sequences that were forked from each other until
//! one of them writes. Attention reads a layer as a [`KvView`](kilobase_kernels::attention::KvView) and goes by
//! positions, never by slots; that alone makes eviction, edits and reordering no special cases.
//!
//! Policies ([`policy`]) are composed in the order evict, transform, select by a [`Pipeline`].

mod edit;
mod error;
mod file;
mod layer;
mod page;
mod pipeline;
mod plan;
pub mod policy;
mod pool;
mod rows;
pub mod select;
mod store;
mod trailing;

use std::sync::Arc;

use kilobase_kernels::attention::{
    AttnSpec, Collect, Heads, KeyForm, Normalizer, Selection, Sequence, Stats, collect, forward,
};
use kilobase_kernels::rotary::Rotary;

pub use error::{CacheError, EditError, FileFault, PolicyError};
#[doc(hidden)]
pub use file::check;
pub use file::{Decoder, Encoder};
pub use layer::LayerCache;
pub use pipeline::Pipeline;
pub use plan::Plan;
pub use pool::PagePool;
pub use store::Store;

use policy::{Queries, Step};
use rows::Rows;
use store::Axis;
use trailing::Trailing;

/// Shape and form of a cache.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name or hash of the weights: a saved cache is loaded for the same only.
    pub model: String,
    /// Layers of the model.
    pub layers: usize,
    /// Heads of the queries that read it.
    pub query_heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Size of a key.
    pub key_dim: usize,
    /// Size of a value.
    pub value_dim: usize,
    /// Type of the stored numbers.
    pub store: Store,
    /// Keys are stored rotated by this; `None` stores them as projected, for models without rotary positions and for
    /// policies that need raw keys.
    pub rotary: Option<Arc<Rotary>>,
    /// Whether queries see nothing that comes after them.
    pub causal: bool,
}

impl Config {
    /// The form in which keys are stored.
    pub fn key_form(&self) -> KeyForm {
        if self.rotary.is_some() { KeyForm::Rotated } else { KeyForm::Raw }
    }

    /// Bytes of a layer's pages of `page` slots whose heads have `slots` slots each, of which some keys keep fewer channels
    /// (`narrowed`: how many keys, and their channels): what [`LayerCache::bytes`] will be.
    pub fn layer_bytes(&self, page: usize, slots: usize, narrowed: (usize, usize)) -> usize {
        let rows = |axis, dim, len| Rows::bytes_of(self.store, axis, dim, page, len);
        let (old, channels) = narrowed;
        self.kv_heads
            * (rows(Axis::Channel, channels, old)
                + rows(Axis::Channel, self.key_dim, slots - old)
                + rows(Axis::Token, self.value_dim, slots))
    }

    fn check(&self) {
        assert!(self.layers > 0 && self.key_dim > 0 && self.value_dim > 0, "a cache of some size");
        assert!(
            self.kv_heads > 0 && self.query_heads.is_multiple_of(self.kv_heads),
            "query heads are a multiple of key/value heads"
        );
        let rotated = self.rotary.as_ref().map_or(self.key_dim, |r| 2 * r.frequencies().len());
        assert_eq!(rotated, self.key_dim, "one frequency a pair of coordinates");
    }
}

/// Keys and values of one sequence.
///
/// After an error of [`KvCache::append`], [`KvCache::attend`], [`KvCache::update`] or [`KvCache::edit`] that is not a
/// refusal (policies, edits) the rows may have reached some heads only: drop the cache, or keep a
/// [`KvCache::fork`] from before, which costs no memory until one of the two grows.
#[derive(Clone, Debug)]
pub struct KvCache {
    config: Config,
    pool: PagePool,
    policy: Pipeline,
    layers: Vec<LayerCache>,
    /// The last queries of each layer, for policies that let them vote.
    trailing: Vec<Trailing>,
    /// One after the last position that was appended.
    length: u32,
    rerotations: u32,
}

impl KvCache {
    /// An empty cache.
    ///
    /// # Panics
    /// If the shape is impossible.
    pub fn new(config: Config, pool: &PagePool, policy: Pipeline) -> Result<Self, PolicyError> {
        config.check();
        policy.check(&config)?;
        let last = policy.stages.iter().filter_map(|stage| match stage.needs().stats? {
            Collect::ColumnMass { last } => last,
            Collect::QuerySquares { last } => Some(last),
        });
        let trailing = Trailing::new(last.max().unwrap_or(0), config.query_heads, config.key_dim);
        Ok(Self {
            layers: vec![LayerCache::new(&config, pool.slots()); config.layers],
            trailing: vec![trailing; config.layers],
            pool: pool.clone(),
            config,
            policy,
            length: 0,
            rerotations: 0,
        })
    }

    /// A second sequence that begins as this one. Pages are shared until one of the two writes to them.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.clone()
    }

    /// Shape and form.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The policies.
    pub fn policy(&self) -> &Pipeline {
        &self.policy
    }

    /// A layer, as attention reads it.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn layer(&self, layer: usize) -> &LayerCache {
        &self.layers[layer]
    }

    /// Length of the sequence: one after the last position that was appended.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Bytes of the pages of keys and values: for each layer, head, and keys and values apart, the number of slots
    /// rounded up to pages, times the bytes of a page (see [`Store`]). Pages shared with a fork count in both.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(LayerCache::bytes).sum()
    }

    /// How many edits turned stored keys. In bf16 each costs accuracy (a relative error of 2e-3 after one, 8e-3 after
    /// ten): compute the cache anew after eight, or store f32.
    pub fn rerotations(&self) -> u32 {
        self.rerotations
    }

    /// Attention of new rows over the cache and themselves, the policies included. `q` is `[rows, query heads,
    /// key_dim]`, `k` and `v` are `[rows, kv heads, dim]`, all as projected; `out` and `lse` are as of
    /// [`forward`]. The mask of `spec` must not number rows or slots.
    ///
    /// # Panics
    /// If shapes do not fit together.
    #[allow(clippy::too_many_arguments)]
    pub fn attend(
        &mut self,
        layer: usize,
        q: Heads<'_>,
        k: Heads<'_>,
        v: Heads<'_>,
        positions: &[u32],
        spec: &AttnSpec,
        out: &mut [f32],
        lse: &mut [f32],
    ) -> Result<(), CacheError> {
        self.append(layer, k, v, positions)?;
        let spec = self.policy.attention(spec.clone());
        let queries = Queries { q, positions, spec: &spec };
        let selection = self.select(layer, queries);
        let sequence = [Sequence { rows: 0..q.rows, kv: &self.layers[layer] }];
        forward(q, positions, &sequence, &spec, selection.as_ref(), out, lse);
        self.update(layer, queries, selection.is_none().then_some(&*lse))
    }

    /// Appends keys and values, as projected, to a layer.
    ///
    /// # Panics
    /// If shapes do not fit together, or a position is 2^32 - 1.
    pub fn append(
        &mut self,
        layer: usize,
        k: Heads<'_>,
        v: Heads<'_>,
        positions: &[u32],
    ) -> Result<(), CacheError> {
        let Config { kv_heads, key_dim, value_dim, .. } = self.config;
        assert_eq!(
            (k.heads, k.dim, k.rows),
            (kv_heads, key_dim, positions.len()),
            "keys of the cache's shape"
        );
        assert_eq!((v.heads, v.dim, v.rows), (kv_heads, value_dim, positions.len()), "values of its shape");
        assert!(!positions.contains(&u32::MAX), "positions end before 2^32 - 1");
        self.layers[layer].append(&self.pool, k, v, positions, self.config.rotary.as_deref())?;
        self.length = positions.iter().map(|position| position + 1).fold(self.length, u32::max);
        for stage in &mut self.policy.stages {
            stage.on_append(layer, &self.layers[layer], positions.len());
        }
        Ok(())
    }

    /// What the queries are to read, if a policy selects. `queries.spec` is that of [`Pipeline::attention`].
    pub fn select(&mut self, layer: usize, queries: Queries<'_>) -> Option<Selection> {
        let view = &self.layers[layer];
        self.policy.stages.iter_mut().find_map(|stage| stage.select(layer, queries, view))
    }

    /// Lets the policies do their work after the queries have read the layer. `lse` is what attention over the whole
    /// layer gave, `None` if it read a selection.
    pub fn update(
        &mut self,
        layer: usize,
        queries: Queries<'_>,
        lse: Option<&[f32]>,
    ) -> Result<(), CacheError> {
        self.trailing[layer].push(queries.q, queries.positions);
        for stage in 0..self.policy.stages.len() {
            let view = &self.layers[layer];
            let step = Step { rows: queries.q.rows, slots: view.slots(), length: self.length };
            if step.rows == 0 || !self.policy.stages[stage].due(layer, step) {
                continue;
            }
            let stats = match self.policy.stages[stage].needs().stats {
                Some(what) => self.collect(layer, stage, queries, lse, what)?,
                None => Stats::default(),
            };
            let plan = self.policy.stages[stage].plan(layer, step, &self.layers[layer], &stats);
            self.apply(layer, plan)?;
        }
        Ok(())
    }

    fn collect(
        &self,
        layer: usize,
        stage: usize,
        queries: Queries<'_>,
        lse: Option<&[f32]>,
        what: Collect,
    ) -> Result<Stats, PolicyError> {
        let Queries { q, positions, spec } = queries;
        let masses = matches!(what, Collect::ColumnMass { .. });
        if masses && spec.norm != Normalizer::Softmax {
            return Err(PolicyError::Normalizer { policy: self.policy.stages[stage].name() });
        }
        // Votes of the last queries reach back beyond this call.
        let (q, positions, lse) = match what {
            Collect::ColumnMass { last: None } => (q, positions, lse),
            _ => (self.trailing[layer].queries(), self.trailing[layer].positions(), None),
        };
        let sequence = [Sequence { rows: 0..q.rows, kv: &self.layers[layer] }];
        let mut own = vec![0.0; q.rows * q.heads];
        if lse.is_none() && masses {
            let mut out = vec![0.0; q.rows * q.heads * self.config.value_dim];
            forward(q, positions, &sequence, spec, None, &mut out, &mut own);
        }
        Ok(collect(q, positions, &sequence, spec, None, lse.unwrap_or(&own), what).swap_remove(0))
    }

    fn apply(&mut self, layer: usize, plan: Plan) -> Result<(), CacheError> {
        let moves = self.layers[layer].apply(&self.pool, plan, self.config.rotary.as_deref())?;
        if let Some(moves) = moves {
            for stage in &mut self.policy.stages {
                stage.on_move(layer, &self.layers[layer], &moves);
            }
        }
        Ok(())
    }
}
