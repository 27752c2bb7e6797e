//! InfLLM (Xiao et al. 2024): exact attention to what is near, and to a few far blocks that are looked up.
//!
//! Positions are cut into the first `init`, blocks of `block`, and the window of the last `local`. A chunk of queries
//! looks up `top_k` of the blocks that lie before the window of its first query and reads those, the first tokens, and
//! everything after the last such block. No distance counts as more than `local`.
//!
//! A block is represented, for each query head, by the mean of its `representatives` best raw keys; a key is good if
//! the queries within whose window it fell scored it high, at true distance.

use kilobase_kernels::attention::{AttnSpec, KeyForm, KvView, PosRule, Selection};
use kilobase_kernels::rotary::Rotary;

use super::lm_infinite::capped;
use super::{CachePolicy, Granularity, Kind, Needs, Queries, Settings};
use crate::cache::Config;
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};

mod memory;

pub use memory::{Block, Memory};

/// Sizes of the method, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// First tokens, always read; 128 in the paper.
    pub init: u32,
    /// Tokens of a block; 128 in the paper.
    pub block: u32,
    /// Tokens of the window; 4096 in the paper.
    pub local: u32,
    /// Blocks that are looked up; 16 in the paper.
    pub top_k: usize,
    /// Keys that represent a block; 4 in the paper.
    pub representatives: usize,
    /// Queries that look up together; 512 in the paper. A call of more rows is cut into chunks of this size.
    pub chunk: usize,
}

impl Sizes {
    /// Blocks that lie before the window of a query.
    pub fn blocks_before(&self, position: u32) -> u32 {
        let before = (u64::from(position) + 1).saturating_sub(u64::from(self.local) + u64::from(self.init));
        before as u32 / self.block
    }

    /// First position that is in none of the first `closed` blocks.
    fn start(&self, closed: u32) -> u32 {
        if closed == 0 { 0 } else { self.init.saturating_add(closed.saturating_mul(self.block)) }
    }
}

/// The block memory of all layers. Queries of a chunk that were taken back by a truncation still count in the choice
/// of representatives.
#[derive(Clone, Debug)]
pub struct InfLlm {
    sizes: Sizes,
    layers: Vec<Memory>,
}

impl InfLlm {
    /// For a model of so many layers.
    ///
    /// # Panics
    /// If a block, the window or a chunk is empty.
    pub fn new(layers: usize, sizes: Sizes) -> Self {
        assert!(
            sizes.block > 0 && sizes.local > 0 && sizes.chunk > 0,
            "block, window and chunk hold something"
        );
        Self { sizes, layers: vec![Memory::default(); layers] }
    }
}

impl CachePolicy for InfLlm {
    fn name(&self) -> String {
        format!("infllm {:?}", self.sizes)
    }

    fn needs(&self) -> Needs {
        Needs {
            key_form: Some(KeyForm::Raw),
            granularity: Granularity::Shared,
            fixed_positions: true,
            ..Needs::new(Kind::Select)
        }
    }

    fn attention(&self, spec: AttnSpec) -> AttnSpec {
        capped(spec, self.sizes.local)
    }

    fn select(&mut self, layer: usize, queries: Queries<'_>, view: &dyn KvView) -> Option<Selection> {
        let sizes = self.sizes;
        let memory = &mut self.layers[layer];
        let rotary = rotary(queries.spec);
        let mut slots = vec![Vec::new(); view.heads()];
        for first in (0..queries.q.rows).step_by(sizes.chunk) {
            let rows = first..(first + sizes.chunk).min(queries.q.rows);
            let q = queries.q.slice(rows.clone());
            let positions = &queries.positions[rows];
            let blocks = sizes.blocks_before(positions.iter().copied().min().unwrap_or(0));
            memory.close(&sizes, blocks, q.heads, view, rotary);
            let selected = memory.look_up(q, &sizes, rotary);
            for (head, slots) in slots.iter_mut().enumerate() {
                slots.push(visible(&sizes, view.positions(head), blocks, &selected));
            }
            memory.observe(&sizes, q, positions, view, rotary);
        }
        Some(Selection { query_block: sizes.chunk, slots })
    }

    fn reads(&self, slots: usize) -> usize {
        let blocks = self.sizes.blocks_before(slots.saturating_sub(1) as u32);
        let looked_up = self.sizes.top_k.min(blocks as usize) * self.sizes.block as usize;
        let first = if blocks == 0 { 0 } else { self.sizes.init as usize };
        first + looked_up + slots - self.sizes.start(blocks) as usize
    }

    fn on_move(&mut self, layer: usize, view: &dyn KvView, _moves: &[Vec<usize>]) {
        let end = view.positions(0).iter().max().map_or(0, |last| last + 1);
        self.layers[layer].cut(&self.sizes, end);
    }

    fn save(&self, out: &mut Encoder<'_>) {
        self.layers.iter().for_each(|memory| memory.save(out));
    }

    fn load(&mut self, input: &mut Decoder<'_>, config: &Config) -> Result<(), FileFault> {
        self.layers.iter_mut().try_for_each(|memory| memory.load(input, config))
    }
}

/// Slots that are read when there are `blocks` blocks, as ascending ranges.
fn visible(sizes: &Sizes, positions: &[u32], blocks: u32, selected: &[u32]) -> Vec<std::ops::Range<usize>> {
    let is_visible = |position: u32| match position.checked_sub(sizes.init) {
        None => true,
        Some(offset) => {
            let block = offset / sizes.block;
            block >= blocks || selected.binary_search(&block).is_ok()
        }
    };
    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
    for (slot, _) in positions.iter().enumerate().filter(|(_, position)| is_visible(**position)) {
        match ranges.last_mut() {
            Some(range) if range.end == slot => range.end += 1,
            _ => ranges.push(slot..slot + 1),
        }
    }
    ranges
}

/// The rotation of a layer, if it has one.
pub(super) fn rotary(spec: &AttnSpec) -> Option<&Rotary> {
    match &spec.pos {
        PosRule::Rope { rotary, .. } => Some(rotary),
        _ => None,
    }
}

/// Half of the budget is the window, an eighth the first tokens, the rest blocks of a sixteenth of it, at most 128.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    let budget = settings.budget.max(16) as u32;
    let block = (budget / 16).min(128);
    let (local, init) = (budget / 2, budget / 8);
    let sizes = Sizes {
        init,
        block,
        local,
        top_k: ((budget - local - init) / block) as usize,
        representatives: 4,
        chunk: (budget as usize / 8).min(512),
    };
    Box::new(InfLlm::new(settings.layers, sizes))
}
