//! From windows of bases to what a step reads.

use super::Setup;
use crate::train::Error;
use crate::train::example::Example;
use crate::train::order::{self, Window};
use crate::train::recipe::Goal;
use kilobase_data::alphabet::reverse_complement;
use kilobase_data::batch::PackedBatch;
use kilobase_data::tokenize::Encoding;

/// A batch.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) example: Example,
    /// Bases that were read.
    pub(super) bases: u64,
    /// Bases of the tokens that are predicted.
    pub(super) predicted: usize,
}

impl Setup {
    /// Tokens of some windows and what is asked of them. `number` is that of the batch: with the seed it decides which tokens are
    /// hidden.
    pub(super) fn reading(&self, windows: &[Window], number: u64) -> Result<Reading, Error> {
        let mut encodings = Vec::with_capacity(windows.len());
        let mut bases = 0;
        for window in windows {
            let text = self.corpora[window.corpus].bases(window.range.clone());
            // The frame of k-mers begins with the window; what is left at its end has no token.
            let text = &text[..text.len() - text.len() % self.k];
            bases += text.len() as u64;
            encodings.push(if window.reversed {
                self.tokenizer.encode(&reverse_complement(text), true)?
            } else {
                self.tokenizer.encode(text, true)?
            });
        }
        let batch = PackedBatch::from_encodings(&encodings);
        let lengths: Vec<usize> = encodings
            .iter()
            .flat_map(|encoding| &encoding.spans)
            .map(kilobase_data::tokenize::Span::len)
            .collect();
        let special = |encoding: &Encoding| encoding.special.clone();
        let (example, next) = match self.recipe.goal {
            Goal::Causal | Goal::Factorised => (Example::causal(batch, |id| self.counts(id)), 1),
            Goal::Mlm => {
                let special: Vec<bool> = encodings.iter().flat_map(special).collect();
                let mut rng = order::stream(self.seed, 2, number);
                (Example::masked(&batch, &special, &self.masking, &mut rng), 0)
            }
        };
        let predicted = example.rows.iter().map(|row| lengths[row + next]).sum();
        Ok(Reading { example, bases, predicted })
    }
}
