//! KVCrush (Jha et al. 2025): part of an evictor's budget goes to slots that represent those that are dropped.
//!
//! The heads vote: a bit for each head says whether a slot is in the upper half of its scores. Dropped slots are
//! sorted by the Hamming distance of these bits from an anchor, and every n-th of them is kept after all.

use std::collections::BTreeSet;

use kilobase_kernels::attention::{KvView, Stats};

use super::budget::LayerBudgets;
use super::evict::{Retention, Scorer};
use super::h2o::{HeavyHitters, Normalize};
use super::{CachePolicy, Granularity, INTERVAL, Kind, Needs, SINKS, Settings, Step, random, rank};
use crate::cache::Config;
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};
use crate::cache::plan::Plan;

/// What signatures are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Bits drawn with a seed.
    Random(u64),
    /// No bit set.
    Zeros,
    /// All bits set.
    Ones,
    /// The bits that more than half of the signatures have set.
    Mean,
    /// Every second bit, beginning with the second.
    Alternate,
}

/// How much of the budget represents, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crush {
    /// Slots that stay or go together: 1, or a page.
    pub unit: usize,
    /// Part of the evictable budget that goes to representatives.
    pub ratio: f64,
    /// What signatures are compared with.
    pub anchor: Anchor,
}

/// What was chosen among evictable units. A unit is named by its rank in the order of positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Distance of each unit's signature from the anchor.
    pub hamming: Vec<u32>,
    /// Units that stay for their scores, ascending.
    pub important: Vec<usize>,
    /// Units that stay for others, ascending.
    pub representatives: Vec<usize>,
}

impl Crush {
    /// Chooses `budget` units. `scores` are `[heads][slots]` of the evictable slots in the order of positions, whole
    /// units. A unit's importance is the sum over its slots of the mean over heads.
    ///
    /// # Panics
    /// If a unit has no slots, or heads differ in their number of slots.
    pub fn choose(&self, scores: &[Vec<f32>], budget: usize) -> Choice {
        let slots = scores.first().map_or(0, Vec::len);
        assert!(scores.iter().all(|head| head.len() == slots), "all heads have the same slots");
        let units: Vec<u32> = (0..(slots / self.unit) as u32).collect();
        let signatures = self.signatures(scores, units.len());
        let anchor = self.anchor(&signatures, self.unit * scores.len());
        let hamming: Vec<u32> = signatures.iter().map(|signature| distance(signature, &anchor)).collect();

        let budget = budget.min(units.len());
        let representing = (self.ratio * budget as f64).floor() as usize;
        let importance: Vec<f32> = (0..units.len())
            .map(|unit| {
                let slots = unit * self.unit..(unit + 1) * self.unit;
                slots.map(|slot| scores.iter().map(|head| head[slot]).sum::<f32>()).sum()
            })
            .collect();
        let all = (0..units.len()).collect();
        let important = rank::top(&importance, &units, all, budget - representing);
        let mut rest: Vec<usize> =
            (0..units.len()).filter(|unit| important.binary_search(unit).is_err()).collect();
        rest.sort_by_key(|&unit| (hamming[unit], unit));
        let mut representatives = spread(&rest, representing);
        representatives.sort_unstable();
        Choice { hamming, important, representatives }
    }

    /// For each unit the bits of its slots one after the other, for each slot a bit a head.
    fn signatures(&self, scores: &[Vec<f32>], units: usize) -> Vec<Vec<u64>> {
        let bits = self.unit * scores.len();
        let slots = units * self.unit;
        let positions: Vec<u32> = (0..slots as u32).collect();
        let mut signatures = vec![vec![0; bits.div_ceil(64)]; units];
        for (head, scores) in scores.iter().enumerate() {
            for slot in rank::top(scores, &positions, (0..slots).collect(), slots / 2) {
                let bit = slot % self.unit * (bits / self.unit) + head;
                signatures[slot / self.unit][bit / 64] |= 1 << (bit % 64);
            }
        }
        signatures
    }

    fn anchor(&self, signatures: &[Vec<u64>], bits: usize) -> Vec<u64> {
        let is_set = |bit: usize| match self.anchor {
            Anchor::Zeros => false,
            Anchor::Ones => true,
            Anchor::Alternate => bit % 2 == 1,
            Anchor::Random(seed) => random::mix(random::mix(seed) ^ bit as u64) & 1 == 1,
            Anchor::Mean => {
                let set = signatures.iter().filter(|words| words[bit / 64] >> (bit % 64) & 1 == 1).count();
                2 * set > signatures.len()
            }
        };
        let mut words = vec![0; bits.div_ceil(64)];
        for bit in (0..bits).filter(|&bit| is_set(bit)) {
            words[bit / 64] |= 1 << (bit % 64);
        }
        words
    }
}

