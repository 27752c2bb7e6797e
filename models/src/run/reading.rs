//! How a decoder reads sequences: short ones side by side, long ones chunk by chunk over a cache.

use super::Error;
use crate::cache::{KvCache, PagePool, Pipeline, Store};
use crate::family::generator::Generator;
use burn::tensor::Tensor;
use kilobase_data::batch::{PackedBatch, pack_by_budget};
use kilobase_data::tokenize::Encoding;
use std::ops::Range;

/// What a sequence is read as when it has more tokens than the context.
#[derive(Clone, Debug)]
pub enum Long {
    /// Windows of `context` tokens that start anew; of each counts what the one before it did not reach, after at least
    /// `overlap` tokens of context.
    Windows {
        /// Tokens that the windows share.
        overlap: usize,
    },
    /// One pass over a cache of key/value rows that a policy keeps small (or none does).
    Cache(Pipeline),
}

/// How sequences are read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The most tokens at once, the start token included.
    pub context: usize,
    /// What to do with longer sequences.
    pub long: Long,
    /// Numbers of the key/value cache, where there is one.
    pub store: Store,
    /// Tokens that go through the layers at once.
    pub chunk: usize,
}

/// Slots of a page of the cache.
pub(super) const PAGE: usize = 64;

/// What is wanted of each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Its state after a layer.
    State {
        /// 0 for the embeddings.
        layer: usize,
    },
    /// The last state of the token before it, which predicts it. The first token has none.
    Prediction,
}

/// States of tokens that follow each other in a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Index into the sequences given.
    pub(super) sequence: usize,
    /// The tokens.
    pub(super) tokens: Range<usize>,
    /// The row of the first of them; the others follow.
    pub(super) row: usize,
}

impl Reading {
    /// Whole sequences of any length, exactly.
    pub fn exact(chunk: usize) -> Self {
        Self { context: usize::MAX, long: Long::Cache(Pipeline::none()), store: Store::F32, chunk }
    }

    /// Refuses windows that make no progress.
    pub fn check(&self) -> Result<(), Error> {
        match self.long {
            Long::Windows { overlap } if self.context < overlap.saturating_add(2) => {
                Err(Error::Context { context: self.context, overlap })
            }
            _ => Ok(()),
        }
    }

    /// Whether a sequence goes through the layers whole, beside others.
    pub(super) fn is_packed(&self, tokens: usize) -> bool {
        tokens <= self.context.min(self.chunk)
    }

