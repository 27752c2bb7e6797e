//! The cache of one layer, as attention reads it.

use std::ops::Range;

use kilobase_kernels::attention::{Heads, KeyForm, KvView};
use kilobase_kernels::rotary::Rotary;
use rayon::prelude::*;

use super::Config;
use super::error::{CacheError, FileFault};
use super::file::{Decoder, Encoder};
use super::pool::PagePool;
use super::rows::Rows;
use super::store::Axis;

/// Keys and values of one layer of one sequence, a list of slots for each key/value head.
#[derive(Clone, Debug)]
pub struct LayerCache {
    pub(super) heads: Vec<HeadCache>,
    form: KeyForm,
    key_dim: usize,
    value_dim: usize,
}

/// Slots of one head: those whose keys lost channels, then the others.
#[derive(Clone, Debug)]
pub(super) struct HeadCache {
    pub(super) positions: Vec<u32>,
    pub(super) pruned: Option<PrunedKeys>,
    pub(super) keys: Rows,
    pub(super) values: Rows,
}

/// Keys of which some channels are stored.
#[derive(Clone, Debug)]
pub(super) struct PrunedKeys {
    /// Channels that are stored, ascending.
    pub(super) channels: Vec<u32>,
    pub(super) keys: Rows,
}

impl LayerCache {
    pub(super) fn new(config: &Config, slots: usize) -> Self {
        let head = HeadCache {
            positions: Vec::new(),
            pruned: None,
            keys: Rows::new(config.store, Axis::Channel, config.key_dim, slots),
            values: Rows::new(config.store, Axis::Token, config.value_dim, slots),
        };
        Self {
            heads: vec![head; config.kv_heads],
            form: config.key_form(),
            key_dim: config.key_dim,
            value_dim: config.value_dim,
        }
    }

    /// Bytes of the pages, shared ones included.
    pub fn bytes(&self) -> usize {
        self.heads.iter().map(HeadCache::bytes).sum()
    }

    /// The most slots that a head has.
    pub fn slots(&self) -> usize {
        self.heads.iter().map(|head| head.positions.len()).max().unwrap_or(0)
    }

    /// One after the last position that is kept.
    pub fn end(&self) -> u32 {
        self.heads.iter().flat_map(|head| &head.positions).max().map_or(0, |last| last + 1)
    }

    /// Channels of a head's keys that are kept in its older slots, if some were dropped.
    pub fn channels(&self, head: usize) -> Option<&[u32]> {
        self.heads[head].pruned.as_ref().map(|pruned| &pruned.channels[..])
    }

    /// Whether all heads keep the same positions.
    pub(super) fn is_shared(&self) -> bool {
        let sorted = |head: &HeadCache| {
            let mut positions = head.positions.clone();
            positions.sort_unstable();
            positions
        };
        let first = self.heads.first().map(sorted);
        self.heads.iter().all(|head| Some(sorted(head)) == first)
    }

    /// Number of slots of a head whose keys lost channels.
    pub fn pruned_slots(&self, head: usize) -> usize {
        self.heads[head].pruned_slots()
    }

    pub(super) fn append(
        &mut self,
        pool: &PagePool,
        k: Heads<'_>,
        v: Heads<'_>,
        positions: &[u32],
        rotary: Option<&Rotary>,
    ) -> Result<(), CacheError> {
        self.heads.par_iter_mut().enumerate().try_for_each(|(head, cache)| {
            let mut keys = vec![0.0; k.rows * k.dim];
            k.copy(head, 0..k.rows, &mut keys);
            if let Some(rotary) = rotary {
                let positions: Vec<i64> = positions.iter().map(|&p| i64::from(p)).collect();
                rotary.rotate(&mut keys, &positions);
            }
            for (row, key) in keys.chunks_exact(k.dim).enumerate() {
                cache.keys.push(pool, key)?;
                cache.values.push(pool, v.row(row, head))?;
                cache.positions.push(positions[row]);
            }
            Ok(())
        })
    }

