//! ThinK (Xu et al. 2025): keys lose the channels that matter least to the scores.

use kilobase_kernels::attention::{Collect, KvView, Stats};
use kilobase_kernels::rotary::RopeStyle;

use super::{CachePolicy, INTERVAL, Kind, Needs, Settings, Step};
use crate::cache::Config;
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};
use crate::cache::plan::Plan;

/// Channel pruning of keys. Channels are chosen once for each layer, when its first plan is due; later keys lose
/// theirs as they grow old. Values stay whole, so the cache shrinks by up to half of `ratio`.
#[derive(Clone, Debug)]
pub struct Think {
    /// Part of the channels that is dropped, 0.4 to 0.5 in the paper.
    pub ratio: f64,
    /// Queries at the end that decide, 32 in the paper.
    pub window: usize,
    /// Newest keys that keep all channels, 32 to 128 in the paper.
    pub recent: usize,
    /// Keys that grow old together: a multiple of the page wastes no memory.
    pub interval: usize,
    /// Keep both channels of a rotation pair or none: for raw keys that are rotated when they are read.
    pub pairs: Option<RopeStyle>,
    layers: Vec<Progress>,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    /// Chosen channels by head; empty before the first plan.
    channels: Vec<Vec<u32>>,
    /// Rows since the last plan.
    rows: u64,
}

impl Think {
    /// For a model of so many layers; channels are independent of each other.
    ///
    /// # Panics
    /// If `ratio` is not from 0 up to but not 1.
    pub fn new(layers: usize, ratio: f64, window: usize, recent: usize, interval: usize) -> Self {
        assert!((0.0..1.0).contains(&ratio), "some channels stay");
        Self { ratio, window, recent, interval, pairs: None, layers: vec![Progress::default(); layers] }
    }
}

/// Mean over keys of each channel's square, `[key_dim]`.
pub fn key_squares(view: &dyn KvView, head: usize) -> Vec<f32> {
    let (slots, dim) = (view.positions(head).len(), view.key_dim());
    let mut sums = vec![0.0_f64; dim];
    let mut key = vec![0.0; dim];
    for slot in 0..slots {
        view.keys(head, slot..slot + 1, &mut key);
        for (sum, number) in sums.iter_mut().zip(&key) {
            *sum += f64::from(number * number);
        }
    }
    sums.into_iter().map(|sum| (sum / slots.max(1) as f64) as f32).collect()
}

/// The `D - floor(ratio D)` channels of the largest product of both mean squares, ascending: the product is the
/// squared Frobenius norm of what the channel adds to the scores. With `pairs` the squares of a pair are added
/// first and pairs stay whole.
pub fn channels(
    query_squares: &[f32],
    key_squares: &[f32],
    ratio: f64,
    pairs: Option<RopeStyle>,
) -> Vec<u32> {
    let dim = query_squares.len();
    let dropped = (ratio * dim as f64).floor() as usize;
    let groups: Vec<Vec<usize>> = match pairs {
        None => (0..dim).map(|c| vec![c]).collect(),
        Some(RopeStyle::Half) => (0..dim / 2).map(|c| vec![c, c + dim / 2]).collect(),
        Some(RopeStyle::Interleaved) => (0..dim / 2).map(|c| vec![2 * c, 2 * c + 1]).collect(),
    };
    let sum = |squares: &[f32], group: &[usize]| group.iter().map(|&c| squares[c]).sum::<f32>();
    let scores: Vec<f32> = groups.iter().map(|g| sum(query_squares, g) * sum(key_squares, g)).collect();
    let ranks: Vec<u32> = (0..groups.len() as u32).collect();
    let size = if pairs.is_some() { 2 } else { 1 };
    let kept = groups.len() - dropped / size;
    let best = super::rank::top(&scores, &ranks, (0..groups.len()).collect(), kept);
    let mut channels: Vec<u32> = best.iter().flat_map(|&g| groups[g].iter().map(|&c| c as u32)).collect();
    channels.sort_unstable();
    channels
}

