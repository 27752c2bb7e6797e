use std::{io, path::PathBuf};

/// The result of writing results.
pub type Result<T> = std::result::Result<T, Error>;

/// Why results could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused.
    #[error("{}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file to write exists and may not be replaced.
    #[error("{}: file exists; give another name, or --force to replace it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// No format has this name or suffix.
    #[error("{name}: no output format of this name or suffix; formats are npy, safetensors and tsv")]
    UnknownFormat {
        /// The path or name.
        name: String,
    },
    /// The folder of an earlier run was made by a different plan.
    #[error(
        "{}: an unfinished run was made with {key} = {saved}, this one has {asked}; delete the folder or give --restart to begin anew",
        folder.display()
    )]
    PlanDiffers {
        /// The folder of the earlier run.
        folder: PathBuf,
        /// The first key whose value differs, with dots between nested names.
        key: String,
        /// The value of the earlier run, as JSON.
        saved: String,
        /// The value asked for now, as JSON.
        asked: String,
    },
    /// Another process writes to the folder.
    #[error("{}: another process is writing here", folder.display())]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder of an earlier run cannot be continued.
    #[error("{}: cannot be continued: {reason}; delete the folder or give --restart to begin anew", folder.display())]
    Corrupt {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Rows do not fit the items that they were given with.
    #[error("{values} values given where the items ask for {rows} rows of {width}")]
    Shape {
        /// Values given.
        values: usize,
        /// Rows of the items.
        rows: u64,
        /// Values in a row.
        width: usize,
    },
    /// A value could not be written as JSON.
    #[error("cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// For `map_err`: ties an error of the system to the path it is about.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
