//! Labelled sequences, from tables or from FASTA.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use kilobase::codecs::compress::labelled;
use kilobase::data::fastx::{Reader, Record};
use kilobase::models::run::classify::Tokens;

/// Sequences, upper case, and the names of their classes.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) sequences: Vec<Vec<u8>>,
    classes: Vec<String>,
    /// What each is called in messages.
    pub(crate) names: Vec<String>,
}

impl Rows {
    pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut rows = Self::default();
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
            let class = record.description.split_whitespace().find_map(|word| word.strip_prefix("class="));
            let class = class.filter(|class| !class.is_empty());
            let class = class.with_context(|| format!("{name} has no class: write class= in its header"))?;
            self.push(name, record.sequence.clone(), class.to_owned())?;
        }
        Ok(())
    }

    fn push(&mut self, name: String, mut sequence: Vec<u8>, class: String) -> anyhow::Result<()> {
        ensure!(!sequence.is_empty(), "{name} has no bases");
        sequence.make_ascii_uppercase();
        self.sequences.push(sequence);
        self.classes.push(class);
        self.names.push(name);
        Ok(())
    }

    /// Names of the classes, numbers in the order of numbers, all else in that of letters.
    pub(crate) fn classes(&self) -> anyhow::Result<Vec<String>> {
        let mut classes = self.classes.clone();
        classes.sort_by_key(|class| (class.parse::<u64>().unwrap_or(u64::MAX), class.clone()));
        classes.dedup();
        let only = classes.first().map_or("none", String::as_str);
        ensure!(classes.len() > 1, "at least two classes are needed; the training set has one ({only})");
        Ok(classes)
    }

    /// The number of each sequence's class.
    pub(crate) fn labels(&self, classes: &[String]) -> anyhow::Result<Vec<usize>> {
        let number = |(class, name): (&String, &String)| {
            let found = classes.iter().position(|known| known == class);
            found.with_context(|| {
                format!(
                    "{name} is of class {class}, which the training set has not; it has {}",
                    classes.join(", ")
                )
            })
        };
        self.classes.iter().zip(&self.names).map(number).collect()
    }

    /// The tokens of each sequence.
    pub(crate) fn ids(&self, tokens: &Tokens<'_>) -> anyhow::Result<Vec<Vec<u32>>> {
        let of = |(index, text): (usize, &Vec<u8>)| {
            tokens.ids(index, text).with_context(|| self.names[index].clone())
        };
        self.sequences.iter().enumerate().map(of).collect()
    }
}
