/// Why a file cannot be compressed or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a compressed file.
    #[error("not a file of kilobase compress")]
    Magic,
    /// A version of another program.
    #[error("compressed by format version {version}; this program reads version {known}")]
    Version {
        /// In the file.
        version: u8,
        /// The one that is read here.
        known: u8,
    },
    /// The file stops.
    #[error("the file ends inside block {block}")]
    Truncated {
        /// From 1.
        block: u64,
    },
    /// A block cannot be restored.
    #[error("block {block} is damaged: {what}")]
    Damaged {
        /// From 1.
        block: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A block came out as something else.
    #[error("block {block} is damaged: its checksum does not match")]
    Checksum {
        /// From 1.
        block: u64,
    },
    /// Blocks are missing or changed places.
    #[error("the end of the file does not match its blocks")]
    End,
    /// More than the file.
    #[error("bytes follow the end of the compressed file")]
    Trailing,
    /// Reading or writing failed.
    #[error("cannot read or write")]
    Io(#[from] std::io::Error),
}

/// Result of compressing and restoring.
pub type Result<T> = std::result::Result<T, Error>;
