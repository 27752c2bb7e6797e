//! Looking for the words that are an edit away: what both codebooks share.

use super::alphabet::LETTERS;
use super::codebook::{Candidate, Codebook};

/// Verified candidates, without repetition.
#[derive(Debug, Default)]
pub(super) struct Candidates(Vec<Candidate>);

impl Candidates {
    /// Takes `word` up if the codebook has it.
    pub(super) fn offer(&mut self, code: &(impl Codebook + ?Sized), distance: usize, word: &[u8]) {
        if let Some(entry) = code.lookup(word) {
            self.0.push(Candidate { distance, entry, word: word.to_vec() });
        }
    }

    /// By distance, message, complement and letters.
    pub(super) fn sorted(mut self) -> Vec<Candidate> {
        if self.0.len() > 1 {
            let letters = |candidate: &Candidate| -> Vec<u8> {
                candidate.word.iter().map(|&symbol| LETTERS[symbol as usize]).collect()
            };
            self.0.sort_by(|a, b| {
                let key = |c: &Candidate| (c.distance, c.entry.message, c.entry.complement);
                key(a).cmp(&key(b)).then_with(|| letters(a).cmp(&letters(b)))
            });
            self.0.dedup_by(|a, b| a.word == b.word);
        }
        self.0
    }
}

/// Positions between which a legal word is reached by substitutions: how many runs are too long, and where the first is.
pub(super) fn long_runs(word: &[u8], run_limit: usize) -> (usize, std::ops::Range<usize>) {
    let mut count = 0;
    let mut first = 0..word.len();
    let mut start = 0;
    for end in 1..=word.len() {
        if end == word.len() || word[end] != word[start] {
            if end - start > run_limit {
                if count == 0 {
                    first = start..end;
                }
                count += 1;
            }
            start = end;
        }
    }
    (count, first)
}
