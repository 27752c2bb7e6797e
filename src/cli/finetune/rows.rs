//! Labelled sequences, from tables or from FASTA.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use kilobase::codecs::compress::labelled;
use kilobase::data::fastx::{Reader, Record};
use kilobase::models::run::predict::Tokens;
use kilobase::models::run::predict::task::{Scale, Task};
use kilobase::models::train::Targets;

/// What labels are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Names of classes
    Classification,
    /// Numbers
    Regression,
}

impl Kind {
    pub(crate) fn of(task: &Task) -> Self {
        match task {
            Task::Classes(_) => Self::Classification,
            Task::Value(_) => Self::Regression,
        }
    }

    /// What stands before a label in the header of a FASTA record.
    fn key(self) -> &'static str {
        match self {
            Self::Classification => "class=",
            Self::Regression => "value=",
        }
    }
}

/// Sequences, upper case, and their labels as written.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) sequences: Vec<Vec<u8>>,
    kind: Kind,
    labels: Vec<String>,
    /// What each is called in messages.
    pub(crate) names: Vec<String>,
}

impl Rows {
    pub(crate) fn read(paths: &[PathBuf], kind: Kind) -> anyhow::Result<Self> {
        let mut rows = Self { sequences: Vec::new(), kind, labels: Vec::new(), names: Vec::new() };
        for path in paths {
            let before = rows.sequences.len();
            rows.add(path)?;
            super::check_some(rows.sequences.len() - before, path)?;
        }
        Ok(rows)
    }

    fn add(&mut self, path: &Path) -> anyhow::Result<()> {
        let shown = path.display();
        if labelled::is_table(path)? {
            for row in labelled::read(path)? {
                self.push(format!("{shown}: line {}", row.line), row.sequence, row.class)?;
            }
            return Ok(());
        }
        let mut reader = Reader::open(path)?;
        let mut record = Record::default();
        while reader.read_record(&mut record)? {
            let name = format!("{shown}: record {} (id {})", record.number, record.id.escape_debug());
            let key = self.kind.key();
            let label = record.description.split_whitespace().find_map(|word| word.strip_prefix(key));
            let label = label.filter(|label| !label.is_empty());
            let label = label.with_context(|| format!("{name} has no label: write {key} in its header"))?;
            self.push(name, record.sequence.clone(), label.to_owned())?;
        }
        Ok(())
    }

    fn push(&mut self, name: String, mut sequence: Vec<u8>, label: String) -> anyhow::Result<()> {
        ensure!(!sequence.is_empty(), "{name} has no bases");
        sequence.make_ascii_uppercase();
        self.sequences.push(sequence);
        self.labels.push(label);
        self.names.push(name);
        Ok(())
    }

    /// What a head that is trained on these rows answers.
    pub(crate) fn task(&self) -> anyhow::Result<Task> {
        match self.kind {
            Kind::Classification => Ok(Task::Classes(self.classes()?)),
            Kind::Regression => {
                let scale = Scale::of(&self.values()?);
                Ok(Task::Value(scale.context("the training set cannot be learnt")?))
            }
        }
    }

    /// Names of the classes, numbers in the order of numbers, all else in that of letters.
    pub(crate) fn classes(&self) -> anyhow::Result<Vec<String>> {
        let mut classes = self.labels.clone();
        classes.sort_by_key(|class| (class.parse::<u64>().unwrap_or(u64::MAX), class.clone()));
        classes.dedup();
        let only = classes.first().map_or("none", String::as_str);
        ensure!(classes.len() > 1, "at least two classes are needed; the training set has one ({only})");
        Ok(classes)
    }

    /// Whether labels of classes look like numbers that are measured.
    pub(crate) fn look_like_values(&self) -> bool {
        let number = |label: &String| label.parse::<f64>().is_ok_and(f64::is_finite);
        let whole = |label: &String| label.parse::<i64>().is_ok();
        self.kind == Kind::Classification && self.labels.iter().all(number) && !self.labels.iter().all(whole)
    }

    /// A class of a task that no sequence is of.
    pub(crate) fn absent<'a>(&self, task: &'a Task) -> Option<&'a str> {
        let Task::Classes(classes) = task else { return None };
        classes.iter().find(|class| !self.labels.contains(class)).map(String::as_str)
    }

    /// What a head is asked for.
    pub(crate) fn targets(&self, task: &Task) -> anyhow::Result<Targets> {
        Ok(match task {
            Task::Classes(classes) => Targets::Classes(self.numbers(classes)?),
            Task::Value(_) => Targets::Values(self.values()?),
        })
    }

    /// The number of each sequence's class.
    pub(crate) fn numbers(&self, classes: &[String]) -> anyhow::Result<Vec<usize>> {
        let number = |(class, name): (&String, &String)| {
            let found = classes.iter().position(|known| known == class);
            found.with_context(|| {
                format!(
                    "{name} is of class {class}, which the training set has not; it has {}",
                    classes.join(", ")
                )
            })
        };
        self.labels.iter().zip(&self.names).map(number).collect()
    }

    /// The value of each sequence.
    pub(crate) fn values(&self) -> anyhow::Result<Vec<f64>> {
        let value = |(label, name): (&String, &String)| {
            let value = label.parse().ok().filter(|value: &f64| value.is_finite());
            value.with_context(|| {
                format!("{name} has the label {label:?}, which is no finite number; a regression needs one")
            })
        };
        self.labels.iter().zip(&self.names).map(value).collect()
    }

    /// The tokens of each sequence.
    pub(crate) fn ids(&self, tokens: &Tokens<'_>) -> anyhow::Result<Vec<Vec<u32>>> {
        let of = |(index, text): (usize, &Vec<u8>)| {
            tokens.ids(index, text).with_context(|| self.names[index].clone())
        };
        self.sequences.iter().enumerate().map(of).collect()
    }
}
