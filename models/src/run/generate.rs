//! Sequences from a decoder.

use super::reading::PAGE;
use super::score::encode;
use crate::cache::{CacheError, KvCache, PagePool, Pipeline, PolicyError, Store};
use crate::decode::constraint::{self, Engine, Place};
use crate::decode::mask::Mask;
use crate::decode::particles::Resampler;
use crate::decode::predicate::Predicate;
use crate::decode::sample::{SampleError, Sampler, generator};
use crate::decode::stop::{Reason, Stop};
use crate::family::generator::Generator;
use kilobase_data::tokenize::Tokenizer;
use rand::rngs::ChaCha8Rng;

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The prompt cannot be read.
    #[error("the prompt: {0}")]
    Prompt(#[source] super::Error),
    /// The prompt ends within a k-mer, after which models write what they learned to follow an unknown token.
    #[error("the prompt has {bases} bases, not a multiple of {k}")]
    PromptLength {
        /// Bases of the prompt.
        bases: usize,
        /// Bases of a token.
        k: usize,
    },
    /// More tokens than the context.
    #[error("a prompt of {prompt} tokens and {budget} more do not fit into a context of {context}")]
    TooLong {
        /// Tokens of the prompt, the start token included.
        prompt: usize,
        /// Tokens that may be generated.
        budget: usize,
        /// The most at once.
        context: usize,
    },
    /// The checkpoint has no output matrix.
    #[error("the checkpoint has no lm_head.weight: it gives states and classes, no probabilities")]
    NoHead,
    /// Constraints that cannot be met.
    #[error(transparent)]
    Constraint(#[from] constraint::Error),
    /// A sample that could not go on.
    #[error("sample {sample}, token {token}: {source}")]
    Sample {
        /// Which sample.
        sample: u64,
        /// Tokens that were generated before.
        token: usize,
        /// Why.
        #[source]
        source: SampleError,
    },
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Policies that do not suit the model.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// One generated sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its number.
    pub number: u64,
    /// The tokens.
    pub tokens: Vec<u32>,
    /// What they spell, without what stands behind a stop.
    pub text: Vec<u8>,
    /// Natural logarithm of their probability under the model.
    pub log_probability: f64,
    /// Natural logarithm of what the sequence counts under constraints (see [`crate::decode::sample`]); 0 without any.
    pub log_weight: f64,
    /// Why it ended.
    pub stop: Reason,
}

/// What to generate, and with what.
pub struct Generation<'a> {
    /// The decoder.
    pub model: &'a Generator,
    /// The tokenizer it was trained with.
    pub tokenizer: &'a dyn Tokenizer,
    /// The law of a token.
    pub sampler: &'a Sampler,
    /// When a sequence is done.
    pub stop: &'a Stop,
    /// The most tokens at once, prompt included; `None` where a policy bounds what is read.
    pub context: Option<usize>,
    /// What becomes of the cache.
    pub policy: &'a Pipeline,
    /// Numbers of the cache.
    pub store: Store,
    /// Tokens of the prompt that go through the layers at once.
    pub chunk: usize,
    /// Resample sequences by their weights while they grow.
    pub resampler: Option<Resampler>,
    /// Seed of the random numbers of each sample, together with its number.
    pub seed: u64,
}

/// One sequence while it grows.
struct Growing {
    sample: Sample,
    rng: ChaCha8Rng,
    place: Option<Place>,
    done: bool,
}

