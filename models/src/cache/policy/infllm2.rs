//! InfLLM-V2 (Zhao et al. 2025): every query reads the first blocks of keys, the last, and those whose stretches it
//! attends to most. See [`select::infllm2`](crate::cache::select::infllm2).

use kilobase_kernels::attention::{KeyForm, KvView, Selection};

use super::summary::{Summaries, Summary};
use super::tokens::select;
use super::{CachePolicy, Kind, Needs, Queries, Settings};
use crate::cache::Config;
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};
use crate::cache::select::infllm2::{InfLlmV2, Units};

/// The choice, and the means of short stretches of all layers' keys.
#[derive(Clone, Debug)]
pub struct Policy {
    choice: InfLlmV2,
    units: Summaries<Units>,
}

impl Policy {
    /// For a model of so many layers.
    ///
    /// # Panics
    /// If a block is not a multiple of 4 tokens.
    pub fn new(layers: usize, choice: InfLlmV2) -> Self {
        assert!(choice.block > 0 && choice.block.is_multiple_of(4), "a block of {} tokens", choice.block);
        Self { choice, units: Summaries::new(layers) }
    }
}

impl CachePolicy for Policy {
    fn name(&self) -> String {
        format!("{:?}", self.choice)
    }

    fn needs(&self) -> Needs {
        Needs { key_form: Some(KeyForm::Rotated), ..Needs::new(Kind::Select) }
    }

    fn on_append(&mut self, layer: usize, view: &dyn KvView, _rows: usize) {
        self.units.follow(layer, view, |dim| Units::new(self.choice.block, dim));
    }

    fn select(&mut self, layer: usize, queries: Queries<'_>, view: &dyn KvView) -> Option<Selection> {
        select(queries, view, 1, self.choice.dense, |group| match self.units.get(layer, group.head) {
            Some(units) => self.choice.select(&group.queries, group.seen.end - 1, units, group.scale),
            None => group.all(),
        })
    }

    fn reads(&self, slots: usize) -> usize {
        let InfLlmV2 { block, init, local, topk, dense } = self.choice;
        if slots <= dense { slots } else { slots.min((init + local + topk) * block) }
    }

    fn on_move(&mut self, layer: usize, _view: &dyn KvView, _moves: &[Vec<usize>]) {
        self.units.forget(layer);
    }

    fn save(&self, out: &mut Encoder<'_>) {
        self.units.save(out);
    }

    fn load(&mut self, input: &mut Decoder<'_>, config: &Config) -> Result<(), FileFault> {
        self.units.load(input, config, |dim| Units::new(self.choice.block, dim))
    }
}

impl Summary for Units {
    fn append(&mut self, keys: &[f32]) {
        Units::append(self, keys);
    }

    fn save(&self, out: &mut Encoder<'_>) {
        Units::save(self, out);
    }

    fn load(&mut self, input: &mut Decoder<'_>, tokens: usize) -> Result<(), FileFault> {
        Units::load(self, input, tokens)
    }
}

/// An eighth of the budget is a block, at most 64 tokens; of the blocks that fit one is the first, a third the last.
pub fn build(settings: &Settings) -> Box<dyn CachePolicy> {
    let block = (settings.budget / 32 * 4).clamp(4, 64);
    let blocks = settings.budget / block;
    let (init, local) = (usize::from(blocks > 3), (blocks / 3).max(1));
    let topk = blocks.saturating_sub(init + local);
    let choice = InfLlmV2 { block, init, local, topk, dense: settings.budget };
    Box::new(Policy::new(settings.layers, choice))
}
