//! Heavy hitters (H2O, Zhang et al. 2023): slots that received the most attention so far.

use kilobase_kernels::attention::{Collect, KvView, Stats};

use super::budget::LayerBudgets;
use super::evict::{Evict, Retention, Scorer};
use super::{CachePolicy, INTERVAL, SINKS, Settings};
use crate::cache::Config;
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};

/// What the attention that a slot received is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalize {
    /// Nothing, as in the paper. In a long prompt early tokens win because more queries see them.
    None,
    /// The number of queries that could see the slot.
    Count,
}

/// The sum of attention that each slot received while it was there. A prompt in one call gives the paper's prefill
/// form, token by token its streaming form.
#[derive(Clone, Debug)]
pub struct HeavyHitters {
    /// What the sum is divided by.
    pub normalize: Normalize,
    layers: Vec<Received>,
}

/// `[kv heads][slots]`
#[derive(Clone, Debug, Default)]
struct Received {
    mass: Vec<Vec<f32>>,
    seen: Vec<Vec<u32>>,
}

impl HeavyHitters {
    /// For a model of so many layers.
    pub fn new(layers: usize, normalize: Normalize) -> Self {
        Self { normalize, layers: vec![Received::default(); layers] }
    }
}

impl Scorer for HeavyHitters {
    fn name(&self) -> String {
        format!("h2o normalized by {:?}", self.normalize)
    }

    fn stats(&self) -> Option<Collect> {
        Some(Collect::ColumnMass { last: None })
    }

    fn every_step(&self) -> bool {
        true
    }

    fn scores(&mut self, layer: usize, _view: &dyn KvView, stats: &Stats) -> Vec<Vec<f32>> {
        let received = &mut self.layers[layer];
        add(&mut received.mass, &stats.mass, |a, b| a + b);
        add(&mut received.seen, &stats.seen, u32::saturating_add);
        match self.normalize {
            Normalize::None => received.mass.clone(),
            Normalize::Count => {
                let heads = received.mass.iter().zip(&received.seen);
                let mean = |(mass, seen): (&f32, &u32)| mass / (*seen).max(1) as f32;
                heads.map(|(mass, seen)| mass.iter().zip(seen).map(mean).collect()).collect()
            }
        }
    }

    fn on_move(&mut self, layer: usize, moves: &[Vec<usize>]) {
        let received = &mut self.layers[layer];
        gather(&mut received.mass, moves);
        gather(&mut received.seen, moves);
    }

    fn save(&self, out: &mut Encoder<'_>) {
        for received in &self.layers {
            out.u32(received.mass.len() as u32);
            for (mass, seen) in received.mass.iter().zip(&received.seen) {
                out.f32s(mass);
                out.u32s(seen);
            }
        }
    }

    fn load(&mut self, input: &mut Decoder<'_>, config: &Config) -> Result<(), FileFault> {
        for received in &mut self.layers {
            *received = Received::default();
            let heads = input.u32()? as usize;
            if heads != 0 && heads != config.kv_heads {
                return Err(FileFault::Corrupt("a number of heads"));
            }
            for _ in 0..heads {
                received.mass.push(input.f32s()?);
                received.seen.push(input.u32s()?);
            }
        }
        Ok(())
    }
}

/// Adds what old and new slots received.
fn add<T: Copy + Default>(sums: &mut Vec<Vec<T>>, new: &[Vec<T>], plus: impl Fn(T, T) -> T) {
    sums.resize(new.len(), Vec::new());
    for (sums, new) in sums.iter_mut().zip(new) {
        sums.resize(new.len(), T::default());
        for (sum, new) in sums.iter_mut().zip(new) {
            *sum = plus(*sum, *new);
        }
    }
}

/// Lets the sums follow their slots.
fn gather<T: Copy + Default>(sums: &mut [Vec<T>], moves: &[Vec<usize>]) {
    for (sums, moves) in sums.iter_mut().zip(moves) {
        *sums = moves.iter().map(|&slot| sums.get(slot).copied().unwrap_or_default()).collect();
    }
}

/// Half of the budget recent, four sinks, normalised by count.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    let retention = Retention {
        budgets: LayerBudgets::Uniform(settings.budget),
        sinks: SINKS.min(settings.budget as u32 / 4),
        recent: settings.budget as u32 / 2,
        interval: INTERVAL,
    };
    Box::new(Evict { scorer: HeavyHitters::new(settings.layers, Normalize::Count), retention })
}
