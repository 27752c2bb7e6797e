//! Results to files.
//!
//! Rows of numbers are first collected in a [`Spool`], a folder beside the output that survives a kill, and are then
//! streamed to their final file. A file appears whole under its final name or not at all, and nothing here holds all
//! rows in memory.

mod atomic;
mod error;
mod folder;
mod format;
mod item;
mod npy;
mod safetensors;
mod spool;
mod table;
pub mod tokens;
pub mod track;

pub use atomic::AtomicFile;
pub use error::{Error, Result};
pub use folder::AtomicFolder;
pub use format::Format;
pub use item::{Item, Stretch};
pub(crate) use spool::remove_if_there;
pub use spool::{Finish, Rows, Spool, index_path, metadata_path};
pub use table::write_line;
