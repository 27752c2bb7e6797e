//! Sequences in, rows of numbers out.

use super::Pooling;
use crate::family::Model;
use kilobase_data::batch::{PackedBatch, pack_by_budget};
use kilobase_data::tokenize::{self, Encoding, Tokenizer};
use rayon::prelude::*;

/// What can go wrong with one sequence or one batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tokenizer refused a sequence.
    #[error("sequence {index} of the batch")]
    Tokenize {
        /// Index into the sequences given.
        index: usize,
        /// What it refused.
        #[source]
        source: tokenize::Error,
    },
    /// The tokenizer gave an id that the model has no embedding for.
    #[error("token id {id} is not below the model's vocabulary of {vocabulary}")]
    Id {
        /// The id.
        id: u32,
        /// Entries of the model's vocabulary.
        vocabulary: usize,
    },
    /// Nothing to pool.
    #[error("sequence {index} of the batch has no token to pool with {pooling}")]
    Nothing {
        /// Index into the sequences given.
        index: usize,
        /// The pooling asked for.
        pooling: Pooling,
    },
    /// A batch would not fit.
    #[error("a batch of {tokens} tokens needs about {need} bytes of memory, {limit} are to be had")]
    Memory {
        /// Tokens of the batch.
        tokens: usize,
        /// Estimated bytes.
        need: u64,
        /// The limit that was set.
        limit: u64,
    },
    /// The numbers are not numbers.
    #[error("sequence {index} of the batch gave values that are not finite; are the weights sound?")]
    NotFinite {
        /// Index into the sequences given.
        index: usize,
    },
}

/// The embedding of one sequence.
#[derive(Clone, Debug)]
pub struct Embedding {
    /// Pooled row `[width]`, or one row a token `[tokens, width]` with [`Pooling::None`].
    pub rows: Vec<f32>,
    /// The tokens, with their offsets in the sequence.
    pub encoding: Encoding,
}

/// A model, its tokenizer, and what to take from it.
pub struct Embedder<'a> {
    /// The model.
    pub model: &'a Model,
    /// The tokenizer the model was trained with.
    pub tokenizer: &'a dyn Tokenizer,
    /// State to take: 0 for the embeddings, `n` for the output of layer `n`.
    pub layer: usize,
    /// How a sequence's states become rows.
    pub pooling: Pooling,
    /// Tokens that go through the model at once; a longer sequence goes alone.
    pub batch_tokens: usize,
    /// Refuse a batch that would need more bytes than this beyond the weights.
    pub memory_limit: Option<u64>,
}

impl Embedder<'_> {
    /// Embeds sequences; results are in the order given.
    ///
    /// Sequences are packed by length without padding, so work is in proportion to their tokens. A sequence's
    /// result does not depend on its neighbours beyond rounding (matrix kernels may order sums differently for
    /// other batch sizes: below 1e-5 relative to the row's largest value).
    pub fn embed(&self, sequences: &[&[u8]]) -> Result<Vec<Embedding>, Error> {
        self.embed_with(sequences, |_| {})
    }

    /// The same, telling `done` after each batch which sequences it held.
    pub fn embed_with(
        &self,
        sequences: &[&[u8]],
        mut done: impl FnMut(&[usize]),
    ) -> Result<Vec<Embedding>, Error> {
        let encodings: Vec<Encoding> = sequences
            .par_iter()
            .enumerate()
            .map(|(index, text)| {
                self.tokenizer.encode(text, true).map_err(|source| Error::Tokenize { index, source })
            })
            .collect::<Result<_, _>>()?;
        let vocabulary = self.model.vocab_size();
        if let Some(&id) = encodings.iter().flat_map(|e| &e.ids).find(|&&id| id as usize >= vocabulary) {
            return Err(Error::Id { id, vocabulary });
        }
        let lengths: Vec<usize> = encodings.iter().map(|e| e.ids.len()).collect();
        let width = self.model.hidden_size();
        let mut rows: Vec<Option<Vec<f32>>> = vec![None; sequences.len()];
        for members in pack_by_budget(&lengths, self.batch_tokens) {
            let tokens: usize = members.iter().map(|&m| lengths[m]).sum();
            let need = self.model.activation_bytes(tokens);
            if let Some(limit) = self.memory_limit.filter(|&limit| need > limit) {
                return Err(Error::Memory { tokens, need, limit });
            }
            let batch = PackedBatch::from_encodings(members.iter().map(|&m| &encodings[m]));
            let states = self.model.state(&batch, self.layer);
            let pooled: Vec<(usize, Vec<f32>)> = members
                .par_iter()
                .zip(batch.cu_seqlens().par_windows(2))
                .map(|(&index, span)| {
                    let states = &states[span[0] * width..span[1] * width];
                    let row = self.pooling.pool(states, width, &encodings[index].special);
                    let row = row.ok_or(Error::Nothing { index, pooling: self.pooling })?;
                    if row.iter().all(|x| x.is_finite()) {
                        Ok((index, row))
                    } else {
                        Err(Error::NotFinite { index })
                    }
                })
                .collect::<Result<_, _>>()?;
            for (index, row) in pooled {
                rows[index] = Some(row);
            }
            done(&members);
        }
        let embeddings = rows.into_iter().zip(encodings).map(|(rows, encoding)| Embedding {
            rows: rows.expect("every sequence is in one batch"),
            encoding,
        });
        Ok(embeddings.collect())
    }
}
