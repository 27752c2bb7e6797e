//! Classes or values of sequences by a fine-tuned model.

pub mod task;

use super::Error;
use crate::family::{Model, values};
use kilobase_data::batch::PackedBatch;
use kilobase_data::tokenize::Tokenizer;

/// The key of a configuration that says how many tokens of a sequence a head was trained to read.
pub const MAX_TOKENS: &str = "kilobase_max_tokens";

/// Turns sequences into what a fine-tuned model reads.
#[derive(Clone, Copy)]
pub struct Tokens<'a> {
    /// The model's tokenizer.
    pub tokenizer: &'a dyn Tokenizer,
    /// Whether the model is a decoder: those read their start token once more at the end, and the answer is read there.
    pub decoder: bool,
    /// Bases of a token where all have as many, else 1. What is no whole token is dropped from the left.
    pub k: usize,
    /// At most so many tokens, marks included; longer sequences lose their end.
    pub most: Option<usize>,
}

impl Tokens<'_> {
    /// The ids of a sequence (upper-case letters). `index` is its number in messages.
    pub fn ids(&self, index: usize, text: &[u8]) -> Result<Vec<u32>, Error> {
        let text = &text[text.len() % self.k..];
        let encoding =
            self.tokenizer.encode(text, true).map_err(|source| Error::Tokenize { index, source })?;
        let mut ids = encoding.ids;
        let special = self.tokenizer.special();
        if self.decoder {
            let mark = special.start.ok_or(Error::NoStart)?;
            if let Some(most) = self.most {
                ids.truncate(most.saturating_sub(1).max(1));
            }
            ids.push(mark);
        } else if let Some(most) = self.most.filter(|most| *most < ids.len()) {
            let last = ids.pop();
            ids.truncate(most.saturating_sub(1));
            ids.extend(last);
        }
        Ok(ids)
    }
}

/// What the head answers, a row of numbers a sequence of tokens, in batches of at most `batch_tokens`: logits of the classes, or one
/// number ([`task::Task`]); `None` if the checkpoint has no head.
///
/// # Panics
/// If an id is not in the model's vocabulary, or a sequence has no token.
pub fn outputs(model: &Model, sequences: &[Vec<u32>], batch_tokens: usize) -> Option<Vec<Vec<f32>>> {
    let mut all = Vec::with_capacity(sequences.len());
    let mut rest = sequences;
    while !rest.is_empty() {
        let mut batch = PackedBatch::default();
        let mut count = 0;
        for ids in rest {
            if count > 0 && batch.tokens() + ids.len() > batch_tokens {
                break;
            }
            batch.push(ids, None).expect("no types");
            count += 1;
        }
        rest = &rest[count..];
        let outputs = match model {
            Model::DnaBert2 { model, .. } => {
                let state = model.state(&batch, model.layers());
                model.class_logits(&state, &batch)?
            }
            Model::Generator { model, .. } => {
                let state = model.state(&batch, model.layers());
                let ends: Vec<i32> = batch.spans().map(|span| span.end as i32 - 1).collect();
                let ends = burn::tensor::Tensor::from_ints(ends.as_slice(), &model.device());
                model.class_logits(state.select(0, ends))?
            }
        };
        let width = outputs.dims()[1];
        all.extend(values(outputs).chunks_exact(width).map(<[f32]>::to_vec));
    }
    Some(all)
}
