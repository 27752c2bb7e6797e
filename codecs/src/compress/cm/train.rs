//! Counting.

use rayon::prelude::*;

use super::context::Walk;
use super::counts::Batch;
use super::stretch::Stretch;
use super::{Class, Coding, Counts, Error, MOST_CLASSES, Model, Result, Settings, calibrate, frame};

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
    classes: Vec<String>,
    coding: Coding,
    settings: Option<Settings>,
}

/// Each so many sequences one is held out until the temperature is known.
const HELD_OUT: usize = 8;
/// More of them do not make the temperature better.
const MOST_HELD_OUT: usize = 96;

impl Trainer {
    /// Classes by name.
    pub fn new(classes: Vec<String>) -> Self {
        Self { classes, coding: Coding::Auto, settings: None }
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

    /// Trains on sequences. The order does not matter but for which sequences are held out for the temperature.
    pub fn train(&self, examples: &[Example]) -> Result<Model> {
        if self.classes.len() > MOST_CLASSES {
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
        let settings = self.settings.clone().unwrap_or_else(|| {
            Settings::new(match self.coding {
                Coding::Yes => true,
                Coding::No => false,
                Coding::Auto => frame::looks_coding(examples.iter().map(|example| example.sequence)),
            })
        });
        let letters = examples.iter().map(|example| example.sequence.len() as u64).sum();
        let classes: Vec<Class> =
            self.classes.iter().map(|name| Class { name: name.clone(), sequences: 0, letters: 0 }).collect();
        let table = |&context| Counts::new(context, classes.len(), letters);
        let tables = settings.contexts.iter().map(table).collect();
        let mut model = Model { settings, classes, tables, temperature: 1.0 };
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
}

impl Model {
    /// Adds sequences of classes that the model has, or of the new ones in `names`: classes are numbered as in `names`.
    pub fn update(&mut self, names: &[String], examples: &[Example]) -> Result<()> {
        let new: Vec<Class> =
            names.iter().map(|name| Class { name: name.clone(), sequences: 0, letters: 0 }).collect();
        let map = self.adopt(&new)?;
        let examples: Vec<Example> =
            examples.iter().map(|example| Example { class: map[example.class], ..*example }).collect();
        self.count(&examples)
    }

    fn count(&mut self, examples: &[Example]) -> Result<()> {
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
