//! Sequences in, rows of numbers out.

use super::pool::Pool;
use super::price::Pricer;
use super::reading::{Piece, Wanted};
use super::{Error, Pooling, Reading};
use crate::family::{Model, values};
use kilobase_data::batch::{PackedBatch, pack_by_budget};
use kilobase_data::tokenize::{Encoding, Span, Tokenizer};
use rayon::prelude::*;

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
    /// How sequences are read. An encoder takes `chunk` tokens at once, and a longer sequence alone and whole.
    pub reading: Reading,
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

    /// The same, telling `done` how many letters more were read.
    pub fn embed_with(
        &self,
        sequences: &[&[u8]],
        mut done: impl FnMut(usize),
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
        let lengths: Vec<usize> = encodings.iter().map(Encoding::len).collect();
        self.check_memory(&lengths)?;
        let width = self.model.hidden_size();
        let mut pools: Vec<Option<Pool>> = vec![Some(Pool::new(self.pooling, width)); sequences.len()];
        let mut add = |states: &[f32], pieces: &[Piece]| {
            let taken: Vec<(&Piece, Pool)> = pieces
                .iter()
                .map(|piece| {
                    (piece, pools[piece.sequence].take().expect("a sequence is in one piece of a batch"))
                })
                .collect();
            let pooled: Vec<(usize, Pool)> = taken
                .into_par_iter()
                .map(|(piece, mut pool)| {
                    let rows = piece.row..piece.row + piece.tokens.len();
                    let special = &encodings[piece.sequence].special[piece.tokens.clone()];
                    pool.add(&states[rows.start * width..rows.end * width], special);
                    (piece.sequence, pool)
                })
                .collect();
            for (sequence, pool) in pooled {
                pools[sequence] = Some(pool);
            }
            let letters = |piece: &Piece| -> usize {
                encodings[piece.sequence].spans[piece.tokens.clone()].iter().map(Span::len).sum()
            };
            done(pieces.iter().map(letters).sum());
        };
        match self.model {
            Model::Generator { model, .. } => {
                let start = self.tokenizer.special().start;
                let wanted = Wanted::State { layer: self.layer };
                self.reading.read(model, &encodings, start, wanted, |states, pieces| {
                    add(&values(states), pieces);
                    Ok(())
                })?;
            }
            Model::DnaBert2 { .. } => {
                for members in pack_by_budget(&lengths, self.reading.chunk) {
                    let batch = PackedBatch::from_encodings(members.iter().map(|&m| &encodings[m]));
                    let spans = batch.spans().zip(members);
                    let pieces: Vec<Piece> = spans
                        .map(|(span, sequence)| Piece { sequence, tokens: 0..span.len(), row: span.start })
                        .collect();
                    add(&self.model.state(&batch, self.layer), &pieces);
                }
            }
        }
        pools
            .into_iter()
            .zip(encodings)
            .enumerate()
            .map(|(index, (pool, encoding))| {
                let pool = pool.expect("given back after each batch");
                let rows = pool.finish().ok_or(Error::Nothing { index, pooling: self.pooling })?;
                if !rows.iter().all(|x| x.is_finite()) {
                    return Err(Error::NotFinite { index });
                }
                Ok(Embedding { rows, encoding })
            })
            .collect()
    }

    /// Refuses what would not fit, before any work.
    fn check_memory(&self, lengths: &[usize]) -> Result<(), Error> {
        let Some(limit) = self.memory_limit else { return Ok(()) };
        let pricer = Pricer::states(self.model, &self.reading, self.layer);
        let check = |tokens: usize, need: u64| {
            if need > limit { Err(Error::Memory { tokens, need, limit }) } else { Ok(()) }
        };
        let (short, long): (Vec<usize>, Vec<usize>) =
            lengths.iter().partition(|&&tokens| self.reading.is_packed(tokens));
        for members in pack_by_budget(&short, self.reading.chunk) {
            let tokens = members.iter().map(|&m| short[m]).sum();
            check(tokens, self.model.activation_bytes(tokens))?;
        }
        long.into_iter().try_for_each(|tokens| check(tokens, pricer.sequence(tokens).bytes()))
    }
}