    /// Gives states of all tokens to `visit`, each token once, those of a sequence in their order. `start` is the token that
    /// sequences start with: each window has one of its own.
    ///
    /// States of an inner layer are computed without a cache, window by window: exact, and more memory.
    pub(super) fn read(
        &self,
        model: &Generator,
        encodings: &[Encoding],
        start: Option<u32>,
        wanted: Wanted,
        mut visit: impl FnMut(Tensor<2>, &[Piece]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.check()?;
        let (short, long): (Vec<usize>, Vec<usize>) =
            (0..encodings.len()).partition(|&i| self.is_packed(encodings[i].len()));
        let lengths: Vec<usize> = short.iter().map(|&i| encodings[i].len()).collect();
        let layer = wanted.layer().unwrap_or(model.layers());
        for members in pack_by_budget(&lengths, self.chunk) {
            let members: Vec<usize> = members.into_iter().map(|m| short[m]).collect();
            let batch = PackedBatch::from_encodings(members.iter().map(|&m| &encodings[m]));
            let pieces: Vec<Piece> = batch
                .spans()
                .zip(members)
                .map(|(span, sequence)| {
                    let first = wanted.ahead().min(span.len());
                    Piece { sequence, tokens: first..span.len(), row: span.start }
                })
                .collect();
            visit(model.state(&batch, layer), &pieces)?;
        }
        for index in long {
            self.read_long(model, &encodings[index], start, wanted, |states, mut piece| {
                piece.sequence = index;
                visit(states, &[piece])
            })?;
        }
        Ok(())
    }

    fn read_long(
        &self,
        model: &Generator,
        encoding: &Encoding,
        start: Option<u32>,
        wanted: Wanted,
        mut visit: impl FnMut(Tensor<2>, Piece) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let ids = &encoding.ids;
        let marks = usize::from(ids.first().copied() == start);
        let pool = PagePool::new(PAGE);
        for (read, counted) in self.windows(ids.len(), marks) {
            let fed = [&ids[..marks], &ids[read.clone()]].concat();
            // The first window has the start token of the sequence; that of the others is their own.
            let first = read.start - marks;
            let counted = if read.start == marks { 0..counted.end } else { counted };
            // What stands last predicts nothing that is there.
            let fed = &fed[..fed.len() - wanted.ahead()];
            let mut next = first + wanted.ahead();
            let mut give = |states: Tensor<2>, rows: usize| {
                let tokens = next.max(counted.start)..(next + rows).min(counted.end);
                let row = tokens.start - next;
                next += rows;
                if tokens.is_empty() {
                    return Ok(());
                }
                visit(states, Piece { sequence: 0, tokens, row })
            };
            if let Some(layer) = wanted.layer().filter(|&layer| layer < model.layers()) {
                self.check_inner(layer, model.layers())?;
                // Embeddings do not see each other.
                let rows = if layer == 0 { self.chunk } else { fed.len() };
                for chunk in fed.chunks(rows.max(1)) {
                    let batch = PackedBatch::new(chunk.to_vec(), None, vec![0, chunk.len()]);
                    let batch = batch.expect("borders made from the length");
                    give(model.state(&batch, layer), chunk.len())?;
                }
            } else {
                let mut cache = self.cache(model, &pool)?;
                for chunk in fed.chunks(self.chunk) {
                    give(model.extend(std::slice::from_mut(&mut cache), &[chunk])?, chunk.len())?;
                }
            }
        }
        Ok(())
    }

    /// Refuses states between the layers where a policy drops what they were computed from.
    fn check_inner(&self, layer: usize, layers: usize) -> Result<(), Error> {
        match &self.long {
            Long::Cache(policy) if layer > 0 && !policy.is_none() => {
                Err(Error::InnerLayer { layer, layers, policy: policy.name() })
            }
            _ => Ok(()),
        }
    }

    fn cache(&self, model: &Generator, pool: &PagePool) -> Result<KvCache, Error> {
        let policy = match &self.long {
            Long::Windows { .. } => Pipeline::none(),
            Long::Cache(policy) => policy.clone(),
        };
        Ok(model.cache(pool, policy, self.store, "")?)
    }

    /// What each pass over a sequence of `tokens` tokens reads behind its start token, and what of that counts. The first
    /// `marks` tokens, none or one, are the start token.
    pub(super) fn windows(&self, tokens: usize, marks: usize) -> Vec<(Range<usize>, Range<usize>)> {
        match self.long {
            Long::Windows { overlap } if tokens > self.context => {
                windows(tokens, self.context, overlap, marks)
            }
            _ => vec![(marks..tokens, marks..tokens)],
        }
    }
}

impl Wanted {
    /// How far the token that a row says something about lies after the row's own.
    fn ahead(self) -> usize {
        match self {
            Self::State { .. } => 0,
            Self::Prediction => 1,
        }
    }

    fn layer(self) -> Option<usize> {
        match self {
            Self::State { layer } => Some(layer),
            Self::Prediction => None,
        }
    }
}

fn windows(tokens: usize, context: usize, overlap: usize, marks: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let width = context.saturating_sub(marks).max(1);
    let mut all = Vec::new();
    let mut counted = marks;
    while counted < tokens {
        let first = counted - overlap.min(counted - marks).min(width - 1);
        let end = (first + width).min(tokens);
        all.push((first..end, counted..end));
        counted = end;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_count_each_token_once_after_enough_context() {
        for (tokens, marks) in (1..60).flat_map(|tokens| [(tokens, 0), (tokens, 1)]) {
            for context in 3..20 {
                for overlap in 0..context - 2 {
                    let windows = windows(tokens, context, overlap, marks);
                    let all: Vec<usize> = windows.iter().flat_map(|(_, counted)| counted.clone()).collect();
                    assert_eq!(all, (marks..tokens).collect::<Vec<_>>());
                    for (read, counted) in windows {
                        assert!(read.len() + marks <= context && read.end == counted.end);
                        assert!(
                            counted.start == marks
                                || counted.start - read.start == overlap.min(counted.start - marks)
                        );
                    }
                }
            }
        }
    }
}
