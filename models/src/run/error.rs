//! What can go wrong while a model reads sequences.

use super::Pooling;
use crate::cache::{CacheError, PolicyError};
use kilobase_data::tokenize;

/// What can go wrong with one sequence or one batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tokenizer refused a sequence.
    #[error("sequence {index} of the batch")]
    Tokenize {
        /// Index into the sequences given.
        index: usize,
        /// What it refused.
        #[source]
        source: tokenize::Error,
    },
    /// The tokenizer gave an id that the model has no embedding for.
    #[error("token id {id} is not below the model's vocabulary of {vocabulary}")]
    Id {
        /// The id.
        id: u32,
        /// Entries of the model's vocabulary.
        vocabulary: usize,
    },
    /// The tokenizer has no token that a sequence starts with, so nothing says how probable the first base is.
    #[error("the tokenizer has no start token; the first token has no probability")]
    NoStart,
    /// The checkpoint has no output matrix.
    #[error("the checkpoint has no lm_head.weight: it gives states and classes, no probabilities")]
    NoHead,
    /// Letters that the vocabulary cannot spell and that have no completion by k-mers.
    #[error("sequence {index} of the batch: no token for {text:?} at base {at}")]
    Unknown {
        /// Index into the sequences given.
        index: usize,
        /// The letters.
        text: String,
        /// Of the first of them, from 0.
        at: usize,
    },
    /// A score by bases that needs a vocabulary of k-mers.
    #[error("the tokens of this model are not k-mers; probabilities of single bases cannot be told")]
    NoKmers,
    /// More tokens than the context, where windows are no way out.
    #[error("{tokens} tokens with a context of {context}")]
    TooLong {
        /// Tokens of the sequence.
        tokens: usize,
        /// The most that are allowed.
        context: usize,
    },
    /// A context in which a window makes no progress.
    #[error("a context of {context} tokens with an overlap of {overlap} leaves none that is new")]
    Context {
        /// Tokens of a window.
        context: usize,
        /// Tokens that a window shares with the one before it.
        overlap: usize,
    },
    /// States between the layers of a sequence that only a cache can hold.
    #[error(
        "states of layer {layer} of {layers} cannot be read under the cache policy {policy}: only those of the last layer"
    )]
    InnerLayer {
        /// The layer asked for.
        layer: usize,
        /// Layers of the model.
        layers: usize,
        /// Name and settings of the policy.
        policy: String,
    },
    /// Nothing to pool.
    #[error("sequence {index} of the batch has no token to pool with {pooling}")]
    Nothing {
        /// Index into the sequences given.
        index: usize,
        /// The pooling asked for.
        pooling: Pooling,
    },
    /// A batch would not fit.
    #[error("a batch of {tokens} tokens needs about {need} bytes of memory, {limit} are to be had")]
    Memory {
        /// Tokens of the batch.
        tokens: usize,
        /// Estimated bytes.
        need: u64,
        /// The limit that was set.
        limit: u64,
    },
    /// The numbers are not numbers.
    #[error("sequence {index} of the batch gave values that are not finite; are the weights sound?")]
    NotFinite {
        /// Index into the sequences given.
        index: usize,
    },
    /// The cache failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Policies that do not suit the model.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}
