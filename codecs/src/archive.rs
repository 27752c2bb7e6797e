//! Files as pools of oligonucleotides, and back.
//!
//! ```text
//! file -> container (header, optional zstd) -> groups -> outer Reed-Solomon -> strand integers -> D-LOCO words and bridges
//!      -> primers -> FASTA, and back from noisy reads
//! ```
//!
//! A file is cut into groups of strands. Each group carries a checksum of its data and parity strands of a Reed-Solomon code
//! over GF(2^16), so that lost strands are restored; each strand carries its index and a CRC under a code that corrects
//! substitutions, insertions and deletions ([`dloco`](crate::dloco)). The format is described in
//! `docs/dna-archive.md`.
//!
//! Encoding holds one group in memory. Decoding holds what the strands said, and the reads that said nothing on their own.

pub mod align;
mod bits;
pub mod channel;
mod cluster;
pub mod consensus;
pub mod container;
mod crc;
pub mod decode;
pub mod encode;
pub mod enzymes;
mod error;
mod format;
mod keystream;
pub mod manifest;
pub mod outer;
mod primers;
pub mod report;
pub mod screen;
pub mod strand;
mod votes;

pub use error::Error;
pub use format::{Book, Format, PRESETS, Preset};
pub use primers::{FORWARD_PRIMER, REVERSE_PRIMER};

/// What archive functions give.
pub type Result<T> = std::result::Result<T, Error>;
