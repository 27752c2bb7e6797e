//! EC D-LOCO: the words whose index leaves one residue.

use super::codebook::{Candidate, Codebook, Entry};
use super::params::{Mode, Params, RunLimit};
use super::rank::Ranker;
use super::value::Value;
use super::weights::Weights;

mod indels;
mod substitutions;

/// The words with index `rho + R u`, for messages `u`.
///
/// In [`Mode::Balanced`] `rho` is the one residue with `2 rho = N - 1` modulo `R`, so that the complement of a word, whose
/// index is `N - 1` less the word's, is in the same class: the union of all words still has distance 3, which it would not
/// have for `rho = 0`. There is exactly one such residue because `R` is odd. In [`Mode::Plain`] it is 0.
#[derive(Clone, Debug)]
pub struct Residue {
    params: Params,
    ranker: Ranker,
    residue: u32,
    payload_bits: usize,
    half: Value,
    last: Value,
    /// By position: four multiples and four deficits modulo `R`, as in [`Ranker`].
    steps: Vec<[u32; 8]>,
}

impl Residue {
    /// Tables for the code.
    pub fn new(params: Params) -> Self {
        let ranker = Ranker::new(params.run_limit(), params.length());
        let words = ranker.words();
        let (half, last) = (words.half(), words.sub(&Value::from(1)));
        let (residue, messages) = class(words, &params);
        Self {
            ranker,
            residue,
            payload_bits: messages.bits().saturating_sub(1),
            half,
            last,
            steps: steps(&params),
            params,
        }
    }

    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The counting underneath.
    pub fn ranker(&self) -> &Ranker {
        &self.ranker
    }

    /// `rho`: what all indices of words leave modulo `R`.
    pub fn residue(&self) -> u32 {
        self.residue
    }
}

/// The residue, and how many messages there are.
fn class(words: Value, params: &Params) -> (u32, Value) {
    let divisor = params.divisor();
    let (residue, largest) = match params.layout() {
        Mode::Plain => (0, words.sub(&Value::from(1))),
        Mode::Balanced => {
            let (_, last) = words.sub(&Value::from(1)).div_rem(divisor);
            let inverse_of_two = u64::from(divisor).div_ceil(2);
            let residue = u64::from(last) * inverse_of_two % u64::from(divisor);
            (residue as u32, words.half().sub(&Value::from(1)))
        }
    };
    let least = Value::from(u64::from(residue));
    if largest < least {
        return (residue, Value::ZERO);
    }
    (residue, largest.sub(&least).div_rem(divisor).0.add(&Value::from(1)))
}

/// Whether a code of these parameters has a word at all.
pub(super) fn has_words(params: &Params) -> bool {
    let words = Weights::new(params.run_limit(), params.length()).words();
    !class(words, params).1.is_zero()
}

fn steps(params: &Params) -> Vec<[u32; 8]> {
    let weights = Weights::new(params.run_limit(), params.length());
    let modulo = |value: Value| value.div_rem(params.divisor()).1;
    (0..params.length())
        .map(|position| {
            let follow = params.length() - 1 - position;
            let one = weights.get(follow, 1);
            std::array::from_fn(|entry| match entry {
                0..4 => modulo(one.mul_small(entry as u64)),
                4 => 0,
                _ => modulo(one.sub(&weights.get(follow, entry - 3))),
            })
        })
        .collect()
}

impl Codebook for Residue {
    fn run_limit(&self) -> RunLimit {
        self.params.run_limit()
    }

    fn length(&self) -> usize {
        self.params.length()
    }

    fn payload_bits(&self) -> usize {
        self.payload_bits
    }

    fn encode_into(&self, message: &Value, complement: bool, word: &mut [u8]) {
        debug_assert!(message.bits() <= self.payload_bits, "{message} in {} bits", self.payload_bits);
        let index = message
            .mul_small(u64::from(self.params.divisor()))
            .add(&Value::from(u64::from(self.residue)));
        self.ranker.unrank(&index, word);
        if complement && self.params.layout() == Mode::Balanced {
            word.iter_mut().for_each(|symbol| *symbol = 3 - *symbol);
        }
    }

    fn lookup(&self, word: &[u8]) -> Option<Entry> {
        let mut index = self.ranker.rank(word)?;
        let complement = self.params.layout() == Mode::Balanced && index >= self.half;
        if complement {
            index = self.last.sub(&index);
        }
        let (message, residue) = index.div_rem(self.params.divisor());
        (residue == self.residue && message.bits() <= self.payload_bits)
            .then_some(Entry { message, complement })
    }

    fn correct(&self, word: &[u8]) -> Option<(Entry, usize, u8)> {
        substitutions::correct(self, word)
    }

    fn within_two(&self, word: &[u8]) -> Vec<Candidate> {
        substitutions::within_two(self, word)
    }

    fn after_deletion(&self, word: &[u8]) -> Vec<Candidate> {
        indels::after_deletion(self, word)
    }

    fn after_insertion(&self, word: &[u8]) -> Vec<Candidate> {
        indels::after_insertion(self, word)
    }
}

/// The last symbol times four plus the length of its run; 0 before the first. Runs beyond the limit contribute like those
/// at the limit, so they are the same state here; whether a word is legal is asked elsewhere.
type State = u8;

impl Residue {
    #[inline(always)]
    fn next(&self, state: State, symbol: u8) -> State {
        let run = state & 3;
        let limit = self.params.run_limit().get() as u8;
        if run > 0 && state >> 2 == symbol {
            state - run + (run + 1).min(limit)
        } else {
            symbol << 2 | 1
        }
    }

    /// The formal contribution of a symbol to the index, modulo `R`.
    #[inline(always)]
    fn contribution(&self, state: State, symbol: u8, position: usize) -> u32 {
        let step = &self.steps[position];
        let deficit = if state >> 2 < symbol { state & 3 } else { 0 };
        self.minus(step[usize::from(symbol & 3)], step[4 + usize::from(deficit)])
    }

    #[inline(always)]
    fn plus(&self, a: u32, b: u32) -> u32 {
        let sum = a + b;
        if sum >= self.params.divisor() { sum - self.params.divisor() } else { sum }
    }

    #[inline(always)]
    fn minus(&self, a: u32, b: u32) -> u32 {
        if a >= b { a - b } else { a + self.params.divisor() - b }
    }

    /// States before each symbol and after the last.
    fn states(&self, word: &[u8]) -> Vec<State> {
        let mut states = Vec::with_capacity(word.len() + 1);
        let mut state = 0;
        states.push(state);
        for &symbol in word {
            state = self.next(state, symbol);
            states.push(state);
        }
        states
    }
}
