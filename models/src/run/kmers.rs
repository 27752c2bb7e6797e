//! What a law over k-mer tokens says about bases.

use crate::decode::base;
use kilobase_data::tokenize::Tokenizer;
use std::collections::HashMap;
use std::ops::Range;

/// The tokens of k bases of a vocabulary that has all of them, as GENERator's.
#[derive(Clone, Debug)]
pub struct Kmers {
    k: usize,
    /// Ids by code: the letters as digits of `ACGT`, the first the most significant.
    ids: Vec<u32>,
}

/// Digits of the bases.
const BASES: [u8; 4] = *b"ACGT";

impl Kmers {
    /// Finds them; `None` if the vocabulary has bases in tokens of several lengths, or not every k-mer of its one length.
    pub fn new(tokenizer: &dyn Tokenizer) -> Option<Self> {
        let mut found = HashMap::new();
        let mut k = None;
        for id in 0..tokenizer.vocab_size() as u32 {
            let Some(token) = tokenizer.token(id) else { continue };
            let Some(code) = code(token.as_bytes()) else { continue };
            if *k.get_or_insert(token.len()) != token.len() {
                return None;
            }
            found.insert(code, id);
        }
        let k = k.filter(|&k| k <= 8 && found.len() == 1 << (2 * k))?;
        Some(Self { k, ids: (0..1 << (2 * k)).map(|code| found[&code]).collect() })
    }

    /// Bases of a token.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The token that spells these bases.
    pub fn id(&self, bases: &[u8]) -> Option<u32> {
        (bases.len() == self.k).then(|| code(bases)).flatten().map(|code| self.ids[code])
    }

    /// The law over k-mers that a law over tokens contains, by code. What other tokens have is left out.
    pub fn law(&self, tokens: &[f64]) -> Vec<f64> {
        self.ids.iter().map(|&id| tokens[id as usize]).collect()
    }

    /// Probability that the next token begins with the first letter of `pattern`, with the first two, and so on. Letters are
    /// IUPAC codes, at most k; a token begins with a pattern if each of its bases is one that the code stands for.
    ///
    /// # Panics
    /// If the pattern is longer than a token.
    pub fn beginnings(&self, law: &[f64], pattern: &[u8]) -> Vec<f64> {
        assert!(pattern.len() <= self.k, "{} letters in a token of {}", pattern.len(), self.k);
        let mut codes: Vec<Range<usize>> = std::iter::once(0..law.len()).collect();
        let mut width = law.len();
        let mut masses = Vec::with_capacity(pattern.len());
        for &letter in pattern {
            let bases = bases_of(letter).unwrap_or(0);
            width /= 4;
            codes = codes
                .iter()
                .flat_map(|range| (0..4).map(move |digit| (range.start + digit * width, digit)))
                .filter(|(_, digit)| bases >> digit & 1 == 1)
                .map(|(start, _)| start..start + width)
                .collect();
            masses.push(codes.iter().flat_map(|range| &law[range.clone()]).sum());
        }
        masses
    }
}

/// `softmax(logits)` in f64.
pub fn law(logits: &[f32]) -> Vec<f64> {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let mut law: Vec<f64> = logits.iter().map(|&x| (f64::from(x) - max).exp()).collect();
    let sum: f64 = law.iter().sum();
    for p in &mut law {
        *p /= sum;
    }
    law
}

fn code(bases: &[u8]) -> Option<usize> {
    let digit = |base: &u8| BASES.iter().position(|b| b == base);
    let all = bases.iter().try_fold(0, |code, base| Some(4 * code + digit(base)?));
    all.filter(|_| !bases.is_empty() && bases.len() <= 8)
}

/// The bases that an upper-case letter of a sequence stands for, bit `1 << base`; RNA's `U` is `T`.
pub(super) fn bases_of(letter: u8) -> Option<u8> {
    base::bases_of(if letter == b'U' { b'T' } else { letter })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toy() -> (Kmers, Vec<f64>) {
        let kmers = Kmers { k: 2, ids: (0..16).collect() };
        let law = law(&(0..16).map(|i| (i as f32 * 1.7).sin()).collect::<Vec<_>>());
        (kmers, law)
    }

    #[test]
    fn beginnings_are_sums_over_matching_tokens() {
        let (kmers, law) = toy();
        for pattern in [&b"A"[..], b"TG", b"RN", b"NY", b"NN"] {
            let masses = kmers.beginnings(&law, pattern);
            for (n, mass) in masses.iter().enumerate() {
                let matches = |code: usize| {
                    let allowed = |letter: u8| match letter {
                        b'N' => &b"ACGT"[..],
                        b'R' => b"AG",
                        b'Y' => b"CT",
                        b'A' => b"A",
                        b'T' => b"T",
                        _ => b"G",
                    };
                    [BASES[code >> 2], BASES[code & 3]]
                        .iter()
                        .zip(&pattern[..=n])
                        .all(|(base, letter)| allowed(*letter).contains(base))
                };
                let expected: f64 = (0..16).filter(|&code| matches(code)).map(|code| law[code]).sum();
                assert!((mass - expected).abs() < 1e-12, "{pattern:?}");
            }
        }
    }
}