fn distance(a: &[u64], b: &[u64]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// `count` of a list at equal strides, both ends included.
fn spread(list: &[usize], count: usize) -> Vec<usize> {
    (0..count.min(list.len())).map(|i| list[i * (list.len() - 1) / (count - 1).max(1)]).collect()
}

/// Decorates an evictor's scores. The same slots stay in all heads.
#[derive(Clone, Debug)]
pub struct KvCrush<S> {
    /// What the scores are.
    pub scorer: S,
    /// How much stays.
    pub retention: Retention,
    /// How much of it represents.
    pub crush: Crush,
}

impl<S: Scorer> KvCrush<S> {
    /// The `budget` slots that stay, as ranks in the order of positions. `scores` are `[heads][slots]`; scores and
    /// `positions` are in that order already.
    pub fn keep(&self, scores: &[Vec<f32>], positions: &[u32], budget: usize) -> BTreeSet<usize> {
        let Retention { sinks, recent, .. } = self.retention;
        let (forced, mut evictable) = rank::forced(positions, budget, sinks, recent);
        let mut kept: BTreeSet<usize> = forced.into_iter().collect();
        // The newest slots that fill no unit stay with the recent ones, as far as the budget goes.
        let whole = evictable.len() / self.crush.unit * self.crush.unit;
        let odd = evictable.split_off(whole);
        kept.extend(odd.into_iter().rev().take(budget - kept.len()));
        let scores: Vec<Vec<f32>> =
            scores.iter().map(|head| evictable.iter().map(|&slot| head[slot]).collect()).collect();
        let choice = self.crush.choose(&scores, (budget - kept.len()) / self.crush.unit);
        for unit in choice.important.into_iter().chain(choice.representatives) {
            kept.extend(&evictable[unit * self.crush.unit..(unit + 1) * self.crush.unit]);
        }
        kept
    }
}

impl<S: Scorer> CachePolicy for KvCrush<S> {
    fn name(&self) -> String {
        format!("kvcrush {:?} of {} {:?}", self.crush, self.scorer.name(), self.retention)
    }

    fn needs(&self) -> Needs {
        Needs { stats: self.scorer.stats(), granularity: Granularity::Shared, ..Needs::new(Kind::Evict) }
    }

    fn due(&self, layer: usize, step: Step) -> bool {
        self.scorer.every_step() || self.retention.is_over(layer, step)
    }

    fn plan(&mut self, layer: usize, step: Step, view: &dyn KvView, stats: &Stats) -> Plan {
        let scores = self.scorer.scores(layer, view, stats);
        if !self.retention.is_over(layer, step) {
            return Plan::Noop;
        }
        let orders: Vec<Vec<usize>> =
            (0..view.heads()).map(|head| rank::by_position(view.positions(head))).collect();
        let sorted: Vec<Vec<f32>> = scores
            .iter()
            .zip(&orders)
            .map(|(scores, order)| order.iter().map(|&slot| scores[slot]).collect())
            .collect();
        let positions: Vec<u32> = orders[0].iter().map(|&slot| view.positions(0)[slot]).collect();
        let kept = self.keep(&sorted, &positions, self.retention.budgets.slots(layer, step.length));
        let slots = |order: &Vec<usize>| {
            let mut slots: Vec<usize> = kept.iter().map(|&rank| order[rank]).collect();
            slots.sort_unstable();
            slots
        };
        Plan::Keep(orders.iter().map(slots).collect())
    }

    fn kept(&self, layer: usize, slots: usize, length: u32) -> usize {
        slots.min(self.retention.budgets.slots(layer, length))
    }

    fn on_move(&mut self, layer: usize, _view: &dyn KvView, moves: &[Vec<usize>]) {
        self.scorer.on_move(layer, moves);
    }

    fn save(&self, out: &mut Encoder<'_>) {
        self.scorer.save(out);
    }

    fn load(&mut self, input: &mut Decoder<'_>, config: &Config) -> Result<(), FileFault> {
        self.scorer.load(input, config)
    }
}

fn usual(settings: &Settings, unit: usize) -> Box<dyn CachePolicy> {
    let budget = settings.budget as u32;
    Box::new(KvCrush {
        scorer: HeavyHitters::new(settings.layers, Normalize::Count),
        retention: Retention {
            budgets: LayerBudgets::Uniform(settings.budget),
            sinks: SINKS.min(budget / 4),
            recent: budget / 4,
            interval: INTERVAL,
        },
        crush: Crush { unit, ratio: 0.25, anchor: Anchor::Mean },
    })
}

/// H2O's scores, a quarter of the budget recent, a quarter of the rest for representatives, anchored at the mean.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    usual(settings, 1)
}

/// The same by units of 16 slots, fewer where the budget holds less than eight of them.
pub fn build_paged(settings: &Settings) -> Box<dyn CachePolicy> {
    usual(settings, (settings.budget / 8).clamp(1, 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(heads: usize, slots: usize) -> Vec<Vec<f32>> {
        let draw = |i: usize| (random::mix(i as u64) >> 40) as f32;
        (0..heads).map(|h| (0..slots).map(|s| draw(h * slots + s)).collect()).collect()
    }

    #[test]
    fn budgets_are_exact_and_the_two_sets_disjoint() {
        for (anchor, unit) in [
            (Anchor::Mean, 1),
            (Anchor::Zeros, 3),
            (Anchor::Ones, 2),
            (Anchor::Alternate, 1),
            (Anchor::Random(5), 4),
        ] {
            let crush = Crush { unit, ratio: 0.4, anchor };
            let choice = crush.choose(&noise(70, 120), 20);
            let both: BTreeSet<usize> =
                choice.important.iter().chain(&choice.representatives).copied().collect();
            assert_eq!((choice.important.len(), choice.representatives.len(), both.len()), (12, 8, 20));
        }
    }

    #[test]
    fn without_representatives_it_is_the_host() {
        let scores = noise(3, 50);
        let crush = Crush { unit: 1, ratio: 0.0, anchor: Anchor::Mean };
        let mean: Vec<f32> = (0..50).map(|j| scores.iter().map(|head| head[j]).sum()).collect();
        let positions: Vec<u32> = (0..50).collect();
        let host = rank::top(&mean, &positions, (0..50).collect(), 10);
        assert_eq!(crush.choose(&scores, 10).important, host);
    }

    #[test]
    fn as_many_units_as_there_are() {
        let crush = Crush { unit: 1, ratio: 0.5, anchor: Anchor::Ones };
        let choice = crush.choose(&noise(2, 5), 9);
        assert_eq!(choice.important.len() + choice.representatives.len(), 5);
    }
}
