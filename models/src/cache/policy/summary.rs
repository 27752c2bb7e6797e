//! Short descriptions of the keys of each head, by which some policies choose.

use std::fmt::Debug;

use kilobase_kernels::attention::KvView;
use rayon::prelude::*;

use super::tokens::Tokens;
use crate::cache::Config;
use crate::cache::error::FileFault;
use crate::cache::file::{Decoder, Encoder};

/// A description of keys in the order of their positions, which grows with them.
pub(super) trait Summary: Clone + Debug + Send + Sync {
    /// Tokens are taken so many at a time.
    fn stride(&self) -> usize {
        1
    }

    /// Takes the next keys, `[tokens, dim]`.
    fn append(&mut self, keys: &[f32]);

    fn save(&self, out: &mut Encoder<'_>);

    /// Fills an empty one with what describes so many tokens.
    fn load(&mut self, input: &mut Decoder<'_>, tokens: usize) -> Result<(), FileFault>;
}

/// Those of all layers and heads.
#[derive(Clone, Debug)]
pub(super) struct Summaries<S> {
    layers: Vec<Vec<Described<S>>>,
}

/// The summary of one head.
#[derive(Clone, Debug)]
struct Described<S> {
    summary: S,
    /// How many tokens it describes, and the position of the last.
    tokens: usize,
    last: u32,
}

impl<S: Summary> Summaries<S> {
    pub(super) fn new(layers: usize) -> Self {
        Self { layers: vec![Vec::new(); layers] }
    }

    pub(super) fn get(&self, layer: usize, head: usize) -> Option<&S> {
        self.layers[layer].get(head).map(|described| &described.summary)
    }

    /// Forgets a layer, whose keys have changed; [`Summaries::follow`] reads them all again.
    pub(super) fn forget(&mut self, layer: usize) {
        self.layers[layer].clear();
    }

    /// Describes the keys that are new. Where some lie before those that are described, all are read again.
    pub(super) fn follow(&mut self, layer: usize, view: &dyn KvView, empty: impl Fn(usize) -> S + Sync) {
        let empty = || Described { summary: empty(view.key_dim()), tokens: 0, last: 0 };
        let heads = &mut self.layers[layer];
        heads.resize_with(view.heads(), empty);
        heads.par_iter_mut().enumerate().for_each(|(head, described)| {
            let tokens = Tokens::of(view, head);
            let last = described.tokens.checked_sub(1).map(|last| tokens.positions.get(last));
            if last.is_some_and(|last| last != Some(&described.last)) {
                *described = empty();
            }
            let stride = described.summary.stride();
            let new = described.tokens..tokens.len() / stride * stride;
            if !new.is_empty() {
                (described.tokens, described.last) = (new.end, tokens.positions[new.end - 1]);
                described.summary.append(&tokens.keys(view, head, new));
            }
        });
    }

    pub(super) fn save(&self, out: &mut Encoder<'_>) {
        for heads in &self.layers {
            out.u32(heads.len() as u32);
            for described in heads {
                out.u64(described.tokens as u64);
                out.u32(described.last);
                described.summary.save(out);
            }
        }
    }

    pub(super) fn load(
        &mut self,
        input: &mut Decoder<'_>,
        config: &Config,
        empty: impl Fn(usize) -> S,
    ) -> Result<(), FileFault> {
        for heads in &mut self.layers {
            heads.clear();
            let count = input.u32()? as usize;
            if count != 0 && count != config.kv_heads {
                return Err(FileFault::Corrupt("a number of heads"));
            }
            for _ in 0..count {
                let (tokens, last) = (input.u64()? as usize, input.u32()?);
                let mut summary = empty(config.key_dim);
                summary.load(input, tokens)?;
                heads.push(Described { summary, tokens, last });
            }
        }
        Ok(())
    }
}
