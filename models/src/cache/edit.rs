//! Taking positions back, and edits in the middle of a sequence.

use std::collections::BTreeMap;
use std::ops::Range;

use kilobase_kernels::attention::KvView;

use super::error::{CacheError, EditError};
use super::policy::pie::{self, Edit, Refresh, Splice};
use super::{KvCache, LayerCache, Plan};

impl KvCache {
    /// Drops `length` and every position after it.
    pub fn truncate(&mut self, length: u32) -> Result<(), CacheError> {
        for layer in 0..self.layers.len() {
            self.keep(layer, |position| position < length)?;
            self.trailing[layer].keep(|position| position < length);
        }
        self.length = self.length.min(length);
        Ok(())
    }

    fn keep(&mut self, layer: usize, stays: impl Fn(u32) -> bool) -> Result<(), CacheError> {
        let view = &self.layers[layer];
        let slots = |head| {
            let positions = view.positions(head).iter().enumerate();
            positions.filter(|(_, position)| stays(**position)).map(|(slot, _)| slot).collect()
        };
        let plan = Plan::Keep((0..view.heads()).map(slots).collect());
        self.apply(layer, plan)
    }

    /// Edits the sequence (see [`pie`]): drops what is replaced or refreshed and moves what follows. Returns the
    /// positions, after the edit, whose tokens are to be run next, from left to right.
    pub fn edit(&mut self, edits: &[Edit], refresh: Refresh) -> Result<Vec<Range<u32>>, CacheError> {
        if !self.config.causal {
            return Err(EditError::NotCausal.into());
        }
        if let Some(stage) = self.policy.stages.iter().find(|stage| stage.needs().fixed_positions) {
            return Err(EditError::FixedPositions { policy: stage.name() }.into());
        }
        let splice = pie::splice(edits, self.length, refresh)?;
        let moves = splice.kept.iter().any(|(_, delta)| *delta != 0);
        if moves && self.layers.iter().any(LayerCache::is_rigid) {
            return Err(EditError::Pruned.into());
        }
        for layer in 0..self.layers.len() {
            self.keep(layer, |position| splice.shift(position).is_some())?;
            for (delta, slots) in self.shifts(layer, &splice) {
                self.apply(layer, Plan::Rerotate { slots, delta })?;
            }
            self.trailing[layer].keep(|_| false);
        }
        self.rerotations = self.rerotations.saturating_add(u32::from(moves && self.config.rotary.is_some()));
        self.length = splice.length;
        Ok(splice.compute)
    }

    /// Takes over what another cache of the same shape has at some positions, which are not here: tokens that were run
    /// elsewhere, where they are the last, fill the gap of an edit.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn fill(&mut self, other: &Self, positions: Range<u32>) -> Result<(), CacheError> {
        let shape = |cache: &Self| {
            let config = &cache.config;
            (config.layers, config.kv_heads, config.key_dim, config.value_dim, config.key_form())
        };
        assert_eq!(shape(self), shape(other), "caches of one shape");
        for layer in 0..self.layers.len() {
            let rows = self.layers[layer].take_over(&self.pool, &other.layers[layer], &positions)?;
            for stage in &mut self.policy.stages {
                stage.on_append(layer, &self.layers[layer], rows);
            }
        }
        self.length = self.length.max(positions.end);
        Ok(())
    }

    /// Slots by how far they move, those that stay left out.
    fn shifts(&self, layer: usize, splice: &Splice) -> BTreeMap<i64, Vec<Vec<usize>>> {
        let view = &self.layers[layer];
        let mut shifts = BTreeMap::new();
        for head in 0..view.heads() {
            for (slot, &position) in view.positions(head).iter().enumerate() {
                let delta = splice.shift(position).expect("only these were kept");
                if delta != 0 {
                    let slots = shifts.entry(delta).or_insert_with(|| vec![Vec::new(); view.heads()]);
                    slots[head].push(slot);
                }
            }
        }
        shifts
    }
}
