//! EC D-LOCO: the words whose index leaves one residue.

use super::codebook::{Candidate, Codebook, Entry};
use super::params::{Mode, Params, RunLimit};
use super::planes::Planes;
use super::rank::Ranker;
use super::states::{self, States};
use super::value::Value;
use super::weights::Weights;

mod divider;
mod indels;
mod substitutions;

use divider::Divider;

/// The words with index `rho + R u`, for messages `u`.
///
/// In [`Mode::Balanced`] `rho` is the one residue with `2 rho = N - 1` modulo `R`, so that the complement of a word, whose
/// index is `N - 1` less the word's, is in the same class: the union of all words still has distance 3, which it would not
/// have for `rho = 0`. There is exactly one such residue because `R` is odd. In [`Mode::Plain`] it is 0.
#[derive(Clone, Debug)]
pub struct Residue {
    params: Params,
    ranker: Ranker,
    /// `rho`.
    rho: u32,
    payload_bits: usize,
    divider: Divider,
    states: States,
    steps: Vec<Step>,
}

/// Contributions to the index modulo `R` at one position, by state and symbol.
type Step = [[u32; 4]; states::COUNT];

impl Residue {
    /// Tables for the code.
    pub fn new(params: Params) -> Self {
        let ranker = Ranker::new(params.run_limit(), params.length());
        let words = ranker.words();
        let (rho, messages) = class(words, params);
        let states = States::new(params.run_limit());
        Self {
            ranker,
            rho,
            payload_bits: messages.bits().saturating_sub(1),
            divider: Divider::new(params.divisor(), words.bits().div_ceil(64)),
            steps: steps(params, &states),
            states,
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
        self.rho
    }
}

/// The residue, and how many messages there are.
fn class(words: Value, params: Params) -> (u32, Value) {
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
pub(super) fn has_words(params: Params) -> bool {
    let words = Weights::new(params.run_limit(), params.length()).words();
    !class(words, params).1.is_zero()
}

fn steps(params: Params, states: &States) -> Vec<Step> {
    let weights = Weights::new(params.run_limit(), params.length());
    let modulo = |value: Value| value.div_rem(params.divisor()).1;
    (0..params.length())
        .map(|position| {
            let follow = params.length() - 1 - position;
            let mut step = [[0; 4]; states::COUNT];
            for (entry, value) in
                step.as_flattened_mut().iter_mut().zip(states.contributions(&weights, follow))
            {
                *entry = modulo(value);
            }
            step
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
        self.ranker.unrank(&self.index(message), word);
        if complement && self.params.layout() == Mode::Balanced {
            for symbol in word {
                *symbol = 3 - *symbol;
            }
        }
    }

    fn encode_all(&self, messages: &[Value], words: &mut [u8]) {
        let (pairs, rest) = messages.as_chunks::<2>();
        let mut words = words.chunks_exact_mut(self.length());
        for pair in pairs {
            let [first, second] =
                [words.next(), words.next()].map(|word| word.expect("one for each message"));
            let [a, b] = [self.index(&pair[0]), self.index(&pair[1])];
            self.ranker.unrank_two([&a, &b], [first, second]);
        }
        if let ([message], Some(word)) = (rest, words.next()) {
            self.encode_into(message, false, word);
        }
    }

    fn lookup(&self, word: &[u8]) -> Option<Entry> {
        if word.len() != self.length() {
            return None;
        }
        let word = Planes::new(word);
        // Words and complements are the two halves of the code, and half of the words begin with a small symbol.
        let complement = self.params.layout() == Mode::Balanced && word.starts_high();
        let index = self.ranker.place(&if complement { word.complement() } else { word })?;
        let message = self.divider.divide(&index.sub(&Value::from(u64::from(self.rho))));
        (message.bits() <= self.payload_bits).then_some(Entry { message, complement })
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

impl Residue {
    fn next(&self, state: u8, symbol: u8) -> u8 {
        self.states.formal_next(state, symbol & 3)
    }

    /// The formal contribution of a symbol to the index, modulo `R`.
    fn contribution(&self, state: u8, symbol: u8, position: usize) -> u32 {
        self.steps[position][usize::from(state) % states::COUNT][usize::from(symbol & 3)]
    }

    // Residues are random, so a branch would be mispredicted half of the time: of the sum with and without the divisor, the
    // one that does not wrap is the smaller.
    fn plus(&self, a: u32, b: u32) -> u32 {
        let sum = a + b;
        sum.min(sum.wrapping_sub(self.params.divisor()))
    }

    fn minus(&self, a: u32, b: u32) -> u32 {
        let difference = a.wrapping_sub(b);
        difference.min(difference.wrapping_add(self.params.divisor()))
    }

    /// States before each symbol and after the last.
    fn states_of(&self, word: &[u8]) -> Vec<u8> {
        let mut states = Vec::with_capacity(word.len() + 1);
        let mut state = 0;
        states.push(state);
        for &symbol in word {
            state = self.next(state, symbol);
            states.push(state);
        }
        states
    }

    /// The index of the word of a message, not of its complement.
    fn index(&self, message: &Value) -> Value {
        debug_assert!(message.bits() <= self.payload_bits, "{message} in {} bits", self.payload_bits);
        message.mul_small(u64::from(self.params.divisor())).add(&Value::from(u64::from(self.rho)))
    }
}
