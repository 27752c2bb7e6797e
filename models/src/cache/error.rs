//! What can be wrong with a cache, its policies, an edit and a saved file.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// A key/value cache could not be built, grown, edited, saved or loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The pool's limit is reached.
    #[error("the cache needs {needed} bytes more, {used} of {limit} are in use")]
    PoolFull {
        /// Bytes of the page that was asked for.
        needed: usize,
        /// Bytes of the pages in use.
        used: usize,
        /// The pool's limit.
        limit: usize,
    },
    /// The system gave no memory.
    #[error("no memory for {bytes} bytes of cache: {source}")]
    Memory {
        /// What was asked for.
        bytes: usize,
        /// What the system said.
        source: io::Error,
    },
    /// Policies that do not go together, or not with this cache.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// An edit that cannot be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The file of a saved cache.
    #[error("{}: {fault}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: FileFault,
    },
}

/// Policies that do not go together, or not with this cache.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// Two stages of a kind of which there can be one.
    #[error("{first} and {second} both {kind}: only one can")]
    Twice {
        /// What both do.
        kind: &'static str,
        /// The first stage.
        first: String,
        /// The second stage.
        second: String,
    },
    /// Stages are not in the order evict, transform, select.
    #[error("{second} stands after {first}: the order is evict, transform, select")]
    Order {
        /// The stage that comes too early.
        first: String,
        /// The stage that comes too late.
        second: String,
    },
    /// A stage needs raw keys in a cache of rotated ones, or the other way round.
    #[error("{policy} needs {needs} keys")]
    KeyForm {
        /// The stage.
        policy: String,
        /// `raw` or `rotated`.
        needs: &'static str,
    },
    /// A stage that only makes sense when queries do not see what comes after them.
    #[error("{policy} works on causal models only")]
    CausalOnly {
        /// The stage.
        policy: String,
    },
    /// A stage that needs the same slots in all heads, after one that chooses them by head.
    #[error("{second} needs the same slots in every head, {first} keeps others in each")]
    Granularity {
        /// The stage that chooses by head.
        first: String,
        /// The stage that cannot follow it.
        second: String,
    },
    /// Scores from attention that is no softmax.
    #[error("{policy} works with softmax attention only")]
    Normalizer {
        /// The stage.
        policy: String,
    },
    /// No policy of this name is registered.
    #[error("no cache policy is called {name}; there are {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
}

/// An edit that cannot be made.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EditError {
    /// Edits overlap or are not in ascending order.
    #[error("the edit at {start} overlaps or precedes the one before it, which ends at {previous}")]
    Unordered {
        /// First position of the edit.
        start: u32,
        /// End of the edit before.
        previous: u32,
    },
    /// An edit of positions that are not there.
    #[error("edit of {start}..{end} in a sequence of {length}")]
    OutOfRange {
        /// First position of the edit.
        start: u32,
        /// End of the edit.
        end: u32,
        /// Length of the sequence.
        length: u32,
    },
    /// The sequence would outgrow 32-bit positions.
    #[error("the edited sequence is longer than 2^32 - 1")]
    TooLong,
    /// Rotated keys whose channels were pruned cannot be turned: the other half of each pair is gone.
    #[error("rotated keys with pruned channels cannot be shifted")]
    Pruned,
    /// A policy's state refers to positions.
    #[error("{policy} does not allow edits: its state refers to positions")]
    FixedPositions {
        /// The policy.
        policy: String,
    },
    /// Both sides of the edit see it in an encoder: nothing could be kept.
    #[error("only causal models can be edited")]
    NotCausal,
}

/// What is wrong with the file of a saved cache.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileFault {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It begins with something else.
    #[error("not a saved key/value cache")]
    NotACache,
    /// Written by another version of the format.
    #[error("version {0} of the format, this program reads 1")]
    Version(u32),
    /// It ends before what it announces.
    #[error("{needed} bytes are announced where {left} are left")]
    Truncated {
        /// Bytes announced.
        needed: u64,
        /// Bytes left.
        left: u64,
    },
    /// Bytes that belong to nothing.
    #[error("{0} bytes too many")]
    Trailing(u64),
    /// The bytes are not those that were written.
    #[error("the checksum does not match")]
    Checksum,
    /// It was saved with other settings than it is loaded with.
    #[error("{what} is {file} in the file and {ours} here")]
    Mismatch {
        /// The setting.
        what: &'static str,
        /// Its value in the file.
        file: String,
        /// Its value here.
        ours: String,
    },
    /// A value that no writer writes.
    #[error("{0} is impossible")]
    Corrupt(&'static str),
    /// The content does not fit into the pool.
    #[error("{0}")]
    Pool(Box<CacheError>),
}
