//! One lost or one additional symbol.
//!
//! Before the edit every symbol stands where it stood, after it every symbol stands one place further; so the index modulo
//! `R` is a sum over the beginning, a few symbols around the edit until the states agree, and a sum over the end.

use super::Residue;
use crate::dloco::candidates::{Candidates, long_runs};
use crate::dloco::codebook::{Candidate, Codebook};

/// Sums of contributions of `word[..i]` in place, and of `word[i..]` at the places given by `shifted`.
fn sums(
    code: &Residue,
    word: &[u8],
    states: &[u8],
    shifted: impl Fn(usize) -> usize,
) -> (Vec<u32>, Vec<u32>) {
    let mut heads = Vec::with_capacity(word.len() + 1);
    let mut sum = 0;
    heads.push(sum);
    for position in 0..word.len().min(code.length()) {
        sum = code.plus(sum, code.contribution(states[position], word[position], position));
        heads.push(sum);
    }
    let mut tails = vec![0; word.len() + 1];
    // The first symbol is never behind an additional one.
    let first = usize::from(word.len() > code.length());
    for position in (first..word.len()).rev() {
        let own = code.contribution(states[position], word[position], shifted(position));
        tails[position] = code.plus(tails[position + 1], own);
    }
    (heads, tails)
}

/// Adds what `word[from..]` contributes at shifted places when the state before it is `state`.
fn finish(
    code: &Residue,
    word: &[u8],
    (states, tails): (&[u8], &[u32]),
    (mut state, from): (u8, usize),
    shifted: impl Fn(usize) -> usize,
) -> u32 {
    let mut sum = 0;
    let mut at = from;
    while at < word.len() && state != states[at] {
        sum = code.plus(sum, code.contribution(state, word[at], shifted(at)));
        state = code.next(state, word[at]);
        at += 1;
    }
    code.plus(sum, tails[at])
}

pub(super) fn after_deletion(code: &Residue, word: &[u8]) -> Vec<Candidate> {
    let (long, _) = long_runs(word, code.run_limit().get());
    if word.len() + 1 != code.length() || long > 1 {
        return Vec::new();
    }
    let states = code.states_of(word);
    let shifted = |position: usize| position + 1;
    let (heads, tails) = sums(code, word, &states, shifted);
    let mut found = Candidates::default();
    for place in 0..=word.len() {
        // A symbol after its like makes the same word as before it.
        for symbol in (0..4).filter(|&symbol| place == 0 || word[place - 1] != symbol) {
            let own = code.contribution(states[place], symbol, place);
            let after = code.next(states[place], symbol);
            let rest = finish(code, word, (&states, &tails), (after, place), shifted);
            if code.plus(code.plus(heads[place], own), rest) == code.rho {
                let sent = [&word[..place], &[symbol], &word[place..]].concat();
                found.offer(code, 1, &sent);
            }
        }
    }
    found.sorted()
}

pub(super) fn after_insertion(code: &Residue, word: &[u8]) -> Vec<Candidate> {
    let (long, _) = long_runs(word, code.run_limit().get());
    if word.len() != code.length() + 1 || long > 1 {
        return Vec::new();
    }
    let states = code.states_of(word);
    let shifted = |position: usize| position - 1;
    let (heads, tails) = sums(code, word, &states, shifted);
    let mut found = Candidates::default();
    for place in (0..word.len()).filter(|&place| place == 0 || word[place - 1] != word[place]) {
        let rest = finish(code, word, (&states, &tails), (states[place], place + 1), shifted);
        if code.plus(heads[place], rest) == code.rho {
            let sent = [&word[..place], &word[place + 1..]].concat();
            found.offer(code, 1, &sent);
        }
    }
    found.sorted()
}
