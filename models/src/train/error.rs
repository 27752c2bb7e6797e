//! What ends a training run.

use crate::{checkpoint, family};
use kilobase_data::{export, fastx, tokenize};
use std::io;
use std::path::PathBuf;

/// A training run cannot begin, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipe asks for something that there is not.
    #[error("{field}: {reason}")]
    Recipe {
        /// The field, as the file writes it.
        field: &'static str,
        /// What is wrong with it, with the value.
        reason: String,
    },
    /// The recipe is no TOML or JSON, or has other fields.
    #[error("{}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// There is nothing to train on, or nothing to measure with.
    #[error("{name}: {reason}")]
    Data {
        /// The data set.
        name: String,
        /// What is missing.
        reason: String,
    },
    /// A loss or a gradient is no number any more.
    #[error("step {step}: {what} is {value}; {}", after(kept.as_ref()))]
    NotFinite {
        /// The step.
        step: u64,
        /// What was computed.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The newest checkpoint.
        kept: Option<PathBuf>,
    },
    /// The loss has gone far above where it was.
    #[error(
        "step {step}: the mean loss of the last {window} steps is {mean:.4}, the lowest such mean was {lowest:.4}: \
         training diverges; {}",
        after(kept.as_ref())
    )]
    Diverged {
        /// The step.
        step: u64,
        /// Steps of the mean.
        window: u64,
        /// The mean.
        mean: f64,
        /// The lowest mean so far.
        lowest: f64,
        /// The newest checkpoint.
        kept: Option<PathBuf>,
    },
    /// The loss has gone far above what it was at first, and what guessing takes.
    #[error(
        "step {step}: the mean loss of the last {window} steps is {mean:.4}; it began at {begun:.4}, and guessing takes \
         {guessed:.4}: training diverges; {}",
        after(kept.as_ref())
    )]
    Exploded {
        /// The step.
        step: u64,
        /// Steps of the mean.
        window: u64,
        /// The mean.
        mean: f64,
        /// The mean of the first so many steps.
        begun: f64,
        /// What answering without reading takes at the same sequences.
        guessed: f64,
        /// The newest checkpoint.
        kept: Option<PathBuf>,
    },
    /// A checkpoint cannot be written, as on a disk that is full.
    #[error("the checkpoint of step {step} cannot be written: {reason}; {}", kept_one(kept.as_ref()))]
    Unsaved {
        /// The step.
        step: u64,
        /// Why.
        reason: Box<Error>,
        /// The newest one that could.
        kept: Option<PathBuf>,
    },
    /// A folder holds a run of another recipe, seed or input.
    #[error("{}: this is a run with another {what} ({found} in place of {expected}); --restart begins anew", path.display())]
    OtherRun {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the folder says.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// Another process trains in the folder.
    #[error("{}: another run is at work in this folder", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A checkpoint that is there cannot be gone on from.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Weights that cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// A configuration that is no model.
    #[error(transparent)]
    Family(#[from] family::Error),
    /// Text that cannot be tokenized, or a tokenizer that cannot be read.
    #[error(transparent)]
    Tokenize(#[from] tokenize::Error),
    /// Sequences that cannot be read.
    #[error(transparent)]
    Fastx(#[from] fastx::Error),
    /// A log or a picture that cannot be written.
    #[error(transparent)]
    Export(#[from] export::Error),
}

fn after(kept: Option<&PathBuf>) -> String {
    format!("{}; a lower learning rate, stronger clipping or a longer warm-up may help", kept_one(kept))
}

fn kept_one(kept: Option<&PathBuf>) -> String {
    match kept {
        Some(path) => format!("the last good checkpoint is {}", path.display()),
        None => "there is no checkpoint yet".to_owned(),
    }
}

impl Error {
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(super) fn unsaved(step: u64, kept: Option<PathBuf>, reason: Self) -> Self {
        Self::Unsaved { step, reason: Box::new(reason), kept }
    }

    pub(super) fn recipe(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Recipe { field, reason: reason.into() }
    }
}
