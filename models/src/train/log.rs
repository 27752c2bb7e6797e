//! The log of a run: a JSON document a line.

use super::Error;
use kilobase_data::export::AtomicFile;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A step of training.
    Step(Step),
    /// A measurement on held-out bases.
    HeldOut(HeldOut),
}

/// A step of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Which, from 1.
    pub step: u64,
    /// Passes over the data that were begun, from 1.
    pub epoch: u64,
    /// Mean of what the recipe's goal asks, in nats.
    pub loss: f64,
    /// Cross-entropy of the predicted tokens, in bits, for each of their bases.
    pub bits_per_base: f64,
    /// The rate it was taken with.
    pub learning_rate: f64,
    /// Norm of all gradients before clipping.
    pub gradient_norm: f64,
    /// Tokens that were read.
    pub tokens: u64,
    /// Bases that were read.
    pub bases: u64,
    /// How long it took.
    pub seconds: f64,
}

/// A measurement on held-out bases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// After which step.
    pub step: u64,
    /// Of which data set.
    pub held_out: String,
    /// Mean of what the recipe's goal asks, in nats.
    pub loss: f64,
    /// Cross-entropy of the predicted tokens, in bits, for each of their bases.
    pub bits_per_base: f64,
    /// Bases that were predicted.
    pub bases: u64,
}

/// What a log is made of.
pub trait Numbered {
    /// The step it is of.
    fn step(&self) -> u64;
}

impl Numbered for Line {
    fn step(&self) -> u64 {
        match self {
            Self::Step(line) => line.step,
            Self::HeldOut(line) => line.step,
        }
    }
}

/// The file, and what is in it.
#[derive(Debug)]
pub struct Log<L> {
    path: PathBuf,
    file: File,
    lines: Vec<L>,
}

impl<L: Numbered + Serialize + DeserializeOwned> Log<L> {
    /// Opens a log to go on after `step`: lines of later steps, and half a line at its end, are taken out.
    pub fn open(path: &Path, step: u64) -> Result<Self, Error> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::Io { path: path.to_owned(), source }),
        };
        let mut lines = Vec::new();
        let mut whole = AtomicFile::create(path, true)?;
        for text in text.lines() {
            let Some(line) = serde_json::from_str::<L>(text).ok().filter(|line| line.step() <= step) else {
                continue;
            };
            // As it is: a reader of JSON may round numbers.
            writeln!(whole, "{text}").map_err(Error::io(path))?;
            lines.push(line);
        }
        whole.commit()?;
        let file = OpenOptions::new().append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file, lines })
    }

    /// Adds a line.
    pub fn add(&mut self, line: L) -> Result<(), Error> {
        // In one write, so that a killed run leaves whole lines but for the last.
        self.file.write_all(format!("{}\n", json(&line)).as_bytes()).map_err(Error::io(&self.path))?;
        self.lines.push(line);
        Ok(())
    }

    /// All lines.
    pub fn lines(&self) -> &[L] {
        &self.lines
    }
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("numbers and text are always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_on_takes_out_what_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let line = |step| {
            let (held_out, bases) = ("a".to_owned(), 6);
            Line::HeldOut(HeldOut { step, held_out, loss: 8.25, bits_per_base: 1.98, bases })
        };
        let mut log = Log::open(&path, 0).unwrap();
        for step in 1..=3 {
            log.add(line(step)).unwrap();
        }
        fs::write(&path, format!("{}{{\"step\":4,\"hel", fs::read_to_string(&path).unwrap())).unwrap();
        let mut log = Log::open(&path, 2).unwrap();
        log.add(line(3)).unwrap();
        assert_eq!(log.lines(), [line(1), line(2), line(3)]);
        assert_eq!(Log::<Line>::open(&path, 9).unwrap().lines(), log.lines());
    }
}
