//! What every code of single words can do.

use super::params::RunLimit;
use super::value::Value;

/// A word of a codebook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The message, below `2^payload_bits`.
    pub message: Value,
    /// Which of the message's two words it is; always false in a plain code.
    pub complement: bool,
}

/// A word that the sender may have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Edits between it and what was received.
    pub distance: usize,
    /// What it says.
    pub entry: Entry,
    /// Its symbols.
    pub word: Vec<u8>,
}

/// What a received word of the right length says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// It is in the codebook.
    Clean(Entry),
    /// It is one substitution away from one word, and no other.
    Corrected {
        /// What the word says.
        entry: Entry,
        /// Where the substitution is.
        position: usize,
        /// The symbol that was sent there.
        symbol: u8,
    },
    /// It is two substitutions away from these words, and farther from all others.
    List(Vec<Candidate>),
    /// No word is within two substitutions.
    Failed,
}

impl Decoded {
    /// The one answer, if there is one.
    pub fn entry(&self) -> Option<Entry> {
        match self {
            Self::Clean(entry) | Self::Corrected { entry, .. } => Some(*entry),
            Self::List(list) if list.len() == 1 => Some(list[0].entry),
            Self::List(_) | Self::Failed => None,
        }
    }
}

/// A set of words of one length, run limit and minimum Hamming distance 3, numbered by messages.
///
/// Words are slices of symbols ([`alphabet`](super::alphabet)). Received words may be any symbols 0 to 3.
pub trait Codebook: Send + Sync {
    /// Longest run.
    fn run_limit(&self) -> RunLimit;

    /// Symbols of a word.
    fn length(&self) -> usize;

    /// Bits of a message.
    fn payload_bits(&self) -> usize;

    /// The word of a message, into `word` of [`length`](Self::length) symbols; `message` must be below `2^payload_bits`.
    /// The complement of a message is its word with `3 - s` for every symbol `s`.
    fn encode_into(&self, message: &Value, complement: bool, word: &mut [u8]);

    /// What `word` says, if it is in the codebook. `O(m)`.
    fn lookup(&self, word: &[u8]) -> Option<Entry>;

    /// The word at one substitution from `word`, if `word` itself is not in the codebook. `O(m)`.
    fn correct(&self, word: &[u8]) -> Option<(Entry, usize, u8)>;

    /// All words within two substitutions of `word`, by distance, message, complement and letters.
    ///
    /// A double error can look like a single one, so the list goes on beyond a word at distance 0 or 1.
    fn within_two(&self, word: &[u8]) -> Vec<Candidate>;

    /// All words that lose one symbol to become `word`, which has one symbol too few.
    fn after_deletion(&self, word: &[u8]) -> Vec<Candidate>;

    /// All words that gain one symbol to become `word`, which has one symbol too many.
    fn after_insertion(&self, word: &[u8]) -> Vec<Candidate>;

    /// The words of several messages, one after the other, none of them the complement.
    fn encode_all(&self, messages: &[Value], words: &mut [u8]) {
        for (message, word) in messages.iter().zip(words.chunks_exact_mut(self.length())) {
            self.encode_into(message, false, word);
        }
    }

    /// The word of a message.
    fn encode(&self, message: &Value, complement: bool) -> Vec<u8> {
        let mut word = vec![0; self.length()];
        self.encode_into(message, complement, &mut word);
        word
    }

    /// What a received word says: itself, one substitution corrected, or the list of words at two substitutions.
    fn decode(&self, word: &[u8]) -> Decoded {
        if word.len() != self.length() {
            return Decoded::Failed;
        }
        if let Some(entry) = self.lookup(word) {
            return Decoded::Clean(entry);
        }
        if let Some((entry, position, symbol)) = self.correct(word) {
            return Decoded::Corrected { entry, position, symbol };
        }
        let list = self.within_two(word);
        if list.is_empty() { Decoded::Failed } else { Decoded::List(list) }
    }

    /// Payload bits a nucleotide, with the bridge to the next word counted.
    fn rate(&self) -> f64 {
        self.payload_bits() as f64 / (self.length() + 1) as f64
    }
}
