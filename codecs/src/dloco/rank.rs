//! Between words and their places in lexicographic order.

use super::params::RunLimit;
use super::value::{LIMBS, Value, add, sub};
use super::weights::Weights;

/// Ranks and unranks the words of a length and run limit.
///
/// With `k` symbols to follow and a current run of `r` symbols `p`, the words that begin with a smaller symbol than `s`
/// are `s W(k, 1) - [p < s] (W(k, 1) - W(k, r + 1))`. The table has the four multiples of `W(k, 1)` and the deficits in the
/// brackets for each `r`, in as many limbs as are needed at the position: the numbers become smaller from left to right,
/// and most of the work is done on few limbs.
#[derive(Clone, Debug)]
pub struct Ranker {
    run_limit: usize,
    length: usize,
    words: Value,
    segments: Vec<Segment>,
}

/// Consecutive positions whose numbers have the same count of limbs.
#[derive(Clone, Debug)]
struct Segment {
    limbs: usize,
    positions: usize,
    /// By position, then by entry ([`ENTRIES`]), then by limb.
    table: Vec<u64>,
}

/// Four multiples, and the deficits of runs 0 (nothing before, no deficit) to 3.
const ENTRIES: usize = 8;

/// The last symbol and the length of its run; 0 and 0 before the first.
type State = (u8, u8);

impl Ranker {
    /// Tables for a code.
    pub fn new(run_limit: RunLimit, length: usize) -> Self {
        let weights = Weights::new(run_limit, length);
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
            let one = weights.get(follow, 1);
            for symbol in 0..4 {
                segment.table.extend(&one.mul_small(symbol).0[..limbs]);
            }
            segment.table.extend(&Value::ZERO.0[..limbs]);
            for run in 1..=3 {
                segment.table.extend(&one.sub(&weights.get(follow, run + 1)).0[..limbs]);
            }
        }
        Self { run_limit: run_limit.get(), length, words, segments }
    }

    /// Symbols of a word.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Number of words.
    pub fn words(&self) -> Value {
        self.words
    }

    /// Whether no run of `word` is longer than the limit.
    pub fn is_legal(&self, word: &[u8]) -> bool {
        let mut run = 0;
        let mut last = 4;
        word.iter().all(|&symbol| {
            run = if symbol == last { run + 1 } else { 1 };
            last = symbol;
            run <= self.run_limit
        })
    }

    /// The word at place `index`, which must be below [`words`](Self::words), into `word` of the code's length.
    pub fn unrank(&self, index: &Value, word: &mut [u8]) {
        debug_assert!(*index < self.words && word.len() == self.length, "{index} of {}", self.words);
        let mut rest = *index;
        let mut state = (0, 0);
        let mut word = word;
        for segment in &self.segments {
            let (head, tail) = word.split_at_mut(segment.positions);
            word = tail;
            state = with_limbs!(segment.limbs, L => unrank::<L>(segment, &mut rest, state, head));
        }
    }

    /// The place of `word`, or none if it is not in the code.
    pub fn rank(&self, word: &[u8]) -> Option<Value> {
        if word.len() != self.length {
            return None;
        }
        let mut index = Value::ZERO;
        let mut state = (0, 0);
        let mut longest = 0;
        let mut word = word;
        for segment in &self.segments {
            let (head, tail) = word.split_at(segment.positions);
            word = tail;
            let run;
            (state, run) = with_limbs!(segment.limbs, L => rank::<L>(segment, &mut index, state, head));
            longest = run.max(longest);
        }
        (usize::from(longest) <= self.run_limit).then_some(index)
    }

    /// Number of words of the code that come before `word`, which may be any, and whether `word` is one of them.
    pub fn extended_rank(&self, word: &[u8]) -> (Value, bool) {
        let legal = (1..=word.len()).rev().find(|&end| self.is_legal(&word[..end])).unwrap_or(0);
        // What follows the symbol that makes a run too long does not count; that symbol does.
        let (mut index, mut state, mut done) = (Value::ZERO, (0, 0), 0);
        for segment in &self.segments {
            for step in segment.table.chunks_exact(ENTRIES * segment.limbs) {
                if done < word.len() && done <= legal {
                    let entry = |at: usize| {
                        let mut value = Value::ZERO;
                        value.0[..segment.limbs]
                            .copy_from_slice(&step[at * segment.limbs..(at + 1) * segment.limbs]);
                        value
                    };
                    let (last, run) = state;
                    let symbol = word[done];
                    index = index.add(&entry(symbol.into()));
                    if last < symbol {
                        index = index.sub(&entry(4 + usize::from(run)));
                    }
                    state = next(state, symbol);
                }
                done += 1;
            }
        }
        (index, legal == word.len())
    }
}

