//! A decoder as a compressor: what the codecs know as a code length, and the models as a likelihood.

use kilobase::codecs::compress::code_length::{CodeLength, Error, Result};
use kilobase::models::cache::Store;
use kilobase::models::run::score::Scorer;
use kilobase::models::run::{Long, Reading};
use std::sync::Mutex;

use super::exit::Usage;
use super::load::Loaded;

/// Tokens that go through the layers at once.
const CHUNK: usize = 2048;

/// The code length of sequences under a decoder. Windows of its context, half of each shared with the one before.
pub(super) struct Neural<'a> {
    // One sequence at a time: the model computes with all threads.
    scorer: Mutex<Scorer<'a>>,
    name: String,
}

impl<'a> Neural<'a> {
    pub(super) fn new(loaded: &'a Loaded) -> std::result::Result<Self, Usage> {
        let (config, model) = loaded.decoder("a code length")?;
        let context = config.max_position_embeddings;
        let long = Long::Windows { overlap: context / 2 };
        let reading = Reading { context, long, store: Store::F32, chunk: CHUNK };
        let scorer = Scorer { model, tokenizer: &*loaded.tokenizer, reading };
        Ok(Self { scorer: Mutex::new(scorer), name: loaded.model.family().to_string() })
    }
}

impl CodeLength for Neural<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn bits(&self, sequence: &[u8]) -> Result<f64> {
        let scorer = self.scorer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let scores = scorer.score(&[sequence]).map_err(|source| Error {
            compressor: self.name.clone(),
            letters: sequence.len(),
            source: Box::new(source),
        })?;
        Ok(scores.iter().map(|score| -score.log_likelihood / std::f64::consts::LN_2).sum())
    }

    fn joint_bits(&self, first: &[u8], second: &[u8]) -> Result<f64> {
        self.bits(&[first, second].concat())
    }
}
