//! How probable sequences are under a decoder.

use super::kmers::{Kmers, bases_of, law};
use crate::cache::{CacheError, KvCache, PagePool, Pipeline, PolicyError, Store};
use crate::family::generator::Generator;
use crate::family::values;
use burn::tensor::{Tensor, TensorData};
use kilobase_data::batch::{PackedBatch, pack_by_budget};
use kilobase_data::tokenize::{self, Encoding, Tokenizer};
use rayon::prelude::*;
use std::ops::Range;

/// What can go wrong with one sequence.
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
    /// The tokenizer has no token that a sequence starts with, so nothing says how probable the first base is.
    #[error("the tokenizer has no start token; the first token has no probability")]
    NoStart,
    /// The checkpoint has no output matrix.
    #[error("the checkpoint has no lm_head.weight: it gives states and classes, no probabilities")]
    NoHead,
    /// Letters that the vocabulary cannot spell and that have no completion by k-mers.
    #[error("sequence {index} of the batch: no token for {text:?} at base {at}")]
    Unknown {
        /// Index into the sequences given.
        index: usize,
        /// The letters.
        text: String,
        /// Of the first of them, from 0.
        at: usize,
    },
    /// A score by bases that needs a vocabulary of k-mers.
    #[error("the tokens of this model are not k-mers; probabilities of single bases cannot be told")]
    NoKmers,
    /// More tokens than the context, where windows are no way out.
    #[error("{tokens} tokens with a context of {context}")]
    TooLong {
        /// Tokens of the sequence.
        tokens: usize,
        /// The most that are allowed.
        context: usize,
    },
    /// A context in which a window makes no progress.
    #[error("a context of {context} tokens with an overlap of {overlap} leaves none to score")]
    Context {
        /// Tokens of a window.
        context: usize,
        /// Tokens that a window shares with the one before it.
        overlap: usize,
    },
    /// The numbers are not numbers.
    #[error("sequence {index} of the batch gave probabilities that are not finite; are the weights sound?")]
    NotFinite {
        /// Index into the sequences given.
        index: usize,
    },
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Policies that do not suit the model.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// What a sequence's probability was found to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Likelihood {
    /// Natural logarithm of the probability of the whole sequence, summed in f64.
    pub log_likelihood: f64,
    /// Letters that are one of A, C, G and T.
    pub bases: usize,
    /// Tokens that were scored.
    pub tokens: usize,
    /// For each letter, the natural logarithm of its probability after all letters before it; not a number where the
    /// letter is no base. The numbers of a sequence of bases sum to `log_likelihood`.
    pub track: Vec<f64>,
}

impl Likelihood {
    /// `-log2 P` for each base; `None` without bases.
    pub fn bits_per_base(&self) -> Option<f64> {
        (self.bases > 0).then(|| -self.log_likelihood / std::f64::consts::LN_2 / self.bases as f64)
    }
}

/// What a sequence is read as when it has more tokens than the context.
#[derive(Clone, Debug)]
pub enum Long {
    /// Windows of `context` tokens that start anew; a window scores what the one before it did not reach, after at least
    /// `overlap` tokens of context.
    Windows {
        /// Tokens that the windows share.
        overlap: usize,
    },
    /// One pass over a cache of key/value rows that a policy keeps small (or none does).
    Cache(Pipeline),
}

/// Scores sequences under a decoder.
///
/// A token of k bases counts as its bases one after the other: the probability of a base is that of all k-mers that agree
/// up to it, divided by that of those that agreed before it; so a tail of fewer than k bases is scored as well, by all its
/// completions, and `N` by all bases. Tokens with such letters are fed to the model as its unknown token.
pub struct Scorer<'a> {
    /// The decoder.
    pub model: &'a Generator,
    /// The tokenizer it was trained with.
    pub tokenizer: &'a dyn Tokenizer,
    /// The most tokens at once, the start token included.
    pub context: usize,
    /// What to do with longer sequences.
    pub long: Long,
    /// Numbers of the key/value cache, where there is one.
    pub store: Store,
    /// Tokens that go through the layers at once.
    pub chunk: usize,
}

/// Rows of logits that exist at once.
const LOGIT_ROWS: usize = 256;

