//! Letters of the training sequences with all that stands before them, worked out once for all contexts.

use super::Context;
use super::context::{KINDS, Walk};
use super::counts::Batch;

/// A stretch of training letters that are bases, one entry a letter in every list.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    bases: Vec<u8>,
    classes: Vec<u16>,
    /// By kind of context: the words of what stands before.
    words: [Vec<u64>; KINDS],
}

impl Stretch {
    /// Letters that a stretch has at most.
    pub(super) const MOST: usize = 1 << 20;

    /// Takes letters of a class up until the walk is done or the stretch is full.
    pub(super) fn take(&mut self, walk: &mut Walk, class: usize) {
        while !walk.is_done() && !self.is_full() {
            if let Some(base) = walk.base() {
                self.bases.push(base);
                self.classes.push(class as u16);
                for (words, word) in self.words.iter_mut().zip(walk.place().0) {
                    words.push(word);
                }
            }
            walk.advance();
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bases.len() >= Self::MOST
    }

    /// Begins again.
    pub(super) fn clear(&mut self) {
        self.bases.clear();
        self.classes.clear();
        self.words.iter_mut().for_each(Vec::clear);
    }

    /// The occurrences of one context.
    pub(super) fn fill(&self, context: Context, batch: &mut Batch) {
        let letters = self.words[context.kind()].iter().zip(&self.bases).zip(&self.classes);
        batch.fill(letters.map(|((&word, &base), &class)| {
            let (key, is_whole) = context.key(word);
            (key, base, class, is_whole)
        }));
    }
}