impl Generation<'_> {
    /// Generates `count` sequences after one prompt (upper-case letters, none for the start token alone), numbered from
    /// `first`. A sample depends on the seed and its number, not on how many there are, unless they are resampled.
    ///
    /// The prompt goes through the model once; the samples share its part of the cache and grow side by side. `engine` and
    /// `predicate` say what is legal; with an engine a sequence has exactly [`Stop::max_tokens`] tokens unless a stop rule
    /// ends it. `progress` is told after each step how many tokens it brought.
    pub fn run(
        &self,
        prompt: &[u8],
        first: u64,
        count: usize,
        mut engine: Option<&mut Engine>,
        mut predicate: Option<&mut dyn Predicate>,
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<Sample>, Error> {
        let ids = encode(self.tokenizer, 0, prompt).map_err(Error::Prompt)?.ids;
        if let Some(k) = super::kmers::Kmers::new(self.tokenizer).map(|kmers| kmers.k())
            && !prompt.len().is_multiple_of(k)
        {
            return Err(Error::PromptLength { bases: prompt.len(), k });
        }
        let budget = self.stop.max_tokens;
        if let Some(context) = self.context.filter(|&context| ids.len() + budget > context) {
            return Err(Error::TooLong { prompt: ids.len(), budget, context });
        }
        let start = engine.as_deref_mut().map(|engine| engine.start(prompt, budget)).transpose()?;
        if count == 0 || budget == 0 {
            return Ok(Vec::new());
        }
        let pool = PagePool::new(PAGE);
        let mut prompt_cache = [self.model.cache(&pool, self.policy.clone(), self.store, "")?];
        let first_logits = self.next(&mut prompt_cache, &[&ids])?;
        let mut growing: Vec<Growing> = (first..)
            .take(count)
            .map(|number| Growing {
                sample: Sample {
                    number,
                    tokens: Vec::new(),
                    text: Vec::new(),
                    log_probability: 0.0,
                    log_weight: 0.0,
                    stop: Reason::Budget,
                },
                rng: generator(self.seed, number),
                place: start.clone(),
                done: false,
            })
            .collect();
        let mut caches: Vec<KvCache> = growing.iter().map(|_| prompt_cache[0].fork()).collect();
        drop(prompt_cache);
        let mut shuffle = generator(self.seed, u64::MAX);
        // All samples begin with the same law.
        let mut logits = first_logits.repeat(count);
        let width = logits.len() / count;
        loop {
            let busy: Vec<usize> = (0..count).filter(|&s| !growing[s].done).collect();
            for (row, &s) in logits.chunks_exact(width).zip(&busy) {
                let mask = match (engine.as_deref_mut(), &growing[s].place) {
                    (Some(engine), Some(place)) => Some(engine.legal(place)?),
                    _ => None,
                };
                let predicate: Option<&mut dyn Predicate> = match &mut predicate {
                    Some(predicate) => Some(&mut **predicate),
                    None => None,
                };
                self.grow(&mut growing[s], prompt, row, mask.as_deref(), predicate)?;
                if let (Some(engine), Some(place)) = (engine.as_deref(), &growing[s].place) {
                    let token = *growing[s].sample.tokens.last().expect("a token just now");
                    growing[s].place = engine.advance(place, token);
                }
            }
            progress(busy.len());
            if growing.iter().all(|growing| growing.done) {
                return Ok(growing.into_iter().map(|growing| growing.sample).collect());
            }
            self.resample(&mut growing, &mut caches, &mut shuffle);
            let next: Vec<[u32; 1]> = growing
                .iter()
                .filter(|growing| !growing.done)
                .map(|growing| [*growing.sample.tokens.last().expect("a token")])
                .collect();
            let rows: Vec<&[u32]> = next.iter().map(<[u32; 1]>::as_slice).collect();
            // Caches of finished sequences step aside.
            let mut kept = Vec::with_capacity(count);
            let mut active = Vec::with_capacity(rows.len());
            for (cache, growing) in caches.drain(..).zip(&growing) {
                if growing.done { kept.push(cache) } else { active.push(cache) }
            }
            logits = self.next(&mut active, &rows)?;
            let (mut kept, mut active) = (kept.into_iter(), active.into_iter());
            caches.extend(
                growing
                    .iter()
                    .map(|growing| if growing.done { kept.next() } else { active.next() })
                    .map(|cache| cache.expect("one a sequence")),
            );
        }
    }

    fn next(&self, caches: &mut [KvCache], tokens: &[&[u32]]) -> Result<Vec<f32>, Error> {
        self.model.next_logits(caches, tokens, self.chunk)?.ok_or(Error::NoHead)
    }

    /// Adds a token to a sequence.
    fn grow(
        &self,
        growing: &mut Growing,
        prompt: &[u8],
        logits: &[f32],
        mask: Option<&Mask>,
        predicate: Option<&mut dyn Predicate>,
    ) -> Result<(), Error> {
        let Growing { sample, rng, done, .. } = growing;
        let choice = match predicate {
            Some(predicate) => {
                let text = [prompt, &sample.text].concat();
                self.sampler.choose_where(
                    logits,
                    mask,
                    &text,
                    &mut |text: &[u8]| predicate.accepts(text),
                    rng,
                )
            }
            None => self.sampler.choose(logits, mask, rng),
        };
        let (number, token) = (sample.number, sample.tokens.len());
        let choice = choice.map_err(|source| Error::Sample { sample: number, token, source })?;
        sample.tokens.push(choice.token);
        sample.log_probability += choice.log_probability;
        sample.log_weight += choice.log_weight;
        let spelt = self.tokenizer.token(choice.token).unwrap_or_default();
        let bases = spelt.bytes().all(|byte| byte.is_ascii_uppercase());
        let added = if bases { spelt.len() } else { 0 };
        if bases {
            sample.text.extend(spelt.bytes());
        }
        if let Some(reason) = self.stop.check(sample.tokens.len(), choice.token, &sample.text, added) {
            if let Reason::Motif { end } = reason {
                sample.text.truncate(end);
            }
            sample.stop = reason;
            *done = true;
        }
        Ok(())
    }

    /// Replaces sequences of little weight by copies of others, while all of them grow.
    fn resample(&self, growing: &mut [Growing], caches: &mut Vec<KvCache>, rng: &mut ChaCha8Rng) {
        let Some(resampler) = self.resampler.as_ref().filter(|_| growing.iter().all(|g| !g.done)) else {
            return;
        };
        let mut weights: Vec<f64> = growing.iter().map(|growing| growing.sample.log_weight).collect();
        let Some(parents) = resampler.resample(&mut weights, rng) else { return };
        let copies: Vec<(Sample, Option<Place>)> =
            parents.iter().map(|&p| (growing[p].sample.clone(), growing[p].place.clone())).collect();
        *caches = parents.iter().map(|&p| caches[p].fork()).collect();
        for ((growing, (sample, place)), weight) in growing.iter_mut().zip(copies).zip(weights) {
            growing.sample = Sample { number: growing.sample.number, log_weight: weight, ..sample };
            growing.place = place;
        }
    }
}
