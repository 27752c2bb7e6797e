//! How probable sequences are under a decoder.

use super::kmers::{Kmers, bases_of, law};
use super::reading::Wanted;
use super::{Error, Reading};
use crate::cache::KvCache;
use crate::family::generator::Generator;
use crate::family::values;
use burn::tensor::{Tensor, TensorData};
use kilobase_data::tokenize::{Encoding, Tokenizer};
use rayon::prelude::*;

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
    /// How it reads them.
    pub reading: Reading,
}

/// Rows of logits that exist at once.
pub(super) const LOGIT_ROWS: usize = 256;

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
        let start = self.tokenizer.special().start;
        self.reading.read(self.model, &encodings, start, Wanted::Prediction, |states, pieces| {
            let of: Vec<(usize, usize)> = pieces
                .iter()
                .flat_map(|piece| piece.tokens.clone().map(|token| (piece.sequence, token)))
                .collect();
            let rows: Vec<usize> =
                pieces.iter().flat_map(|piece| piece.row..piece.row + piece.tokens.len()).collect();
            let letters = self.letters(&states, &rows, |row| (&targets[of[row].0], of[row].1))?;
            for ((sequence, token), letters) in of.iter().zip(letters) {
                results[*sequence].add(&targets[*sequence], *token, &letters);
                done(encodings[*sequence].spans[*token].len());
            }
            Ok(())
        })?;
        for (index, result) in results.iter_mut().enumerate() {
            if !result.log_likelihood.is_finite() {
                return Err(Error::NotFinite { index });
            }
        }
        Ok(results)
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
