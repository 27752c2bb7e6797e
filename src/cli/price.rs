//! What a command would take: bytes and an estimate of the time, as facts of its dry run.

use kilobase::data::tokenize::Tokenizer;
use kilobase::models::run::kmers::Kmers;
use kilobase::models::run::price::{Cost, Rates};

use super::doctor::Memory;
use super::exit::Missing;
use super::load::Loaded;
use super::output::Summary;
use super::records::PORTION_BASES;
use super::scan::Scan;

/// Adds a price to the facts of a dry run. `steps` are seconds of work that is not counted in operations.
///
/// `memory_bytes` is what the process will have at most. It starts from what it has now that the model is loaded, so that the
/// program itself and what the system's allocator holds are in it.
pub(crate) fn add(summary: Summary, loaded: &Loaded, cost: &Cost, rates: &Rates, steps: f64) -> Summary {
    let weights = loaded.model.weight_bytes();
    let program = loaded.resident_bytes.map(|resident| resident.saturating_sub(weights));
    summary
        .fact("tokens", cost.tokens.round() as u64)
        .fact("weights_bytes", weights)
        .fact("program_bytes", program)
        .fact("cache_bytes", cost.cache_bytes)
        .fact("activation_bytes", cost.activation_bytes)
        .fact("sequence_bytes", cost.sequence_bytes)
        .fact("memory_bytes", weights + program.unwrap_or(0) + cost.bytes())
        .fact("available_bytes", Memory::look().map(|memory| memory.available))
        .fact("linear_flop", cost.linear_flop.round() as u64)
        .fact("attention_flop", cost.attention_flop.round() as u64)
        .fact("linear_flop_per_second", rates.linear.round() as u64)
        .fact("attention_flop_per_second", rates.attention.round() as u64)
        .fact("estimated_seconds", rounded(cost.seconds(rates) + steps))
}

/// To three digits: it is an estimate.
pub(crate) fn rounded(seconds: f64) -> f64 {
    if seconds <= 0.0 {
        return 0.0;
    }
    let scale = 10_f64.powi(2 - seconds.log10().floor() as i32);
    (seconds * scale).round() / scale
}

/// Refuses work that would not fit beside the weights.
pub(crate) fn check(cost: &Cost) -> Result<(), Missing> {
    match Memory::look() {
        Some(memory) if cost.bytes() > memory.available => Err(Missing {
            what: format!(
                "the cache needs {} bytes, the activations {} and the sequences {}; {} are to be had",
                cost.cache_bytes, cost.activation_bytes, cost.sequence_bytes, memory.available
            ),
            hint: "--cache-policy with a small --cache-budget, --cache-dtype bf16 or int8, and a smaller --chunk take less"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What is held of letters and tokens beside the model's own numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Bytes of a letter.
    pub(crate) letter: u64,
    /// Bytes of a token.
    pub(crate) token: u64,
}

impl Held {
    /// The letter in the mapped file, in the record as it is read, and in its portion; the token's number, span, mark and
    /// segment.
    pub(crate) const INPUT: Self = Self { letter: 3, token: 4 + 16 + 1 + 4 };

    /// The same and more.
    pub(crate) fn and(self, letter: u64, token: u64) -> Self {
        Self { letter: self.letter + letter, token: self.token + token }
    }

    /// Of the largest portion of an input.
    pub(crate) fn of(self, scan: &Scan, tokens: Tokens) -> u64 {
        let letters = largest_portion(scan);
        letters * self.letter + tokens.of(letters) as u64 * self.token
    }
}

/// Letters of the largest portion of an input: records go together until there are [`PORTION_BASES`].
pub(crate) fn largest_portion(scan: &Scan) -> u64 {
    scan.longest + (PORTION_BASES as u64 - 1).min(scan.work.saturating_sub(scan.longest))
}

/// Tokens of bases that are not there to be tokenized.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tokens {
    /// Of so many bases each, behind a start token.
    Kmers(usize),
    /// So many a base, by a sample, and a mark at each end.
    Sample(f64),
}

impl Tokens {
    /// By the vocabulary or, where tokens are of several lengths, by a sample of the bases.
    pub(crate) fn new(tokenizer: &dyn Tokenizer, sample: &[u8]) -> Self {
        if let Some(kmers) = Kmers::new(tokenizer) {
            return Self::Kmers(kmers.k());
        }
        // Bases that cannot be tokenized are told by the work itself; a price takes each for a token.
        let ratio = tokenizer.encode(sample, false).map_or(1.0, |encoding| {
            if sample.is_empty() { 1.0 } else { encoding.len() as f64 / sample.len() as f64 }
        });
        Self::Sample(ratio)
    }

    pub(crate) fn of(self, bases: u64) -> usize {
        match self {
            Self::Kmers(k) => (bases as usize).div_ceil(k) + 1,
            Self::Sample(ratio) => (bases as f64 * ratio).ceil() as usize + 2,
        }
    }

    /// Tokens of all sequences of an input, and how many there are of each number.
    pub(crate) fn of_all(self, scan: &Scan) -> impl Iterator<Item = (usize, u64)> + '_ {
        scan.lengths.iter().map(move |(&length, &count)| (self.of(length), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_told_to_three_digits() {
        let told = [1234.5, 0.012_345, 9.999, 0.0].map(|seconds| rounded(seconds).to_string());
        assert_eq!(told, ["1230", "0.0123", "10", "0"]);
    }

    #[test]
    fn tokens_are_counted_up() {
        assert_eq!([Tokens::Kmers(6).of(12), Tokens::Kmers(6).of(13), Tokens::Sample(0.2).of(12)], [3, 4, 5]);
    }
}