impl Scorer<'_> {
    /// Scores sequences (upper-case letters); results are in the order given.
    pub fn score(&self, sequences: &[&[u8]]) -> Result<Vec<Likelihood>, Error> {
        self.score_with(sequences, |_| {})
    }

    /// The same, telling `done` how many letters more are scored.
    pub fn score_with(
        &self,
        sequences: &[&[u8]],
        mut done: impl FnMut(usize),
    ) -> Result<Vec<Likelihood>, Error> {
        if !self.model.has_head() {
            return Err(Error::NoHead);
        }
        if let Long::Windows { overlap } = self.long
            && self.context < overlap + 2
        {
            return Err(Error::Context { context: self.context, overlap });
        }
        let kmers = Kmers::new(self.tokenizer);
        let encodings: Vec<Encoding> = sequences
            .par_iter()
            .enumerate()
            .map(|(index, text)| encode(self.tokenizer, index, text))
            .collect::<Result<_, _>>()?;
        let targets: Vec<Targets<'_>> = sequences
            .iter()
            .zip(&encodings)
            .enumerate()
            .map(|(index, (text, encoding))| Targets { index, text, encoding, kmers: kmers.as_ref() })
            .collect();
        let mut results: Vec<Likelihood> = sequences.iter().map(|text| Likelihood::of(text)).collect();
        let (short, long): (Vec<usize>, Vec<usize>) =
            (0..sequences.len()).partition(|&i| encodings[i].len() <= self.context.min(self.chunk));
        let lengths: Vec<usize> = short.iter().map(|&i| encodings[i].len()).collect();
        for members in pack_by_budget(&lengths, self.chunk) {
            let members: Vec<usize> = members.into_iter().map(|m| short[m]).collect();
            self.score_packed(&targets, &members, &mut results)?;
            for m in members {
                done(sequences[m].len());
            }
        }
        for index in long {
            self.score_long(&targets[index], &mut results[index], &mut done)?;
        }
        for (index, result) in results.iter_mut().enumerate() {
            if !result.log_likelihood.is_finite() {
                return Err(Error::NotFinite { index });
            }
        }
        Ok(results)
    }

    /// Sequences that go through the layers side by side, without a cache.
    fn score_packed(
        &self,
        targets: &[Targets<'_>],
        members: &[usize],
        results: &mut [Likelihood],
    ) -> Result<(), Error> {
        let batch = PackedBatch::from_encodings(members.iter().map(|&m| targets[m].encoding));
        let states = self.model.state(&batch, self.model.layers());
        // Row r predicts the token after it.
        let rows: Vec<(usize, usize)> = batch
            .spans()
            .zip(members)
            .flat_map(|(span, &m)| (1..span.len()).map(move |token| (m, token)))
            .collect();
        let places: Vec<usize> = batch.spans().flat_map(|span| span.start..span.end.max(1) - 1).collect();
        let scored = self.letters(&states, &places, |row| (&targets[rows[row].0], rows[row].1))?;
        for ((m, token), scored) in rows.iter().zip(scored) {
            results[*m].add(&targets[*m], *token, &scored);
        }
        Ok(())
    }

    /// One sequence, chunk by chunk over a cache.
    fn score_long(
        &self,
        target: &Targets<'_>,
        result: &mut Likelihood,
        done: &mut impl FnMut(usize),
    ) -> Result<(), Error> {
        let tokens = target.encoding.len();
        let start = target.encoding.ids[0];
        let (policy, windows) = match &self.long {
            Long::Windows { overlap } => (Pipeline::none(), windows(tokens, self.context, *overlap)),
            Long::Cache(policy) => (policy.clone(), vec![(1..tokens, 1..tokens)]),
        };
        let pool = PagePool::new(PAGE);
        for (read, scored) in windows {
            let mut cache = self.model.cache(&pool, policy.clone(), self.store, "")?;
            let ids: Vec<u32> =
                std::iter::once(start).chain(target.encoding.ids[read.clone()].iter().copied()).collect();
            // The row of token `t` predicts `t + 1`; the last row predicts nothing that is there.
            let mut next = read.start - 1;
            for chunk in ids[..ids.len() - 1].chunks(self.chunk) {
                let states = self.extend(&mut cache, chunk)?;
                let rows: Vec<usize> =
                    (0..chunk.len()).filter(|row| scored.contains(&(next + row + 1))).collect();
                let laws = self.letters(&states, &rows, |row| (target, next + rows[row] + 1))?;
                for (row, law) in rows.iter().zip(laws) {
                    result.add(target, next + row + 1, &law);
                }
                let letters: usize = rows.iter().map(|row| target.encoding.spans[next + row + 1].len()).sum();
                done(letters);
                next += chunk.len();
            }
        }
        Ok(())
    }

    pub(super) fn extend(&self, cache: &mut KvCache, ids: &[u32]) -> Result<Tensor<2>, Error> {
        Ok(self.model.extend(std::slice::from_mut(cache), &[ids])?)
    }

    /// For each of some rows of states the letters of the token that `target` names, which the row predicts (see
    /// [`Targets::letters`]).
    pub(super) fn letters<'t>(
        &self,
        states: &Tensor<2>,
        rows: &[usize],
        target: impl Fn(usize) -> (&'t Targets<'t>, usize) + Sync,
    ) -> Result<Vec<Vec<f64>>, Error> {
        let mut all = Vec::with_capacity(rows.len());
        for (part, rows) in rows.chunks(LOGIT_ROWS).enumerate() {
            let logits = self.model.logits(select(states.clone(), rows)).ok_or(Error::NoHead)?;
            let width = logits.dims()[1];
            let logits = values(logits);
            let letters = logits.par_chunks_exact(width).enumerate().map(|(row, logits)| {
                let (targets, token) = target(part * LOGIT_ROWS + row);
                targets.letters(token, logits)
            });
            all.extend(letters.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(all)
    }
}

/// Some rows of a tensor.
pub(super) fn select(states: Tensor<2>, rows: &[usize]) -> Tensor<2> {
    let device = states.device();
    let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    let count = rows.len();
    states.select(0, Tensor::from_data(TensorData::new(rows, [count]), &device))
}

/// Slots of a page of the cache.
pub(super) const PAGE: usize = 64;

/// Windows over tokens `1..tokens` (0 is the start token, which each window has of its own): what each reads, and what of
/// that it scores.
fn windows(tokens: usize, context: usize, overlap: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let width = context - 1;
    let mut all = Vec::new();
    let mut scored = 1;
    while scored < tokens {
        let first = if scored == 1 { 1 } else { scored - overlap.min(scored - 1) };
        let end = (first + width).min(tokens);
        all.push((first..end, scored..end));
        scored = end;
    }
    all
}

/// A sequence and its tokens.
pub(super) struct Targets<'a> {
    pub(super) index: usize,
    pub(super) text: &'a [u8],
    pub(super) encoding: &'a Encoding,
    pub(super) kmers: Option<&'a Kmers>,
}