impl CachePolicy for Think {
    fn name(&self) -> String {
        let Self { ratio, window, recent, interval, pairs, .. } = self;
        format!(
            "think without {ratio} by {window} queries, {recent} recent, every {interval}, pairs {pairs:?}"
        )
    }

    fn needs(&self) -> Needs {
        Needs {
            stats: Some(Collect::QuerySquares { last: self.window }),
            causal_only: false,
            ..Needs::new(Kind::Transform)
        }
    }

    fn narrowed(&self, slots: usize, key_dim: usize) -> (usize, usize) {
        let pairs = if self.pairs.is_some() { 2 } else { 1 };
        let dropped = (self.ratio * key_dim as f64).floor() as usize / pairs * pairs;
        let old = if slots >= self.recent + self.interval { slots - self.recent } else { 0 };
        (old, key_dim - dropped)
    }

    fn on_append(&mut self, layer: usize, _view: &dyn KvView, rows: usize) {
        let progress = &mut self.layers[layer];
        progress.rows = progress.rows.saturating_add(rows as u64);
    }

    fn due(&self, layer: usize, step: Step) -> bool {
        step.slots >= self.recent + self.interval && self.layers[layer].rows >= self.interval as u64
    }

    fn plan(&mut self, layer: usize, _step: Step, view: &dyn KvView, stats: &Stats) -> Plan {
        let progress = &mut self.layers[layer];
        progress.rows = 0;
        if progress.channels.is_empty() {
            let heads = stats.query_squares.iter().enumerate();
            progress.channels = heads
                .map(|(head, squares)| channels(squares, &key_squares(view, head), self.ratio, self.pairs))
                .collect();
        }
        Plan::DropChannels { channels: progress.channels.clone(), recent: self.recent }
    }

    fn save(&self, out: &mut Encoder<'_>) {
        for progress in &self.layers {
            out.u64(progress.rows);
            out.u32(progress.channels.len() as u32);
            progress.channels.iter().for_each(|channels| out.u32s(channels));
        }
    }

    fn load(&mut self, input: &mut Decoder<'_>, config: &Config) -> Result<(), FileFault> {
        for progress in &mut self.layers {
            progress.rows = input.u64()?;
            progress.channels = (0..input.u32()?).map(|_| input.u32s()).collect::<Result<Vec<_>, _>>()?;
            let valid = |channels: &Vec<u32>| {
                channels.is_sorted_by(|a, b| a < b)
                    && channels.last().is_some_and(|&last| (last as usize) < config.key_dim)
            };
            let heads = progress.channels.len();
            if heads != 0 && heads != config.kv_heads || !progress.channels.iter().all(valid) {
                return Err(FileFault::Corrupt("a list of channels"));
            }
        }
        Ok(())
    }
}

/// Half of the channels by 32 queries; the newest `budget` keys keep all.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    Box::new(Think::new(settings.layers, 0.5, 32, settings.budget, INTERVAL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_products_go() {
        let (q, k) = ([1.0, 4.0, 2.0, 1.0, 1.0], [1.0, 1.0, 3.0, 9.0, 0.5]);
        assert_eq!(channels(&q, &k, 0.5, None), [1, 2, 3]);
        assert_eq!(channels(&q, &k, 0.0, None), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn pairs_stay_whole() {
        let (q, k) = ([1.0, 1.0, 9.0, 1.0], [1.0, 2.0, 1.0, 2.0]);
        assert_eq!(channels(&q, &k, 0.5, Some(RopeStyle::Half)), [0, 2]);
        assert_eq!(channels(&q, &k, 0.5, Some(RopeStyle::Interleaved)), [2, 3]);
        assert_eq!(channels(&q, &k, 0.25, Some(RopeStyle::Half)), [0, 1, 2, 3]);
    }
}
