//! How a run ends: exit codes and the last words of an error.

use std::{
    fmt,
    io::{self, ErrorKind},
    process::ExitCode,
};

use kilobase::{
    data::export,
    models::{checkpoint, device, family, train},
};

use super::output;

/// The exit codes. Schedulers give codes from 130 on a meaning of their own, so there are no more than these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All was done.
    Done = 0,
    /// The data or the run had an error.
    Failed = 1,
    /// The command line has an error.
    Usage = 2,
    /// A file, a model, a driver, a device or memory is missing.
    Missing = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error of the command line that clap cannot see: flags that do not go together, or not with what is there.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// A resource that is missing, and what helps.
#[derive(Debug)]
pub(crate) struct Missing {
    /// What is missing.
    pub(crate) what: String,
    /// What the user can do.
    pub(crate) hint: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Missing {}

impl Exit {
    /// The code for an error, from what its chain of causes holds.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Failed)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return match error.kind() {
                ErrorKind::NotFound | ErrorKind::OutOfMemory => Some(Self::Missing),
                _ if output::is_closed_pipe(error) => Some(Self::Done),
                _ => None,
            };
        }
        let checkpoint = match cause.downcast_ref::<family::Error>() {
            Some(family::Error::Checkpoint(error)) => Some(error),
            _ => cause.downcast_ref::<checkpoint::Error>(),
        };
        if cause.is::<Missing>()
            || cause.is::<device::Error>()
            || checkpoint.is_some_and(checkpoint::Error::is_missing_resource)
        {
            return Some(Self::Missing);
        }
        let usage = cause.is::<Usage>()
            || matches!(cause.downcast_ref::<train::Error>(), Some(train::Error::Recipe { .. }))
            || matches!(cause.downcast_ref::<export::Error>(), Some(export::Error::UnknownFormat { .. }));
        usage.then_some(Self::Usage)
    }
}

/// Prints an error, unless it only says that the reader of our output has gone, and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    let exit = Exit::of(error);
    if exit != Exit::Done {
        output::error(&render(error));
    }
    exit
}

fn render(error: &anyhow::Error) -> String {
    let mut lines = vec![format!("kilobase: error: {error}")];
    let mut last = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some errors repeat their cause in their own words.
        if !last.ends_with(&cause) {
            lines.push(format!("  cause: {cause}"));
        }
        last = cause;
    }
    let hint = error.chain().find_map(|cause| Some(&cause.downcast_ref::<Missing>()?.hint));
    lines.extend(hint.map(|hint| format!("  hint: {hint}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    fn io(kind: ErrorKind) -> io::Error {
        kind.into()
    }

    #[test]
    fn codes_follow_the_cause_at_any_depth() {
        let exit = |error: anyhow::Error| Exit::of(&error.context("while reading").context("embed"));
        assert_eq!(exit(anyhow!("bad record")), Exit::Failed);
        assert_eq!(exit(io(ErrorKind::PermissionDenied).into()), Exit::Failed);
        assert_eq!(exit(io(ErrorKind::NotFound).into()), Exit::Missing);
        assert_eq!(exit(Usage("--overlap".to_owned()).into()), Exit::Usage);
        assert_eq!(exit(device::Error::NotBuilt { feature: "cuda" }.into()), Exit::Missing);
        assert_eq!(
            exit(device::Error::NoSuchDevice { device: "cuda", index: 1, available: 1 }.into()),
            Exit::Missing
        );
        let missing = export::Error::Io { path: "a/b.npy".into(), source: io(ErrorKind::NotFound) };
        assert_eq!(exit(missing.into()), Exit::Missing);
        assert_eq!(exit(export::Error::UnknownFormat { name: "a.xls".to_owned() }.into()), Exit::Usage);
    }

    #[test]
    fn only_our_own_standard_output_may_close_early() {
        let network = anyhow::Error::new(io(ErrorKind::BrokenPipe));
        assert_eq!(Exit::of(&network), Exit::Failed);
        let ours = export::Error::Io { path: "-".into(), source: output::closed_pipe() };
        assert_eq!(Exit::of(&anyhow::Error::new(ours)), Exit::Done);
    }

    #[test]
    fn error_is_told_with_causes_and_hint() {
        let missing = Missing { what: "no model `x`".to_owned(), hint: "name a folder".to_owned() };
        let error = Err::<(), _>(missing).context("cannot load the model").unwrap_err();
        assert_eq!(
            render(&error),
            "kilobase: error: cannot load the model\n  cause: no model `x`\n  hint: name a folder"
        );
    }
}