#[inline(always)]
fn next((last, run): State, symbol: u8) -> State {
    (symbol, if symbol == last { run + 1 } else { 1 })
}

/// The four smallest indices less what was taken before, for the position's symbols.
#[inline(always)]
fn unrank<const L: usize>(segment: &Segment, rest: &mut Value, mut state: State, word: &mut [u8]) -> State {
    let (entries, _) = segment.table.as_chunks::<L>();
    let (steps, _) = entries.as_chunks::<ENTRIES>();
    let mut index: [u64; L] = *rest.0.first_chunk().expect("a value has more limbs than a segment");
    for (letter, step) in word.iter_mut().zip(steps) {
        let (last, run) = state;
        let deficit = &step[4 + usize::from(run & 3)];
        // Each of the three ways is worked out, and the last that does not go below zero is taken: no branch to mispredict.
        let way = |symbol: u8| {
            let start = &step[usize::from(symbol)];
            let masked = deficit.map(|limb| if last < symbol { limb } else { 0 });
            sub(&index, &sub(start, &masked).0)
        };
        let ways = [way(1), way(2), way(3)];
        let mut symbol = 0;
        for (number, (left, below)) in ways.iter().enumerate() {
            let taken = !below;
            symbol = if taken { number as u8 + 1 } else { symbol };
            for limb in 0..L {
                index[limb] = if taken { left[limb] } else { index[limb] };
            }
        }
        *letter = symbol;
        state = next(state, symbol);
    }
    rest.0 = [0; LIMBS];
    rest.0[..L].copy_from_slice(&index);
    state
}

/// Adds what the symbols contribute to `index`, and gives the state after them and their longest run.
#[inline(always)]
fn rank<const L: usize>(
    segment: &Segment,
    index: &mut Value,
    mut state: State,
    word: &[u8],
) -> (State, u8) {
    let (entries, _) = segment.table.as_chunks::<L>();
    let (steps, _) = entries.as_chunks::<ENTRIES>();
    let mut sum = [0; L];
    let mut longest = 0;
    for (&symbol, step) in word.iter().zip(steps) {
        let (last, run) = state;
        let deficit = if last < symbol { run & 3 } else { 0 };
        sum = add(&sum, &step[usize::from(symbol & 3)]);
        sum = sub(&sum, &step[4 + usize::from(deficit)]).0;
        state = next(state, symbol);
        // Of a run that is far too long, the count need only stay too long.
        state.1 = state.1.min(7);
        longest = longest.max(state.1);
    }
    let mut carry = false;
    for (limb, total) in index.0.iter_mut().enumerate() {
        (*total, carry) = total.carrying_add(sum.get(limb).copied().unwrap_or(0), carry);
    }
    (state, longest)
}

/// Runs an expression with the number of limbs as a constant.
macro_rules! with_limbs {
    ($limbs:expr, $L:ident => $run:expr) => {
        with_limbs!(@arms $limbs, $L, $run, 1 2 3 4 5 6 7 8 9 10)
    };
    (@arms $limbs:expr, $L:ident, $run:expr, $($count:literal)+) => {
        match $limbs {
            $($count => { const $L: usize = $count; $run })+
            other => unreachable!("{other} limbs: a value has ten"),
        }
    };
}
use with_limbs;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            prop_assert_eq!(word(&low).cmp(&word(&high)), low.cmp(&high));
            prop_assert_eq!(ranker.extended_rank(&word(&low)), (low, true));
            let reversed: Vec<u8> = word(&low).iter().map(|symbol| 3 - symbol).collect();
            let last = ranker.words().sub(&Value::from(1));
            prop_assert_eq!(ranker.rank(&reversed), Some(last.sub(&low)));
        }
    }
}
