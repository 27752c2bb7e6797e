//! Lexicographically ordered constrained codes for DNA that correct errors.
//!
//! A code of length `m` and run limit `l` is the set of all words over the four nucleotides in which no run is longer
//! than `l`, in lexicographic order. A message is a number; its word is found by counting, without a table of words.
//! Two codebooks choose which of the words are used, so that any two differ in three places or more:
//!
//! - [`Residue`] takes the words whose index is congruent to a constant modulo `R`
//!   (EC D-LOCO, [arXiv 2504.01262](https://arxiv.org/abs/2504.01262), after D-LOCO,
//!   [arXiv 2311.08325](https://arxiv.org/abs/2311.08325)). The residue is a check of `log2 R` bits, which also tells
//!   double substitutions, insertions and deletions apart.
//! - [`Hamming`] takes the words whose quaternary Hamming syndrome is zero: eight bits of check in place of sixteen, so a
//!   higher rate, and longer lists.
//!
//! Both are closed under the map that exchanges A with C and T with G, so that every message owns a word and its
//! complement of opposite GC disparity; [`strand`] chooses between them and keeps the GC content of a strand of `K` words
//! within `1/2 ± 1/(2K)`.
//!
//! All arithmetic is exact. Encoding and decoding a clean word take `O(m)` steps on integers of `log2` of the size of the
//! code; correction of one substitution is `O(m)`, of two substitutions `O(m l^2)` expected.
//!
//! ```
//! use kilobase_codecs::dloco::{Codebook, Decoded, Params, Residue, Value, alphabet};
//!
//! let code = Residue::new(Params::new(3, 64)?);
//! let message = Value::from(20_250_409_u64);
//! let mut word = code.encode(&message, false);
//! word[17] ^= 1; // a substitution on the way
//! match code.decode(&word) {
//!     Decoded::Corrected { entry, position, .. } => assert_eq!((entry.message, position), (message, 17)),
//!     other => panic!("{other:?}"),
//! }
//! assert_eq!(alphabet::to_ascii(&code.encode(&message, false)).len(), 64);
//! # Ok::<(), kilobase_codecs::dloco::Error>(())
//! ```

pub mod admissible;
pub mod alphabet;
mod candidates;
mod codebook;
mod divisor;
mod error;
mod hamming;
mod params;
mod places;
mod planes;
mod rank;
pub mod read;
mod residue;
mod states;
pub mod strand;
mod value;
mod weights;

pub use codebook::{Candidate, Codebook, Decoded, Entry};
pub use error::Error;
pub use hamming::Hamming;
pub use params::{MAX_LENGTH, MIN_LENGTH, Mode, Params, RunLimit};
pub use rank::Ranker;
pub use residue::Residue;
pub use value::Value;
