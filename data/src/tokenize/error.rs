use std::io;

/// Why a tokenizer could not be loaded or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{file}: cannot be read")]
    Io {
        /// The file's name.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any tokenizer is.
    #[error("{file}: is larger than {limit} bytes, which no tokenizer file is")]
    TooLarge {
        /// The file's name.
        file: String,
        /// The largest size that is read.
        limit: u64,
    },
    /// A directory has no tokenizer that is known here.
    #[error(
        "{dir}: has no tokenizer that is known here{}: expected tokenizer.json, or vocab.txt and a tokenizer_config.json with k",
        class.as_ref().map_or(String::new(), |class| format!(" ({})", class.escape_debug()))
    )]
    Unknown {
        /// The directory.
        dir: String,
        /// The class that its configuration names.
        class: Option<String>,
    },
    /// A configuration is not the JSON that it should be.
    #[error("{file}: is not a valid tokenizer configuration")]
    Json {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A `tokenizer.json` cannot be used.
    #[error("{file}: is not a valid tokenizer: {reason}")]
    Invalid {
        /// The file's name.
        file: String,
        /// The library's words.
        reason: String,
    },
    /// A vocabulary cannot be used.
    #[error("{file}: {fault}")]
    Vocabulary {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        fault: VocabularyFault,
    },
    /// The text is not UTF-8.
    #[error("the text is not UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first byte that does not belong.
        at: usize,
    },
    /// The tokenizer could not encode a text.
    #[error("the text cannot be encoded: {reason}")]
    Encode {
        /// The library's words.
        reason: String,
    },
    /// An id is not in the vocabulary.
    #[error("token id {id} is not in the vocabulary of {size}")]
    UnknownId {
        /// The id.
        id: u32,
        /// The size of the vocabulary.
        size: usize,
    },
    /// The tokenizer's models take single sequences only.
    #[error("the {name} tokenizer has no form for pairs of sequences")]
    NoPairs {
        /// The tokenizer.
        name: String,
    },
}

/// What is wrong with a vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VocabularyFault {
    /// Not text.
    #[error("the vocabulary is not UTF-8")]
    NotUtf8,
    /// No entries.
    #[error("the vocabulary is empty")]
    Empty,
    /// More entries than such a vocabulary can need.
    #[error("the vocabulary has {found} entries, at most {largest} are read")]
    TooMany {
        /// Entries.
        found: usize,
        /// The largest number that is accepted.
        largest: usize,
    },
    /// A line that is neither `token` nor `token id`, or not of the kind of the lines before it.
    #[error("line {line}: expected {expected}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What lines of this vocabulary look like.
        expected: &'static str,
    },
    /// A token has two ids.
    #[error("token {} has two ids, {first} and {second}", token.escape_debug())]
    DuplicateToken {
        /// The token.
        token: String,
        /// Its first id.
        first: u32,
        /// Its second id.
        second: u32,
    },
    /// Two tokens have one id.
    #[error("tokens {} and {} have the same id {id}", first.escape_debug(), second.escape_debug())]
    DuplicateId {
        /// The id.
        id: u32,
        /// One token.
        first: String,
        /// The other token.
        second: String,
    },
    /// An id is out of range.
    #[error("token {} has id {id}, the largest id can be {largest}", token.escape_debug())]
    IdRange {
        /// The token.
        token: String,
        /// Its id.
        id: u32,
        /// The largest id that is accepted.
        largest: u32,
    },
    /// The length of k-mers is not given, or out of range.
    #[error("k is {}, expected 1 to {largest}", found.map_or("not given".to_owned(), |k| k.to_string()))]
    Length {
        /// The length given.
        found: Option<u64>,
        /// The largest length that is accepted.
        largest: u64,
    },
    /// K-mers lie neither side by side nor one letter apart.
    #[error("a stride of {found}, expected 1 or {k}")]
    Stride {
        /// The stride given.
        found: u64,
        /// The length of k-mers.
        k: usize,
    },
    /// Not every k-mer has an id, so that sequence would become unknown tokens.
    #[error("the vocabulary has {found} of the {expected} {k}-mers")]
    Incomplete {
        /// The length of k-mers.
        k: usize,
        /// K-mers that have an id.
        found: usize,
        /// K-mers that there are.
        expected: usize,
    },
    /// A special token that is needed is not in the vocabulary.
    #[error("the {role} token {} is not in the vocabulary", token.escape_debug())]
    MissingSpecial {
        /// What it is for.
        role: &'static str,
        /// Its text.
        token: String,
    },
}
