//! What one layer remembers: representatives of its blocks, and how well later keys are liked so far.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use kilobase_kernels::attention::{Heads, KvView};
use kilobase_kernels::rotary::Rotary;

use super::Sizes;
use crate::cache::Config;
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};
use crate::cache::policy::rank;

/// Queries that wait until so many can be scored together: keys are rotated once for all of them.
const TOGETHER: usize = 64;

/// The block memory of one layer.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// Ascending.
    blocks: Vec<Block>,
    /// Blocks before this one are closed.
    closed: u32,
    /// Keys that are in no closed block, by position.
    liked: BTreeMap<u32, Liked>,
    /// Queries that `liked` does not count yet, `[rows, query heads, key_dim]`, and their positions.
    waiting: Vec<f32>,
    positions: Vec<u32>,
}

/// A block that has left every window.
#[derive(Clone, Debug)]
pub struct Block {
    /// It begins at `init + number * block`.
    pub number: u32,
    /// `[query heads, key_dim]`: the mean of the representative raw keys.
    pub means: Vec<f32>,
    /// `[query heads][representatives]`: positions of those keys.
    pub picks: Vec<u32>,
}

/// How the queries in whose window a key fell scored it.
#[derive(Clone, Debug, Default)]
struct Liked {
    queries: u32,
    /// Sum of the scores by query head.
    scores: Vec<f64>,
}

impl Memory {
    /// The closed blocks.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Remembers what a chunk of queries thinks of the keys within whose window it falls.
    pub fn observe(
        &mut self,
        sizes: &Sizes,
        q: Heads<'_>,
        positions: &[u32],
        view: &dyn KvView,
        rotary: Option<&Rotary>,
    ) {
        for row in 0..q.rows {
            (0..q.heads).for_each(|head| self.waiting.extend_from_slice(q.row(row, head)));
        }
        self.positions.extend_from_slice(positions);
        if self.positions.len() >= TOGETHER {
            self.count(sizes, q.heads, view, rotary);
        }
    }

    /// Counts the waiting queries: a key's score is the sum of the rotated queries after it times the rotated key.
    fn count(&mut self, sizes: &Sizes, heads: usize, view: &dyn KvView, rotary: Option<&Rotary>) {
        let positions = std::mem::take(&mut self.positions);
        let waiting = std::mem::take(&mut self.waiting);
        let dim = view.key_dim();
        let q = Heads::contiguous(&waiting, positions.len(), heads, dim);
        let order = rank::by_position(&positions);
        let sorted: Vec<u32> = order.iter().map(|&row| positions[row]).collect();
        let reach = |key: u32| {
            let first = sorted.partition_point(|&p| p <= key);
            let end = sorted.partition_point(|&p| u64::from(p) < u64::from(key) + u64::from(sizes.local));
            first..end.max(first)
        };
        let start = sizes.start(self.closed);
        let group = heads / view.heads();
        for kv_head in 0..view.heads() {
            let wanted = |position: u32| position >= start && !reach(position).is_empty();
            let (places, keys) = rotated_keys(view, kv_head, rotary, wanted);
            for head in kv_head * group..(kv_head + 1) * group {
                let sums = running_sums(q, head, &order, &sorted, rotary);
                for (&position, key) in places.iter().zip(keys.chunks_exact(dim)) {
                    let rows = reach(position);
                    let (from, to) = (&sums[rows.start * dim..], &sums[rows.end * dim..]);
                    let score: f64 = (0..dim).map(|c| (to[c] - from[c]) * f64::from(key[c])).sum();
                    let liked = self.liked.entry(position).or_default();
                    liked.scores.resize(heads, 0.0);
                    liked.scores[head] += score;
                    if head == 0 {
                        liked.queries = liked.queries.saturating_add(rows.len() as u32);
                    }
                }
            }
        }
    }

    /// Represents all blocks before `blocks`: their keys have left every window.
    pub fn close(
        &mut self,
        sizes: &Sizes,
        blocks: u32,
        heads: usize,
        view: &dyn KvView,
        rotary: Option<&Rotary>,
    ) {
        if blocks <= self.closed {
            return;
        }
        self.count(sizes, heads, view, rotary);
        let new = sizes.start(self.closed)..sizes.start(blocks);
        let positions = view.positions(0).iter();
        let numbers: BTreeSet<u32> = positions
            .filter(|position| new.contains(position) && **position >= sizes.init)
            .map(|position| (position - sizes.init) / sizes.block)
            .collect();
        for number in numbers {
            let first = sizes.init + number * sizes.block;
            let mut block = Block { number, means: Vec::new(), picks: Vec::new() };
            for head in 0..heads {
                self.represent(
                    sizes,
                    first..first.saturating_add(sizes.block),
                    head,
                    head / (heads / view.heads()),
                    view,
                    &mut block,
                );
            }
            self.blocks.push(block);
        }
        self.closed = blocks;
        self.liked = self.liked.split_off(&new.end);
    }

    fn represent(
        &self,
        sizes: &Sizes,
        range: Range<u32>,
        head: usize,
        kv_head: usize,
        view: &dyn KvView,
        block: &mut Block,
    ) {
        let positions = view.positions(kv_head);
        let slots: Vec<usize> =
            (0..positions.len()).filter(|&slot| range.contains(&positions[slot])).collect();
        let places: Vec<u32> = slots.iter().map(|&slot| positions[slot]).collect();
        let mean_score = |position: &u32| match self.liked.get(position) {
            Some(liked) => (liked.scores[head] / f64::from(liked.queries.max(1))) as f32,
            None => 0.0,
        };
        let scores: Vec<f32> = places.iter().map(mean_score).collect();
        let mut best = rank::top(&scores, &places, (0..slots.len()).collect(), sizes.representatives);
        best.sort_unstable_by_key(|&i| places[i]);
        let first = block.means.len();
        block.means.resize(first + view.key_dim(), 0.0);
        let mut key = vec![0.0; view.key_dim()];
        for &i in &best {
            view.keys(kv_head, slots[i]..slots[i] + 1, &mut key);
            let mean = block.means[first..].iter_mut();
            mean.zip(&key).for_each(|(mean, number)| *mean += number / best.len() as f32);
            block.picks.push(places[i]);
        }
    }

