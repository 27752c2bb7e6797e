//! Bits of a sequence in every class.

use super::context::{NONE, Walk};
use super::counts::{Handle, LANES, View};
use super::mixer::{At, Mixer};
use super::{Context, Counts, Model};
use crate::compress::deflate::base_code;

/// Bits of a base that no class predicts: of an ambiguous letter.
const AMBIGUOUS: f32 = 2.0;
/// Letters ahead for which slots and then rows are fetched.
const FAR: usize = 12;
const NEAR: usize = 6;

/// Bits of a sequence by class.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// In the order of the model's classes.
    pub bits: Vec<f64>,
    /// Letters of the sequence.
    pub letters: usize,
}

/// What a score says.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The class that takes the fewest bits; the first of equals.
    pub class: usize,
    /// Its probability among the classes.
    pub confidence: f64,
    /// Bits that the next class takes more.
    pub margin: f64,
    /// Whether the next class takes as few.
    pub is_tie: bool,
}

impl Score {
    /// Bits a letter of each class; 0 without letters.
    pub fn per_letter(&self) -> Vec<f64> {
        self.bits.iter().map(|bits| bits / self.letters.max(1) as f64).collect()
    }

    /// The class, and how sure it is at a temperature.
    pub fn decide(&self, temperature: f64) -> Decision {
        let by_bits = |&a: &usize, &b: &usize| self.bits[a].total_cmp(&self.bits[b]).then(a.cmp(&b));
        let class = (0..self.bits.len()).min_by(by_bits).unwrap_or(0);
        let best = self.bits[class];
        let next = (0..self.bits.len()).filter(|&other| other != class).min_by(by_bits);
        let margin = next.map_or(0.0, |next| self.bits[next] - best);
        let total: f64 = self.bits.iter().map(|bits| ((best - bits) / temperature).exp2()).sum();
        Decision { class, confidence: 1.0 / total, margin, is_tie: margin == 0.0 }
    }
}

impl Model {
    /// Bits of an upper-case sequence in every class.
    pub fn score(&self, sequence: &[u8]) -> Score {
        let mut bits = vec![0.0; self.classes.len()];
        self.each(sequence, |_, letter| {
            for (sum, &bits) in bits.iter_mut().zip(letter) {
                *sum += f64::from(bits);
            }
        });
        Score { bits, letters: sequence.len() }
    }

    /// The same, and the bits of a background: at each letter the mean of all classes' probabilities.
    pub fn score_with_background(&self, sequence: &[u8]) -> (Score, f64) {
        let mut bits = vec![0.0; self.classes.len()];
        let mut background = 0.0;
        self.each(sequence, |_, letter| {
            let mean = letter.iter().map(|&bits| f64::from(-bits).exp2()).sum::<f64>() / letter.len() as f64;
            background -= mean.log2();
            for (sum, &bits) in bits.iter_mut().zip(letter) {
                *sum += f64::from(bits);
            }
        });
        (Score { bits, letters: sequence.len() }, background)
    }

    /// Calls `each` with the index of every letter and its bits in every class.
    pub(super) fn each(&self, sequence: &[u8], mut each: impl FnMut(usize, &[f32])) {
        let contexts: &[Context] = &self.settings.contexts;
        let priors: Vec<f32> = contexts.iter().map(|context| context.prior()).collect();
        let steps = self.classes.len().div_ceil(LANES);
        let mut mixers = vec![Mixer::new(&priors, self.settings.decay); steps];
        let mut bits = vec![0.0_f32; steps * LANES];
        let mut ahead = Ahead::new(self, sequence);
        for (at, &letter) in sequence.iter().enumerate() {
            ahead.next();
            let Some(base) = base_code(letter) else {
                bits.fill(AMBIGUOUS);
                each(at, &bits[..self.classes.len()]);
                continue;
            };
            for (step, mixer) in mixers.iter_mut().enumerate() {
                let first = step * LANES;
                let step = mixer.step(&ahead.views, ahead.found(), At { base, first });
                bits[first..first + LANES].copy_from_slice(&step);
            }
            each(at, &bits[..self.classes.len()]);
        }
    }
}

/// Goes ahead of the mixing, so that counts are in the cache when it comes to them: first the slots are asked for, then,
/// when these have come, the rows that they name.
struct Ahead<'a> {
    contexts: &'a [Context],
    views: Vec<View<'a>>,
    walk: Walk<'a>,
    /// Keys of the letters to come, in a ring.
    keys: Vec<u64>,
    /// Handles of the nearer half of them.
    handles: Vec<Handle>,
    at: usize,
}

impl<'a> Ahead<'a> {
    fn new(model: &'a Model, sequence: &'a [u8]) -> Self {
        let mut views: Vec<View> = model.tables.iter().map(Counts::view).collect();
        if views.len() % 2 == 1 {
            // They are mixed in pairs. In this one nothing is looked for.
            views.push(views[0]);
        }
        let count = views.len();
        let mut ahead = Self {
            contexts: &model.settings.contexts,
            views,
            walk: Walk::new(sequence, model.settings.frame(sequence)),
            keys: vec![NONE; FAR * count],
            handles: vec![Handle::NOTHING; NEAR * count],
            at: 0,
        };
        (0..FAR).for_each(|at| ahead.fill(at));
        (0..NEAR).for_each(|at| ahead.find(at));
        ahead
    }

    /// Goes to the next letter.
    fn next(&mut self) {
        let at = self.at;
        self.at += 1;
        if at > 0 {
            self.fill(at + FAR - 1);
            self.find(at + NEAR - 1);
        }
    }

    /// What the contexts of the letter at hand have.
    fn found(&self) -> &[Handle] {
        let count = self.views.len();
        &self.handles[(self.at - 1) % NEAR * count..][..count]
    }

    /// Keys of the letter at `at`, in the place of those of a letter that is done.
    fn fill(&mut self, at: usize) {
        let count = self.views.len();
        let keys = &mut self.keys[at % FAR * count..][..count];
        if self.walk.is_done() {
            keys.fill(NONE);
            return;
        }
        let place = self.walk.place();
        for ((slot, &context), view) in keys.iter_mut().zip(self.contexts).zip(&self.views) {
            let (key, is_whole) = place.key(context);
            *slot = if is_whole { key } else { NONE };
            if *slot != NONE {
                view.prefetch(*slot);
            }
        }
        self.walk.advance();
    }

    fn find(&mut self, at: usize) {
        let count = self.views.len();
        let keys = &self.keys[at % FAR * count..][..count];
        let handles = &mut self.handles[at % NEAR * count..][..count];
        for ((handle, &key), view) in handles.iter_mut().zip(keys).zip(&self.views) {
            *handle = if key == NONE { Handle::NOTHING } else { view.find(key) };
        }
    }
}
