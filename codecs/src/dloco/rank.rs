//! Between words and their places in lexicographic order.

use super::params::RunLimit;
use super::places::Places;
use super::planes::Planes;
use super::states::{self, States};
use super::value::{Value, add, sub, with_constant};
use super::weights::Weights;

/// Ranks and unranks the words of a length and run limit.
///
/// With `k` symbols to follow and a current run of `r` symbols `p`, the words that go on with a smaller symbol than `s` are
/// `s W(k, 1) - [p < s] (W(k, 1) - W(k, r + 1))`. The table has this number for every position, state `(p, r)` and symbol,
/// in as many limbs as are needed at the position: the numbers become smaller from left to right, and much of the work is
/// done on few limbs. Unranking compares with three entries a symbol and subtracts one. Ranking a word of the code needs no
/// state: which runs end where follows from its symbols, for all positions at once.
#[derive(Clone, Debug)]
pub struct Ranker {
    run_limit: RunLimit,
    length: usize,
    words: Value,
    states: States,
    segments: Vec<Segment>,
    places: Places,
}

/// Consecutive positions whose numbers have the same count of limbs.
#[derive(Clone, Debug)]
struct Segment {
    limbs: usize,
    positions: usize,
    /// By position, then by [`States::at`] of state and symbol, then by limb.
    table: Vec<u64>,
}

impl Ranker {
    /// Tables for a code.
    pub fn new(run_limit: RunLimit, length: usize) -> Self {
        let weights = Weights::new(run_limit, length);
        let states = States::new(run_limit);
        let words = weights.words();
        let mut segments: Vec<Segment> = Vec::new();
        for position in 0..length {
            let follow = length - 1 - position;
            let bound = if position == 0 { words } else { weights.get(follow + 1, 1) };
            let limbs = bound.bits().div_ceil(64);
            if segments.last().is_none_or(|segment| segment.limbs != limbs) {
                segments.push(Segment { limbs, positions: 0, table: Vec::new() });
            }
            let segment = segments.last_mut().expect("pushed above");
            segment.positions += 1;
            for smaller in states.contributions(&weights, follow) {
                segment.table.extend(&smaller.0[..limbs]);
            }
        }
        let places = Places::new(&weights, run_limit, length);
        Self { run_limit, length, words, states, segments, places }
    }

    /// Symbols of a word.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Number of words.
    pub fn words(&self) -> Value {
        self.words
    }

    /// Whether `word` is in the code: of its length, and without a run longer than the limit.
    pub fn is_legal(&self, word: &[u8]) -> bool {
        word.len() == self.length && Planes::new(word).marks(self.run_limit).is_some()
    }

    /// The word at place `index`, which must be below [`words`](Self::words), into `word` of the code's length.
    pub fn unrank(&self, index: &Value, word: &mut [u8]) {
        self.unrank_all([index], [word]);
    }

    /// The words at two places: done side by side they take little longer than one.
    pub fn unrank_two(&self, indices: [&Value; 2], words: [&mut [u8]; 2]) {
        self.unrank_all(indices, words);
    }

    fn unrank_all<const N: usize>(&self, indices: [&Value; N], mut words: [&mut [u8]; N]) {
        for (index, word) in indices.iter().zip(&words) {
            debug_assert!(**index < self.words && word.len() == self.length, "{index} of {}", self.words);
        }
        let mut rest = indices.map(|index| *index);
        let mut state = [0; N];
        for segment in &self.segments {
            let mut heads = [const { None }; N];
            let mut number = 0;
            words = words.map(|word| {
                let (head, tail) = word.split_at_mut(segment.positions);
                heads[number] = Some(head);
                number += 1;
                tail
            });
            let mut heads = heads.map(|head| head.expect("set for each word"));
            with_constant!(segment.limbs, L in [1 2 3 4 5 6 7 8 9 10] => unrank::<L, N>(segment, &self.states, &mut rest, &mut state, &mut heads));
        }
    }

    /// The place of `word`, or none if it is not in the code.
    pub fn rank(&self, word: &[u8]) -> Option<Value> {
        if word.len() == self.length { self.place(&Planes::new(word)) } else { None }
    }

    /// The same of a word of the code's length.
    #[inline]
    pub(super) fn place(&self, word: &Planes) -> Option<Value> {
        Some(self.places.of(&word.marks(self.run_limit)?))
    }

    /// Number of words of the code that come before `word`, which may be any of the code's length, and whether `word` is one
    /// of them.
    pub fn extended_rank(&self, word: &[u8]) -> (Value, bool) {
        // The symbol that makes a run too long counts, what follows does not: the state after it contributes nothing.
        let (mut index, mut state) = (Value::ZERO, 0);
        let mut word = word;
        for segment in &self.segments {
            let (head, tail) = word.split_at(segment.positions.min(word.len()));
            word = tail;
            state = with_constant!(segment.limbs, L in [1 2 3 4 5 6 7 8 9 10] => rank::<L>(segment, &self.states, &mut index, state, head));
        }
        (index, state != self.states.broken())
    }
}

