//! Settings chosen by cross-validation.

use rayon::prelude::*;

use super::{
    Class, Coding, Context, Counts, Error, Example, Model, Result, Score, Settings, Trainer, calibrate,
};

/// Settings, and how they did on sequences that were held out in turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What was tried.
    pub settings: Settings,
    /// Share of sequences that went to their class.
    pub accuracy: f64,
    /// Bits of surprise at the true class, a sequence, at the temperature where they are fewest.
    pub surprise: f64,
}

/// Powers by which weights decay.
const DECAYS: [f64; 3] = [0.7, 0.8, 0.9];

impl Trial {
    /// The settings with the least surprise, the first of equals: less coarse than accuracy, which a few sequences decide.
    pub fn best(trials: &[Self]) -> Option<&Self> {
        trials.iter().min_by(|a, b| a.surprise.total_cmp(&b.surprise))
    }
}

impl Trainer {
    /// Tries contexts and decays: each fold is told apart by counts of the others. `folds` has the fold of each example.
    /// With relatives in one fold, what is chosen is good for families that are new, and copies do not favour long contexts.
    pub fn trials(&self, examples: &[Example], folds: &[usize]) -> Result<Vec<Trial>> {
        self.check(examples)?;
        let full = self.default_settings(examples);
        let mut trials = Vec::new();
        for contexts in candidates(&full, self.coding) {
            let mut scores = vec![Vec::with_capacity(examples.len()); DECAYS.len()];
            for fold in 0..=folds.iter().copied().max().unwrap_or(0) {
                let (held, rest): (Vec<_>, Vec<_>) =
                    examples.iter().zip(folds).partition(|&(_, &of)| of == fold);
                let rest: Vec<Example> = rest.into_iter().map(|(example, _)| *example).collect();
                let mut model = self.empty(Settings { contexts: contexts.clone(), ..full }, examples);
                model.count(&rest)?;
                for (scores, decay) in scores.iter_mut().zip(DECAYS) {
                    model.settings.decay = decay;
                    let score =
                        |&(example, _): &(&Example, _)| (model.score(example.sequence), example.class);
                    scores.par_extend(held.par_iter().map(score));
                }
            }
            for (scores, decay) in scores.iter().zip(DECAYS) {
                trials.push(Trial::of(Settings { contexts: contexts.clone(), decay }, scores));
            }
        }
        Ok(trials)
    }

    pub(super) fn check(&self, examples: &[Example]) -> Result<()> {
        if self.classes.len() > super::MOST_CLASSES {
            return Err(Error::TooManyClasses { classes: self.classes.len() });
        }
        if self.classes.len() < 2 {
            return Err(Error::TooFewClasses { classes: self.classes.len() });
        }
        for (class, name) in self.classes.iter().enumerate() {
            if !examples.iter().any(|example| example.class == class && !example.sequence.is_empty()) {
                return Err(Error::EmptyClass { name: name.clone() });
            }
        }
        Ok(())
    }

    /// A model that has seen nothing; the examples say how much is to come.
    pub(super) fn empty(&self, settings: Settings, examples: &[Example]) -> Model {
        let letters = examples.iter().map(|example| example.sequence.len() as u64).sum();
        let class = |name: &String| Class { name: name.clone(), sequences: 0, letters: 0 };
        let tables = settings
            .contexts
            .iter()
            .map(|&context| Counts::new(context, self.classes.len(), letters))
            .collect();
        let classes = self.classes.iter().map(class).collect();
        Model { settings, letters: self.letters, classes, tables, temperature: 1.0 }
    }
}

impl Trial {
    fn of(settings: Settings, scores: &[(Score, usize)]) -> Self {
        let (temperature, surprise) = calibrate::fit(scores);
        let right = scores.iter().filter(|(score, class)| score.decide(temperature).class == *class).count();
        let count = scores.len().max(1) as f64;
        Self { settings, accuracy: right as f64 / count, surprise: surprise / count }
    }
}

/// All contexts of the usual settings, and fewer: without the long ones, and one kind less of those in the reading frame.
fn candidates(full: &Settings, coding: Coding) -> Vec<Vec<Context>> {
    let only = |keep: &dyn Fn(Context) -> bool| -> Vec<Context> {
        full.contexts.iter().copied().filter(|&context| keep(context)).collect()
    };
    let is_long = |context| matches!(context, Context::Bases(13..));
    let is_amino = |context| matches!(context, Context::Amino(_));
    let is_group = |context| matches!(context, Context::Groups(_));
    let mut sets = vec![full.contexts.clone(), only(&|context| !is_long(context))];
    if full.contexts.iter().any(|context| context.is_coding()) {
        sets.push(only(&|context| !is_amino(context)));
        sets.push(only(&|context| !is_group(context)));
        if coding == Coding::Auto {
            sets.push(only(&|context| !context.is_coding()));
        }
    }
    sets
}