    /// Scores of the closed blocks for a chunk of queries: the sum over query heads of the mean query, rotated by the
    /// capped distance, times the representative.
    pub fn scores(&self, q: Heads<'_>, cap: u32, rotary: Option<&Rotary>) -> Vec<f32> {
        let mut mean = vec![0.0; q.heads * q.dim];
        for (head, mean) in mean.chunks_exact_mut(q.dim).enumerate() {
            for row in 0..q.rows {
                mean.iter_mut().zip(q.row(row, head)).for_each(|(mean, x)| *mean += x / q.rows as f32);
            }
            if let Some(rotary) = rotary {
                rotary.rotate(mean, &[i64::from(cap)]);
            }
        }
        let score = |block: &Block| {
            let products = block.means.iter().zip(&mean).map(|(k, q)| f64::from(*k) * f64::from(*q));
            products.sum::<f64>() as f32
        };
        self.blocks.iter().map(score).collect()
    }

    /// Numbers of the blocks with the highest scores, ascending.
    pub fn look_up(&self, q: Heads<'_>, sizes: &Sizes, rotary: Option<&Rotary>) -> Vec<u32> {
        let numbers: Vec<u32> = self.blocks.iter().map(|block| block.number).collect();
        let all = (0..numbers.len()).collect();
        let best = rank::top(&self.scores(q, sizes.local, rotary), &numbers, all, sizes.top_k);
        best.into_iter().map(|i| numbers[i]).collect()
    }

    /// Forgets what stood at `end` and after it.
    pub(super) fn cut(&mut self, sizes: &Sizes, end: u32) {
        let blocks = end.saturating_sub(sizes.init) / sizes.block;
        self.blocks.retain(|block| block.number < blocks);
        self.closed = self.closed.min(blocks);
        self.liked.split_off(&end);
    }

    pub(super) fn save(&self, out: &mut Encoder<'_>) {
        out.u32(self.closed);
        out.u64(self.blocks.len() as u64);
        for block in &self.blocks {
            out.u32(block.number);
            out.f32s(&block.means);
            out.u32s(&block.picks);
        }
        out.u64(self.liked.len() as u64);
        for (position, liked) in &self.liked {
            out.u32(*position);
            out.u32(liked.queries);
            out.f64s(&liked.scores);
        }
        out.f32s(&self.waiting);
        out.u32s(&self.positions);
    }

    pub(super) fn load(&mut self, input: &mut Decoder<'_>, config: &Config) -> Result<(), FileFault> {
        let (heads, dim) = (config.query_heads, config.key_dim);
        *self = Self { closed: input.u32()?, ..Self::default() };
        for _ in 0..input.u64()? {
            let block = Block { number: input.u32()?, means: input.f32s()?, picks: input.u32s()? };
            if block.means.len() != heads * dim || block.number >= self.closed {
                return Err(FileFault::Corrupt("a block of the memory"));
            }
            self.blocks.push(block);
        }
        for _ in 0..input.u64()? {
            let position = input.u32()?;
            let liked = Liked { queries: input.u32()?, scores: input.f64s()? };
            if liked.scores.len() != heads {
                return Err(FileFault::Corrupt("a number of scores"));
            }
            self.liked.insert(position, liked);
        }
        self.waiting = input.f32s()?;
        self.positions = input.u32s()?;
        let sorted = self.blocks.is_sorted_by(|a, b| a.number < b.number);
        if !sorted || self.waiting.len() != self.positions.len() * heads * dim {
            return Err(FileFault::Corrupt("a list of the memory"));
        }
        Ok(())
    }
}

/// Positions and keys of the wanted slots of a head, rotated.
fn rotated_keys(
    view: &dyn KvView,
    kv_head: usize,
    rotary: Option<&Rotary>,
    wanted: impl Fn(u32) -> bool,
) -> (Vec<u32>, Vec<f32>) {
    let dim = view.key_dim();
    let slots = view.positions(kv_head).iter().copied().enumerate();
    let (slots, places): (Vec<usize>, Vec<u32>) = slots.filter(|(_, position)| wanted(*position)).unzip();
    let mut keys = vec![0.0; slots.len() * dim];
    for (&slot, key) in slots.iter().zip(keys.chunks_exact_mut(dim)) {
        view.keys(kv_head, slot..slot + 1, key);
    }
    if let Some(rotary) = rotary {
        let places: Vec<i64> = places.iter().map(|&position| i64::from(position)).collect();
        rotary.rotate(&mut keys, &places);
    }
    (places, keys)
}

/// `[rows + 1, dim]`: sums of the rotated queries of a head before each row, in the order of positions.
fn running_sums(
    q: Heads<'_>,
    head: usize,
    order: &[usize],
    positions: &[u32],
    rotary: Option<&Rotary>,
) -> Vec<f64> {
    let mut rows: Vec<f32> = order.iter().flat_map(|&row| q.row(row, head)).copied().collect();
    if let Some(rotary) = rotary {
        let positions: Vec<i64> = positions.iter().map(|&position| i64::from(position)).collect();
        rotary.rotate(&mut rows, &positions);
    }
    let mut sums = vec![0.0; q.dim];
    for (i, x) in rows.iter().enumerate() {
        sums.push(sums[i] + f64::from(*x));
    }
    sums
}
