//! What a policy wants done to a layer, and doing it.

use kilobase_kernels::attention::KeyForm;
use kilobase_kernels::rotary::Rotary;

use super::error::{CacheError, EditError};
use super::layer::{HeadCache, LayerCache, PrunedKeys};
use super::pool::PagePool;

/// What a policy wants done to a layer. Lists have one entry a key/value head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    Noop,
    /// Keep these slots, ascending, and drop the others.
    Keep(Vec<Vec<usize>>),
    /// Store these channels only of all keys but the newest.
    DropChannels {
        /// Channels to store, ascending. The first plan of a layer decides; later ones must agree with it.
        channels: Vec<Vec<u32>>,
        /// Number of newest keys that keep all channels.
        recent: usize,
    },
    /// Move slots to other positions.
    Rerotate {
        /// Which slots.
        slots: Vec<Vec<usize>>,
        /// How far. Rotated keys are turned by it, raw ones only renumbered.
        delta: i64,
    },
}

/// Where the slots of each head came from: new slot `i` was slot `moves[head][i]`.
pub(super) type Moves = Vec<Vec<usize>>;

impl LayerCache {
    /// Does it. Returns where slots came from if any changed its place.
    pub(super) fn apply(
        &mut self,
        pool: &PagePool,
        plan: Plan,
        rotary: Option<&Rotary>,
    ) -> Result<Option<Moves>, CacheError> {
        match plan {
            Plan::Noop => Ok(None),
            Plan::Keep(slots) => {
                assert_eq!(slots.len(), self.heads.len(), "one list a head");
                for (head, slots) in self.heads.iter_mut().zip(&slots) {
                    head.keep(pool, slots)?;
                }
                Ok(Some(slots))
            }
            Plan::DropChannels { channels, recent } => {
                assert_eq!(channels.len(), self.heads.len(), "one list a head");
                let heads = self.heads.iter_mut().zip(channels);
                let moves = heads.map(|(head, channels)| head.drop_channels(pool, channels, recent));
                Ok(Some(moves.collect::<Result<_, _>>()?))
            }
            Plan::Rerotate { slots, delta } => {
                assert_eq!(slots.len(), self.heads.len(), "one list a head");
                let rotary = rotary.map(|r| Rotary::new(r.frequencies().to_vec(), r.style()));
                for (head, slots) in self.heads.iter_mut().zip(&slots) {
                    head.shift(pool, slots, delta, rotary.as_ref())?;
                }
                Ok(None)
            }
        }
    }

    /// Whether keys would have to be turned that have lost channels.
    pub(super) fn is_rigid(&self) -> bool {
        use kilobase_kernels::attention::KvView;
        self.key_form() == KeyForm::Rotated && self.heads.iter().any(|head| head.pruned_slots() > 0)
    }
}

impl HeadCache {
    /// # Panics
    /// If the slots are not ascending or not there.
    fn keep(&mut self, pool: &PagePool, slots: &[usize]) -> Result<(), CacheError> {
        assert!(slots.is_sorted_by(|a, b| a < b), "slots to keep are ascending");
        assert!(slots.last().is_none_or(|&last| last < self.positions.len()), "slots to keep are there");
        let first = self.pruned_slots();
        let old = slots.partition_point(|&slot| slot < first);
        if let Some(pruned) = &mut self.pruned {
            pruned.keys.gather(pool, &slots[..old])?;
        }
        let new: Vec<usize> = slots[old..].iter().map(|slot| slot - first).collect();
        self.keys.gather(pool, &new)?;
        self.values.gather(pool, slots)?;
        self.positions = slots.iter().map(|&slot| self.positions[slot]).collect();
        Ok(())
    }

    /// Returns where each slot came from.
    fn drop_channels(
        &mut self,
        pool: &PagePool,
        channels: Vec<u32>,
        recent: usize,
    ) -> Result<Vec<usize>, CacheError> {
        let first = self.pruned_slots();
        let mut by_age: Vec<usize> = (0..self.positions.len()).collect();
        by_age.sort_by_key(|&slot| self.positions[slot]);
        by_age.truncate(by_age.len().saturating_sub(recent));
        let mut pruning: Vec<usize> = by_age.into_iter().filter(|&slot| slot >= first).collect();
        pruning.sort_unstable();
        let pruned = self
            .pruned
            .get_or_insert_with(|| PrunedKeys { keys: self.keys.narrow(channels.len()), channels });
        let mut row = vec![0.0; self.keys.dim()];
        for &slot in &pruning {
            self.keys.read(slot - first..slot - first + 1, &mut row);
            let short: Vec<f32> = pruned.channels.iter().map(|&channel| row[channel as usize]).collect();
            pruned.keys.push(pool, &short)?;
        }
        let rest: Vec<usize> =
            (first..self.positions.len()).filter(|slot| pruning.binary_search(slot).is_err()).collect();
        let keys: Vec<usize> = rest.iter().map(|slot| slot - first).collect();
        self.keys.gather(pool, &keys)?;
        let order: Vec<usize> = (0..first).chain(pruning).chain(rest).collect();
        self.values.gather(pool, &order)?;
        self.positions = order.iter().map(|&slot| self.positions[slot]).collect();
        Ok(order)
    }

    /// Moves slots by `delta` positions. The rotation must not scale.
    fn shift(
        &mut self,
        pool: &PagePool,
        slots: &[usize],
        delta: i64,
        rotary: Option<&Rotary>,
    ) -> Result<(), CacheError> {
        let mut moved = vec![false; self.positions.len()];
        for &slot in slots {
            moved[slot] = true;
            let position = i64::from(self.positions[slot]) + delta;
            self.positions[slot] = u32::try_from(position).map_err(|_| EditError::TooLong)?;
        }
        let Some(rotary) = rotary.filter(|_| delta != 0) else { return Ok(()) };
        let first = self.pruned_slots();
        if moved[..first].contains(&true) {
            return Err(EditError::Pruned.into());
        }
        self.keys.rewrite(pool, |slot, key| {
            if moved[first + slot] {
                rotary.rotate(key, &[delta]);
            }
            moved[first + slot]
        })
    }
}