impl Targets<'_> {
    /// Tokens at the beginning that two sequences have in common, letter for letter.
    pub(super) fn shared(&self, other: &Self) -> usize {
        let spelt = |of: &Self, token: usize| {
            let span = of.encoding.spans[token];
            (of.encoding.ids[token], of.text[span.start..span.end].to_vec())
        };
        let shortest = self.encoding.len().min(other.encoding.len());
        (0..shortest).take_while(|&token| spelt(self, token) == spelt(other, token)).count()
    }

    /// Puts the numbers of a token's letters in their place.
    pub(super) fn write(&self, token: usize, letters: &[f64], out: &mut [f64]) {
        out[self.encoding.spans[token].start..][..letters.len()].copy_from_slice(letters);
    }

    /// Logarithms of the probabilities of the letters of a token after what came before it; one number for the whole token
    /// where the vocabulary does not tell letters apart.
    fn letters(&self, token: usize, logits: &[f32]) -> Result<Vec<f64>, Error> {
        let span = self.encoding.spans[token];
        let text = &self.text[span.start..span.end];
        let spelt = |letter: &u8| bases_of(*letter).is_some();
        let unknown = || Error::Unknown {
            index: self.index,
            text: String::from_utf8_lossy(text).into_owned(),
            at: span.start,
        };
        match self.kmers {
            Some(kmers) if text.iter().all(spelt) => {
                let masses = kmers.beginnings(&kmers.law(&law(logits)), text);
                let mut before = 0.0;
                Ok(masses
                    .into_iter()
                    .map(|mass| {
                        let log = mass.ln();
                        log - std::mem::replace(&mut before, log)
                    })
                    .collect())
            }
            None if text.iter().all(|letter| BASES.contains(letter)) => {
                let log = super::loss::log_probability(logits, self.encoding.ids[token] as usize);
                Ok(vec![log / text.len() as f64; text.len()])
            }
            _ => Err(unknown()),
        }
    }
}

const BASES: [u8; 4] = *b"ACGT";

pub(super) fn encode(tokenizer: &dyn Tokenizer, index: usize, text: &[u8]) -> Result<Encoding, Error> {
    let mut encoding = tokenizer.encode(text, true).map_err(|source| Error::Tokenize { index, source })?;
    // A mark at the end is no part of the sequence.
    while encoding.len() > 1 && encoding.special.last() == Some(&true) {
        encoding.ids.pop();
        encoding.spans.pop();
        encoding.special.pop();
        encoding.type_ids.pop();
    }
    let starts = encoding.ids.first().is_some_and(|id| Some(*id) == tokenizer.special().start);
    if starts { Ok(encoding) } else { Err(Error::NoStart) }
}

impl Likelihood {
    fn of(text: &[u8]) -> Self {
        let bases = text.iter().filter(|letter| BASES.contains(letter)).count();
        let track = text.iter().map(|_| f64::NAN).collect();
        Self { bases, track, ..Self::default() }
    }

    fn add(&mut self, targets: &Targets<'_>, token: usize, letters: &[f64]) {
        self.tokens += 1;
        self.log_likelihood += letters.iter().sum::<f64>();
        let start = targets.encoding.spans[token].start;
        for (at, &letter) in (start..).zip(letters).filter(|(at, _)| BASES.contains(&targets.text[*at])) {
            self.track[at] = letter;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_score_each_token_once_after_enough_context() {
        for tokens in 1..60 {
            for context in 3..20 {
                for overlap in 0..context - 2 {
                    let windows = windows(tokens, context, overlap);
                    let scored: Vec<usize> = windows.iter().flat_map(|(_, scored)| scored.clone()).collect();
                    assert_eq!(scored, (1..tokens).collect::<Vec<_>>());
                    for (read, scored) in windows {
                        assert!(read.len() < context && read.end == scored.end);
                        assert!(
                            scored.start == 1 || scored.start - read.start == overlap.min(scored.start - 1)
                        );
                    }
                }
            }
        }
    }
}