    /// Appends the slots of another layer at some positions, their keys as they are stored; returns the most of a head.
    pub(super) fn take_over(
        &mut self,
        pool: &PagePool,
        other: &Self,
        positions: &Range<u32>,
    ) -> Result<usize, CacheError> {
        let mut most = 0;
        let (mut key, mut value) = (vec![0.0; self.key_dim], vec![0.0; self.value_dim]);
        for (head, cache) in self.heads.iter_mut().enumerate() {
            let before = cache.positions.len();
            for (slot, position) in other.positions(head).iter().enumerate() {
                if positions.contains(position) {
                    other.keys(head, slot..slot + 1, &mut key);
                    other.values(head, slot..slot + 1, &mut value);
                    cache.keys.push(pool, &key)?;
                    cache.values.push(pool, &value)?;
                    cache.positions.push(*position);
                }
            }
            most = most.max(cache.positions.len() - before);
        }
        Ok(most)
    }

    pub(super) fn save(&self, out: &mut Encoder<'_>) -> Result<(), FileFault> {
        for head in &self.heads {
            out.u32s(&head.positions);
            out.u32(u32::from(head.pruned.is_some()));
            if let Some(pruned) = &head.pruned {
                out.u32s(&pruned.channels);
                pruned.keys.save(out)?;
            }
            head.keys.save(out)?;
            head.values.save(out)?;
        }
        Ok(())
    }

    /// Fills an empty layer.
    pub(super) fn load(&mut self, pool: &PagePool, input: &mut Decoder<'_>) -> Result<(), FileFault> {
        for head in &mut self.heads {
            head.positions = input.u32s()?;
            if head.positions.contains(&u32::MAX) {
                return Err(FileFault::Corrupt("position 2^32 - 1"));
            }
            if input.u32()? != 0 {
                let channels = input.u32s()?;
                let inside = channels.last().is_none_or(|&last| (last as usize) < self.key_dim);
                if channels.is_empty() || !channels.is_sorted_by(|a, b| a < b) || !inside {
                    return Err(FileFault::Corrupt("a list of channels"));
                }
                let mut keys = head.keys.narrow(channels.len());
                keys.load(pool, input)?;
                head.pruned = Some(PrunedKeys { channels, keys });
            }
            head.keys.load(pool, input)?;
            head.values.load(pool, input)?;
            if head.keys.len() + head.pruned_slots() != head.positions.len()
                || head.values.len() != head.positions.len()
            {
                return Err(FileFault::Corrupt("a number of slots"));
            }
        }
        Ok(())
    }
}

impl HeadCache {
    /// Slots whose keys lost channels.
    pub(super) fn pruned_slots(&self) -> usize {
        self.pruned.as_ref().map_or(0, |pruned| pruned.keys.len())
    }

    fn bytes(&self) -> usize {
        let pruned = self.pruned.as_ref().map_or(0, |pruned| pruned.keys.bytes());
        pruned + self.keys.bytes() + self.values.bytes()
    }
}

impl KvView for LayerCache {
    fn heads(&self) -> usize {
        self.heads.len()
    }

    fn key_dim(&self) -> usize {
        self.key_dim
    }

    fn value_dim(&self) -> usize {
        self.value_dim
    }

    fn positions(&self, head: usize) -> &[u32] {
        &self.heads[head].positions
    }

    fn key_form(&self) -> KeyForm {
        self.form
    }

    /// Channels that were dropped read as zero, so scores keep the scale of the whole key.
    fn keys(&self, head: usize, slots: Range<usize>, out: &mut [f32]) {
        let head = &self.heads[head];
        let split = head.pruned_slots().clamp(slots.start, slots.end);
        let (old, new) = out.split_at_mut((split - slots.start) * self.key_dim);
        if let Some(pruned) = &head.pruned {
            let mut row = vec![0.0; pruned.channels.len()];
            old.fill(0.0);
            for (slot, key) in (slots.start..split).zip(old.chunks_exact_mut(self.key_dim)) {
                pruned.keys.read(slot..slot + 1, &mut row);
                for (&channel, number) in pruned.channels.iter().zip(&row) {
                    key[channel as usize] = *number;
                }
            }
        }
        let first = head.pruned_slots();
        if split < slots.end {
            head.keys.read(split - first..slots.end - first, new);
        }
    }

    fn values(&self, head: usize, slots: Range<usize>, out: &mut [f32]) {
        self.heads[head].values.read(slots, out);
    }
}
