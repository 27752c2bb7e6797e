//! Strands of several words: bridges between them, and GC balance.

use super::Error;
use super::alphabet::{disparity, word_disparity};
use super::codebook::Codebook;
use super::value::Value;

/// Words that a strand can have.
pub const MAX_WORDS: usize = 64;

/// How words are laid on a strand: one bridge symbol between neighbours, different from both, so that no run crosses.
///
/// A bridge carries nothing and is ignored in decoding; it and the choice between a word and its complement keep the GC
/// disparity of everything so far within the length of one word.
pub struct Layout<'a> {
    code: &'a dyn Codebook,
    words: usize,
}

impl<'a> Layout<'a> {
    /// Strands of 1 to 64 words of `code`.
    pub fn new(code: &'a dyn Codebook, words: usize) -> Result<Self, Error> {
        if (1..=MAX_WORDS).contains(&words) { Ok(Self { code, words }) } else { Err(Error::Words(words)) }
    }

    /// Words of a strand.
    pub fn words(&self) -> usize {
        self.words
    }

    /// The code of the words.
    pub fn code(&self) -> &'a dyn Codebook {
        self.code
    }

    /// Symbols of a strand.
    pub fn length(&self) -> usize {
        self.words * self.code.length() + self.words - 1
    }

    /// Payload bits of a strand.
    pub fn payload_bits(&self) -> usize {
        self.words * self.code.payload_bits()
    }

    /// The strand of one message a word, most significant first.
    ///
    /// For each word the complement and the bridge are those with the smallest disparity of everything so far; among equals,
    /// the word before its complement, and the smaller bridge.
    pub fn encode(&self, messages: &[Value]) -> Vec<u8> {
        assert_eq!(messages.len(), self.words, "one message a word");
        let length = self.code.length();
        let mut words = vec![0; self.words * length];
        self.code.encode_all(messages, &mut words);
        let mut strand = Vec::with_capacity(self.length());
        let mut sum = 0;
        for word in words.chunks_exact(length) {
            let own = word_disparity(word);
            let last = strand.last().copied();
            let mut best: Option<(i32, bool, u8, i32)> = None;
            for complement in [false, true] {
                let (start, own) = if complement { (3 - word[0], -own) } else { (word[0], own) };
                for bridge in 0..4 {
                    let free = last.is_none_or(|last| bridge != last && bridge != start);
                    let total = sum + own + last.map_or(0, |_| disparity(bridge));
                    let candidate = (total.abs(), complement, bridge, total);
                    if free && best.is_none_or(|best| candidate < best) {
                        best = Some(candidate);
                    }
                }
            }
            let (_, complement, bridge, total) = best.expect("two symbols of four are free");
            strand.extend(last.map(|_| bridge));
            let mirror = if complement { 3 } else { 0 };
            strand.extend(word.iter().map(|&symbol| symbol ^ mirror));
            sum = total;
        }
        strand
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dloco::{Hamming, Params, Residue};

    fn holds_the_window(code: &dyn Codebook, messages: &[Value]) {
        let layout = Layout::new(code, messages.len()).unwrap();
        let strand = layout.encode(messages);
        let length = code.length();
        let mut run = 1;
        for pair in strand.windows(2) {
            run = if pair[0] == pair[1] { run + 1 } else { 1 };
            assert!(run <= code.run_limit().get(), "{strand:?}");
        }
        for number in 1..=messages.len() {
            let disparity = word_disparity(&strand[..number * (length + 1) - 1]);
            assert!(disparity.unsigned_abs() as usize <= length, "{disparity} after {number} words");
        }
        for (number, message) in messages.iter().enumerate() {
            let word = &strand[number * (length + 1)..][..length];
            assert_eq!(code.lookup(word).unwrap().message, *message);
        }
    }

    /// The messages whose words are most, and least, one-sided, which balance has to work hardest for.
    fn extremes(code: &dyn Codebook) -> Vec<Value> {
        let count = 1_u64 << code.payload_bits().min(12);
        let disparity = |message: &u64| word_disparity(&code.encode(&(*message).into(), false));
        let largest = (0..count).max_by_key(disparity).unwrap();
        let smallest = (0..count).min_by_key(disparity).unwrap();
        let even = (0..count).min_by_key(|message| disparity(message).abs()).unwrap();
        vec![largest.into(), smallest.into(), even.into()]
    }

    #[test]
    fn adversarial_messages_stay_balanced() {
        for run_limit in 1..=3 {
            for length in [5, 6, 8, 12] {
                let code = Residue::new(Params::new(run_limit, length).unwrap());
                let extremes = extremes(&code);
                for pattern in 0..3_usize.pow(6) {
                    let messages: Vec<Value> =
                        (0..6).map(|i| extremes[pattern / 3_usize.pow(i) % 3]).collect();
                    holds_the_window(&code, &messages);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_strand_is_balanced_and_has_no_long_run(
            run_limit in 1_usize..=3, length in 0_usize..6, hamming: bool,
            seeds in prop::collection::vec(any::<[u64; 2]>(), 1..8),
        ) {
            let length = [8, 16, 20, 32, 64, 80][length];
            let residue = Residue::new(Params::new(run_limit, length).unwrap());
            let other = hamming.then(|| Hamming::new(run_limit, length).unwrap());
            let code: &dyn Codebook = match &other { Some(code) => code, None => &residue };
            let messages: Vec<Value> = seeds
                .iter()
                .map(|seed| {
                    let mut message = Value::ZERO;
                    for (limb, bits) in seed.iter().enumerate() {
                        let count = code.payload_bits().saturating_sub(64 * limb).min(64);
                        if count > 0 {
                            message.put_bits(64 * limb, bits >> (64 - count));
                        }
                    }
                    message
                })
                .collect();
            holds_the_window(code, &messages);
        }
    }
}
