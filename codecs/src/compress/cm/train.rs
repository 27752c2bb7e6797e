//! Counting.

use rayon::prelude::*;

use super::context::Walk;
use super::counts::Batch;
use super::stretch::Stretch;
use crate::compress::Letters;

use super::{Class, Coding, Model, Result, Settings, calibrate, frame};

/// A sequence of upper-case letters, and the number of its class.
#[derive(Clone, Copy, Debug)]
pub struct Example<'a> {
    /// Letters other than `ACGT` clear the contexts.
    pub sequence: &'a [u8],
    /// Index into the names of the classes.
    pub class: usize,
}

/// Makes models.
#[derive(Clone, Debug)]
pub struct Trainer {
    pub(super) classes: Vec<String>,
    pub(super) coding: Coding,
    settings: Option<Settings>,
    pub(super) letters: Letters,
}

/// Each so many sequences one is held out until the temperature is known.
const HELD_OUT: usize = 8;
/// More of them do not make the temperature better.
const MOST_HELD_OUT: usize = 96;

impl Trainer {
    /// Classes by name.
    pub fn new(classes: Vec<String>) -> Self {
        Self { classes, coding: Coding::Auto, settings: None, letters: Letters::default() }
    }

    /// Whether contexts in the reading frame are used.
    #[must_use]
    pub fn coding(mut self, coding: Coding) -> Self {
        self.coding = coding;
        self
    }

    /// Other settings than the usual ones.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// The form that the sequences have, which queries will have to take.
    #[must_use]
    pub fn letters(mut self, letters: Letters) -> Self {
        self.letters = letters;
        self
    }

    /// Trains on sequences. The order does not matter but for which sequences are held out for the temperature.
    pub fn train(&self, examples: &[Example]) -> Result<Model> {
        self.check(examples)?;
        let settings = self.settings.clone().unwrap_or_else(|| self.default_settings(examples));
        let mut model = self.empty(settings, examples);
        let (mut held, mut rest) = (Vec::new(), Vec::new());
        for (at, &example) in examples.iter().enumerate() {
            if at % HELD_OUT == HELD_OUT - 1 { held.push(example) } else { rest.push(example) }
        }
        model.count(&rest)?;
        let step = held.len().div_ceil(MOST_HELD_OUT).max(1);
        let judged: Vec<Example> = held.iter().copied().step_by(step).collect();
        model.temperature = calibrate::temperature(&model, &judged);
        model.count(&held)?;
        Ok(model)
    }

    /// The usual settings for such sequences.
    pub(super) fn default_settings(&self, examples: &[Example]) -> Settings {
        Settings::new(match self.coding {
            Coding::Yes => true,
            Coding::No => false,
            Coding::Auto => frame::looks_coding(examples.iter().map(|example| example.sequence)),
        })
    }
}

impl Model {
    /// Adds sequences of classes that the model has, or of the new ones in `names`: classes are numbered as in `names`. Their
    /// letters are of the form that the model has.
    pub fn update(&mut self, names: &[String], examples: &[Example]) -> Result<()> {
        let new: Vec<Class> =
            names.iter().map(|name| Class { name: name.clone(), sequences: 0, letters: 0 }).collect();
        let map = self.adopt(&new)?;
        let examples: Vec<Example> =
            examples.iter().map(|example| Example { class: map[example.class], ..*example }).collect();
        self.count(&examples)
    }

    pub(super) fn count(&mut self, examples: &[Example]) -> Result<()> {
        let contexts = &self.settings.contexts;
        let mut stretch = Stretch::default();
        let mut count = |stretch: &mut Stretch| {
            // A table a thread: no two write to the same memory, and the result does not depend on threads.
            let tables = self.tables.par_iter_mut().zip(contexts);
            let counted = tables.try_for_each_init(Batch::default, |batch, (table, &context)| {
                stretch.fill(context, batch);
                table.count_batch(batch)
            });
            stretch.clear();
            counted
        };
        for example in examples {
            let mut walk = Walk::new(example.sequence, self.settings.frame(example.sequence));
            while !walk.is_done() {
                stretch.take(&mut walk, example.class);
                if stretch.is_full() {
                    count(&mut stretch)?;
                }
            }
        }
        count(&mut stretch)?;
        for example in examples {
            self.classes[example.class].sequences += 1;
            self.classes[example.class].letters += example.sequence.len() as u64;
        }
        Ok(())
    }
}
