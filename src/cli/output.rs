//! The only place that prints. Standard output carries data and reports that were asked for, standard error the rest.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "this is the place")]

use std::{
    fmt::Display,
    io::{self, BufWriter, ErrorKind, IsTerminal, Write},
    path::Path,
};

use indicatif::MultiProgress;
use serde_json::{Map, Value};

use super::exit::Exit;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Errors.
    Quiet,
    /// Also warnings, what was chosen, and the summary.
    Normal,
    /// Also steps.
    Detail,
}

impl Level {
    pub(crate) fn new(quiet: bool, verbose: u8) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (_, 0) => Self::Normal,
            (_, _) => Self::Detail,
        }
    }
}

/// Messages to the user.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    level: Level,
    json: bool,
    bars: MultiProgress,
}

impl Console {
    pub(crate) fn new(level: Level, json: bool) -> Self {
        Self { level, json, bars: MultiProgress::new() }
    }

    /// Something that the user should know about the data or the run.
    pub(crate) fn warn(&self, message: impl Display) {
        self.say(Level::Normal, format_args!("warning: {message}"));
    }

    /// What was chosen for the user.
    pub(crate) fn info(&self, message: impl Display) {
        self.say(Level::Normal, message);
    }

    /// A step, shown by `-v`.
    pub(crate) fn detail(&self, message: impl Display) {
        self.say(Level::Detail, message);
    }

    fn say(&self, level: Level, message: impl Display) {
        if level <= self.level {
            // A bar steps aside while a line is written.
            self.bars.suspend(|| error(&format!("kilobase: {message}")));
        }
    }

    /// The counted end of a command: a line on standard error, or with `--json` a document. That goes to standard output
    /// unless the data do.
    pub(crate) fn summary(&self, summary: &Summary, data_on_stdout: bool) -> anyhow::Result<()> {
        if !self.json {
            self.info(summary.text());
            return Ok(());
        }
        let document = Value::Object(summary.document());
        if data_on_stdout {
            error(&document.to_string());
            return Ok(());
        }
        let mut out = Stdout::new();
        writeln!(out, "{document:#}")?;
        Ok(out.flush()?)
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }
}

/// Facts and counts that a command ends with, in the order in which they are told.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    command: &'static str,
    facts: Vec<(&'static str, Value)>,
}

impl Summary {
    pub(crate) fn new(command: &'static str) -> Self {
        Self { command, facts: Vec::new() }
    }

    /// Adds a fact. Names are those of JSON keys: `records_skipped`.
    pub(crate) fn fact(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.facts.push((name, value.into()));
        self
    }

    fn document(&self) -> Map<String, Value> {
        let command = ("command".to_owned(), self.command.into());
        let facts = self.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        std::iter::once(command).chain(facts).collect()
    }

    fn text(&self) -> String {
        let facts: Vec<String> = self
            .facts
            .iter()
            .map(|(name, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                format!("{} {value}", name.replace('_', " "))
            })
            .collect();
        format!("{}: {}", self.command, facts.join(", "))
    }
}

/// Standard output. Its error when the reader has gone ends the program quietly, see [`Exit::of`].
#[derive(Debug)]
pub(crate) struct Stdout(BufWriter<io::StdoutLock<'static>>);

impl Stdout {
    pub(crate) fn new() -> Self {
        Self(BufWriter::with_capacity(1 << 16, io::stdout().lock()))
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(mark)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(mark)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
struct ClosedPipe;

/// A pipe to a network or a child may break as well, and that is an error: ours is told apart by a mark.
fn mark(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::BrokenPipe { closed_pipe() } else { error }
}

pub(super) fn closed_pipe() -> io::Error {
    io::Error::new(ErrorKind::BrokenPipe, ClosedPipe)
}

/// Whether the reader of our standard output has gone.
pub(super) fn is_closed_pipe(error: &io::Error) -> bool {
    error.get_ref().and_then(|inner| inner.downcast_ref::<ClosedPipe>()).is_some()
}

/// Writes lines to standard error. Nobody is left to hear of it where that fails.
pub(super) fn error(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// How an output is named in a summary.
pub(super) fn shown(file: Option<&Path>) -> String {
    file.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string())
}

/// Whether a person looks at standard error.
pub(super) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Help and version go to standard output, errors of the command line to standard error.
pub(super) fn show_clap(message: &clap::Error) -> Exit {
    let _ = message.print();
    if message.use_stderr() { Exit::Usage } else { Exit::Done }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_tells_the_same_to_people_and_machines() {
        let summary =
            Summary::new("embed").fact("records", 12).fact("records_skipped", 0).fact("device", "cpu");
        assert_eq!(summary.text(), "embed: records 12, records skipped 0, device cpu");
        let document = Value::Object(summary.document());
        assert_eq!(document["command"], "embed");
        assert_eq!(document["records_skipped"], 0);
    }

    #[test]
    fn quiet_and_verbose_set_the_level() {
        assert_eq!(Level::new(true, 0), Level::Quiet);
        assert_eq!(Level::new(false, 0), Level::Normal);
        assert_eq!(Level::new(false, 9), Level::Detail);
    }
}
