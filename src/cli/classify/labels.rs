//! Sequences of known classes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use kilobase::codecs::compress::{Letters, labelled};
use kilobase::data::fastx::{Reader, Record};

use crate::cli::output::Console;
use crate::cli::scan;

/// Where sequences and their classes come from.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Input")]
pub(crate) struct LabelArgs {
    /// FASTA or FASTQ files, or tables of sequence and class with a tab between; plain or gzip
    #[arg(value_name = "FILE", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Table of record names and classes, with a tab between
    #[arg(long, value_name = "FILE", conflicts_with = "by_file")]
    pub(crate) labels: Option<PathBuf>,
    /// The class of a record is the name of its file without what follows the first dot
    #[arg(long)]
    pub(crate) by_file: bool,
}

/// Sequences as they are compared, with the numbers of their classes.
#[derive(Debug, Default)]
pub(crate) struct Labelled {
    /// The form that the sequences have.
    pub(crate) letters: Letters,
    pub(crate) ids: Vec<String>,
    pub(crate) sequences: Vec<Vec<u8>>,
    pub(crate) labels: Vec<usize>,
    /// Names of the classes, sorted.
    pub(crate) classes: Vec<String>,
    /// Sequences without letters, which were left out.
    pub(crate) empty: u64,
}

impl LabelArgs {
    pub(crate) fn read(&self, letters: Letters, console: &Console) -> anyhow::Result<Labelled> {
        self.read_rows(letters, false, console)
    }

    /// The same; rows without letters stay, for splits that name rows by number.
    pub(crate) fn read_rows(
        &self,
        letters: Letters,
        keep_empty: bool,
        console: &Console,
    ) -> anyhow::Result<Labelled> {
        let table = self.labels.as_deref().map(read_labels).transpose()?;
        let mut rows: Vec<(String, Vec<u8>, String)> = Vec::new();
        for path in &self.inputs {
            let shown = path.display();
            if labelled::is_table(path)? {
                ensure!(
                    table.is_none() && !self.by_file,
                    "{shown}: is a table with classes; --labels and --by-file are for FASTA and FASTQ"
                );
                for row in labelled::read(path)? {
                    rows.push((format!("{}", row.line), row.sequence, row.class));
                }
                continue;
            }
            let mut reader = Reader::open(path)?;
            let mut record = Record::default();
            while reader.read_record(&mut record)? {
                let class = if self.by_file {
                    stem(path)
                } else if let Some(table) = &table {
                    let class = table.get(&record.id);
                    class.cloned().with_context(|| {
                        format!(
                            "{shown}: record {} (id {}) is not in the table of labels",
                            record.number,
                            record.id.escape_debug()
                        )
                    })?
                } else {
                    header_class(&record).with_context(|| {
                        format!(
                            "{shown}: record {} (id {}) has no class: give --labels or --by-file, or write class= in \
                             the header",
                            record.number,
                            record.id.escape_debug()
                        )
                    })?
                };
                rows.push((record.id.clone(), record.sequence.clone(), class));
            }
            scan::warn(&reader, console);
        }
        let mut labelled = Labelled {
            letters,
            classes: rows.iter().map(|(_, _, class)| class.clone()).collect(),
            ..Labelled::default()
        };
        // Numbers in the order of numbers, all else in that of letters.
        labelled.classes.sort_by_key(|class| (class.parse::<u64>().unwrap_or(u64::MAX), class.clone()));
        labelled.classes.dedup();
        let number: HashMap<String, usize> =
            labelled.classes.iter().enumerate().map(|(at, class)| (class.clone(), at)).collect();
        for (id, mut sequence, class) in rows {
            letters.apply(&mut sequence);
            if sequence.is_empty() && !keep_empty {
                labelled.empty += 1;
                continue;
            }
            labelled.ids.push(id);
            labelled.sequences.push(sequence);
            labelled.labels.push(number[&class]);
        }
        labelled.check(console)?;
        Ok(labelled)
    }
}

impl Labelled {
    fn check(&self, console: &Console) -> anyhow::Result<()> {
        if self.classes.len() < 2 {
            let only = self.classes.first().map_or("none", String::as_str);
            bail!("at least two classes are needed; the input has {} ({only})", self.classes.len());
        }
        for (class, name) in self.classes.iter().enumerate() {
            ensure!(self.labels.contains(&class), "class {name} has no sequence with letters");
        }
        if self.empty > 0 {
            console.warn(format_args!("{} sequences without letters were left out", self.empty));
        }
        let mut seen: HashMap<&[u8], usize> = HashMap::new();
        for (row, sequence) in self.sequences.iter().enumerate() {
            let first = *seen.entry(sequence).or_insert(row);
            if self.labels[first] != self.labels[row] {
                console.warn(format_args!(
                    "{} of class {} and {} of class {} are the same sequence",
                    self.ids[first],
                    self.classes[self.labels[first]],
                    self.ids[row],
                    self.classes[self.labels[row]]
                ));
            }
        }
        Ok(())
    }
}

fn read_labels(path: &Path) -> anyhow::Result<HashMap<String, String>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{shown}"))?;
    let mut labels = HashMap::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    {
        let line_number = at + 1;
        let Some((id, class)) = line.split_once('\t') else {
            bail!("{shown}: line {line_number}: {line:?} has no class after a tab");
        };
        let class = class.trim();
        ensure!(!class.is_empty(), "{shown}: line {line_number}: {id} has no class");
        if let Some(before) = labels.insert(id.to_owned(), class.to_owned()) {
            ensure!(
                before == class,
                "{shown}: line {line_number}: {id} is of class {before} and of class {class}"
            );
        }
    }
    Ok(labels)
}

fn stem(path: &Path) -> String {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    name.split('.').next().unwrap_or_default().to_owned()
}

/// What follows `class=` in a header.
fn header_class(record: &Record) -> Option<String> {
    let word = record.description.split_whitespace().find_map(|word| word.strip_prefix("class="))?;
    (!word.is_empty()).then(|| word.to_owned())
}