#[inline]
fn unrank<const L: usize, const N: usize>(
    segment: &Segment,
    states: &States,
    rest: &mut [Value; N],
    state: &mut [u8; N],
    words: &mut [&mut [u8]; N],
) {
    let (entries, _) = segment.table.as_chunks::<L>();
    let (rows, _) = entries.as_chunks::<4>();
    let (steps, _) = rows.as_chunks::<{ states::COUNT }>();
    let mut index: [[u64; L]; N] =
        std::array::from_fn(|n| *rest[n].0.first_chunk().expect("a value has more limbs than a segment"));
    for (position, step) in steps.iter().enumerate() {
        for n in 0..N {
            let row = &step[usize::from(state[n]) % states::COUNT];
            // Three comparisons and no branch: which symbol comes next cannot be predicted.
            let reaches = |symbol: usize| usize::from(!sub(&index[n], &row[symbol]).1);
            let symbol = reaches(1) + reaches(2) + reaches(3);
            index[n] = sub(&index[n], &row[symbol]).0;
            words[n][position] = symbol as u8;
            state[n] = states.next(state[n], symbol as u8);
        }
    }
    for n in 0..N {
        rest[n] = Value::ZERO;
        rest[n].0[..L].copy_from_slice(&index[n]);
    }
}

/// Adds what the symbols contribute to `index`, and gives the state after them.
#[inline]
fn rank<const L: usize>(
    segment: &Segment,
    states: &States,
    index: &mut Value,
    mut state: u8,
    word: &[u8],
) -> u8 {
    let (entries, _) = segment.table.as_chunks::<L>();
    let (rows, _) = entries.as_chunks::<4>();
    let (steps, _) = rows.as_chunks::<{ states::COUNT }>();
    let mut sum = [0; L];
    for (&symbol, step) in word.iter().zip(steps) {
        sum = add(&sum, &step[usize::from(state) % states::COUNT][usize::from(symbol & 3)]);
        state = states.next(state, symbol & 3);
    }
    add_to(index, &sum);
    state
}

#[inline]
fn add_to<const L: usize>(index: &mut Value, sum: &[u64; L]) {
    let mut carry = false;
    for (limb, total) in index.0.iter_mut().enumerate() {
        (*total, carry) = total.carrying_add(sum.get(limb).copied().unwrap_or(0), carry);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::value::LIMBS;
    use super::*;

    fn all_words(length: usize) -> impl Iterator<Item = Vec<u8>> {
        // Most significant symbol first: in lexicographic order.
        (0..4_u32.pow(length as u32))
            .map(move |word| (0..length).rev().map(|i| (word >> (2 * i) & 3) as u8).collect())
    }

    #[test]
    fn ranks_are_places_in_the_sorted_list_of_words() {
        for run_limit in RunLimit::ALL {
            for length in 3..=6 {
                let ranker = Ranker::new(run_limit, length);
                let mut place = 0_u64;
                for word in all_words(length) {
                    let legal = ranker.is_legal(&word);
                    assert_eq!(ranker.extended_rank(&word), (Value::from(place), legal), "{word:?}");
                    assert_eq!(ranker.rank(&word), legal.then(|| Value::from(place)), "{word:?}");
                    if legal {
                        let mut back = vec![0; length];
                        ranker.unrank(&Value::from(place), &mut back);
                        assert_eq!(back, word);
                        place += 1;
                    }
                }
                assert_eq!(ranker.words(), Value::from(place));
            }
        }
    }

    fn index_below(words: Value, seed: [u64; LIMBS]) -> Value {
        let mut index = Value(seed);
        for limb in (0..LIMBS).rev() {
            index.0[limb] = if words.0[limb..].iter().any(|&limb| limb != 0) { index.0[limb] } else { 0 };
        }
        while index >= words {
            index = index.half();
        }
        index
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn unrank_and_rank_are_inverse_and_monotone(
            run_limit in 1_usize..=3, length in 3_usize..=300, seeds: [[u64; LIMBS]; 2],
        ) {
            let ranker = Ranker::new(RunLimit::new(run_limit).unwrap(), length);
            let [mut low, mut high] = seeds.map(|seed| index_below(ranker.words(), seed));
            if low > high {
                std::mem::swap(&mut low, &mut high);
            }
            let word = |index: &Value| {
                let mut word = vec![0; length];
                ranker.unrank(index, &mut word);
                word
            };
            prop_assert_eq!(ranker.rank(&word(&low)), Some(low));
            prop_assert_eq!(ranker.rank(&word(&high)), Some(high));
            let mut pair = [vec![0; length], vec![0; length]];
            let [first, second] = &mut pair;
            ranker.unrank_two([&low, &high], [first, second]);
            prop_assert_eq!(&pair, &[word(&low), word(&high)]);
            prop_assert_eq!(word(&low).cmp(&word(&high)), low.cmp(&high));
            prop_assert_eq!(ranker.extended_rank(&word(&low)), (low, true));
            let reversed: Vec<u8> = word(&low).iter().map(|symbol| 3 - symbol).collect();
            let last = ranker.words().sub(&Value::from(1));
            prop_assert_eq!(ranker.rank(&reversed), Some(last.sub(&low)));
        }
    }
}
