//! Class models by context mixing: one compressor a class, and the class that writes a sequence in the fewest bits.
//!
//! Each class counts which base follows which context: the bases before, and in coding sequences the amino acids before,
//! in full and in seven groups, with the bases of the codon so far. The classes share their contexts, so that one look finds
//! the counts of all. A sequence is predicted by all contexts at once; how much each is trusted is learned along the
//! sequence, for each class on its own (the rule of GeCo: weights decay by a power and grow by what was right).
//!
//! Training is counting: it does not depend on order, models add up, and more sequences can be added later.

mod calibrate;
mod context;
mod counts;
mod error;
mod file;
mod frame;
mod lanes;
mod mixer;
mod profile;
mod score;
mod select;
mod settings;
mod stretch;
mod train;

pub use context::Context;
pub use error::{Error, Result};
#[doc(hidden)]
pub use file::check;
pub use score::{Decision, Score};
pub use select::Trial;
pub use settings::{Coding, Settings};
pub use train::{Example, Trainer};

use counts::Counts;

use super::Letters;

/// Classes that a model may have: a slot of a table holds the class in ten bits.
pub const MOST_CLASSES: usize = 1 << 10;

/// A trained model.
#[derive(Clone, Debug)]
pub struct Model {
    settings: Settings,
    letters: Letters,
    classes: Vec<Class>,
    /// A table for each context of the settings.
    tables: Vec<Counts>,
    /// By which bits are divided before they become probabilities.
    temperature: f64,
}

/// What a model knows of a class beside its counts.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Sequences that it was trained on.
    pub sequences: u64,
    /// Letters of these.
    pub letters: u64,
}

impl Model {
    /// The classes, in the order of all results.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// How it was made.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The form that a query must be brought to before it is scored.
    pub fn letters(&self) -> Letters {
        self.letters
    }

    /// The divisor of bits before they become probabilities.
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// Adds the counts of another model of the same settings and the same rule for letters. Classes are told by name; new ones are added.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.settings != other.settings {
            return Err(Error::Settings);
        }
        if self.letters != other.letters {
            return Err(Error::Letters { own: self.letters, other: other.letters });
        }
        let map = self.adopt(&other.classes)?;
        for (table, more) in self.tables.iter_mut().zip(&other.tables) {
            table.add(more, &map)?;
        }
        let weight = |model: &[Class]| model.iter().map(|class| class.sequences).sum::<u64>() as f64;
        let (own, more) = (weight(&self.classes), weight(&other.classes));
        // The geometric mean: a temperature is a scale.
        let logs = own * self.temperature.ln() + more * other.temperature.ln();
        self.temperature = (logs / (own + more).max(1.0)).exp();
        for (class, &at) in other.classes.iter().zip(&map) {
            self.classes[at].sequences += class.sequences;
            self.classes[at].letters += class.letters;
        }
        Ok(())
    }

    /// Finds classes by name, and adds those that are new, without sequences.
    fn adopt(&mut self, classes: &[Class]) -> Result<Vec<usize>> {
        let mut map = Vec::with_capacity(classes.len());
        for class in classes {
            let at = self.classes.iter().position(|own| own.name == class.name).unwrap_or_else(|| {
                self.classes.push(Class { sequences: 0, letters: 0, ..class.clone() });
                self.classes.len() - 1
            });
            map.push(at);
        }
        if self.classes.len() > MOST_CLASSES {
            return Err(Error::TooManyClasses { classes: self.classes.len() });
        }
        for table in &mut self.tables {
            table.widen(self.classes.len());
        }
        Ok(map)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same bits are what is asked for")]
mod tests;
