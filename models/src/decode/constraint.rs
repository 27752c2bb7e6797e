//! Constraints on the bases of a sequence, exact while it is generated token by token.
//!
//! A constraint is a finite [`Automaton`] over bases. An [`Engine`] runs several at once and says, for every beginning of a
//! sequence, which tokens keep a legal end in reach: exactly those from which some sequence of the length asked for satisfies
//! everything, so that generation never runs into a dead end. [`Constraints`] is what users write; outputs record it.
//!
//! ```
//! use kilobase_models::decode::constraint::{Constraints, Engine, Unit};
//! use kilobase_models::decode::vocabulary::Vocabulary;
//!
//! let constraints = Constraints { forbid_sites: vec!["EcoRI".parse()?], ..Constraints::default() };
//! let vocabulary = Vocabulary::new(["A", "C", "G", "T"].map(Some));
//! let mut engine = Engine::new(constraints.automata()?, &vocabulary, Unit::Tokens)?;
//! let place = engine.start(b"GAATT", 10)?; // ten tokens behind a prompt
//! assert!(!engine.legal(&place)?.contains(1)); // GAATTC
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt::Debug;
use std::ops::RangeInclusive;

use super::base::Base;

mod corridor;
mod engine;
mod enzyme;
mod error;
mod flank;
mod frame;
mod gc;
mod motif;
mod reach;
mod run;
mod spec;
mod trie;
mod witness;

pub use corridor::Corridor;
pub use engine::{Engine, Place, Unit};
pub use enzyme::Enzyme;
pub use error::{Error, ParseError};
pub use flank::{Prefix, Suffix, Template};
pub use frame::ReadingFrame;
pub use gc::{MAX_WINDOW, TotalGc, WindowGc};
pub use motif::Motifs;
pub use run::MaximalRun;
pub use spec::{Constraints, Frame, GcRange, GcWindow};

/// A constraint that reads a sequence base by base.
///
/// States are numbers of the automaton's own making; they are made as they are reached, so there may be more of them than
/// fit in memory. Equal states must have equal futures.
pub trait Automaton: Debug + Send + Sync {
    /// What it demands, for messages.
    fn name(&self) -> String;

    /// Before the first base.
    fn start(&self) -> u64;

    /// After a letter of the prompt, `None` if it is no base. Nothing is demanded of a prompt, but what is generated behind it is
    /// judged together with it. By default, the prompt does not matter.
    fn observe(&self, state: u64, _base: Option<Base>) -> u64 {
        state
    }

    /// After a generated base; `None` if the sequence cannot be legal any more.
    fn step(&self, state: u64, base: Base) -> Option<u64>;

    /// Whether a sequence may end here.
    fn accepts(&self, _state: u64) -> bool {
        true
    }

    /// Whether the automaton, if it were alone, could accept after exactly `left` more bases, of which so many are `G` or `C`. Only
    /// speed depends on it: it may say yes where the answer is no.
    fn viable(&self, _state: u64, _left: usize, _gc: RangeInclusive<usize>) -> bool {
        true
    }

    /// How many of the next `left` bases can be `G` or `C`. Only speed depends on it: it may be too wide.
    fn gc_ahead(&self, _state: u64, left: usize) -> RangeInclusive<usize> {
        0..=left
    }

    /// Adds what it demands of the kinds of the next `left` bases. Only speed depends on it: it may add less.
    fn narrow(&self, _state: u64, _left: usize, _corridor: &mut Corridor) {}

    /// Whether `G` or `C` is the better next base to look for legal ends with, `left` bases before the end. Only speed depends
    /// on it.
    fn prefers_gc(&self, _state: u64, _left: usize) -> Option<bool> {
        None
    }
}
