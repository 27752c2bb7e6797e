//! A program of the user's that judges sequences.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};
use kilobase::models::decode::predicate::Predicate;

/// The program while it runs. It gets a sequence a line and answers with a line `1` or `0`.
pub(super) struct Judge {
    command: String,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What went wrong; from then on everything is refused.
    failure: Option<anyhow::Error>,
}

impl Judge {
    /// Starts the program by the shell.
    pub(super) fn start(command: &str) -> anyhow::Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("--judge: cannot start {command}"))?;
        let input = child.stdin.take().context("a pipe to the program")?;
        let output = BufReader::new(child.stdout.take().context("a pipe from the program")?);
        Ok(Self { command: command.to_owned(), child, input, output, failure: None })
    }

    /// The error that made it refuse, if one did.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.failure.take() {
            None => Ok(()),
            Some(error) => Err(error.context(format!("--judge {}", self.command))),
        }
    }

    fn ask(&mut self, text: &[u8]) -> anyhow::Result<bool> {
        self.input.write_all(text)?;
        self.input.write_all(b"\n")?;
        self.input.flush()?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).context("it ended before it answered");
        }
        match answer.trim() {
            "1" => Ok(true),
            "0" => Ok(false),
            other => bail!("it answered {other:?}, not 1 or 0"),
        }
    }
}

impl Predicate for Judge {
    fn accepts(&mut self, text: &[u8]) -> bool {
        if self.failure.is_some() {
            return false;
        }
        match self.ask(text) {
            Ok(answer) => answer,
            Err(error) => {
                self.failure = Some(error);
                false
            }
        }
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        // It may not look at its input any more; nothing is left to be told of a failure to end it.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_nonsense_is_an_error() {
        let mut judge =
            Judge::start("while read s; do case $s in *TTT*) echo 0;; *) echo 1;; esac; done").unwrap();
        assert!(judge.accepts(b"ACGT"));
        assert!(!judge.accepts(b"ACTTT"));
        assert!(judge.accepts(b"AC"));
        judge.check().unwrap();
        for (command, part) in [("while read s; do echo maybe; done", "maybe"), ("exit 3", "--judge exit 3")]
        {
            let mut judge = Judge::start(command).unwrap();
            assert!(!judge.accepts(b"ACGT"));
            let error = format!("{:#}", judge.check().unwrap_err());
            assert!(error.contains(part), "{error}");
        }
    }
}
