//! Which divisors correct every single substitution: a proof for one, and a search.
//!
//! A divisor `R` is admissible when no two words at Hamming distance 1 or 2 have indices congruent modulo `R`, for then
//! every residue class has distance 3. After a substitution the two words are counted from different states (last symbol
//! and run) until both states agree again, which takes at most `l` further common symbols; so a substitution at a position
//! has few differences, and two substitutions far apart have their sums. The proof
//!
//! 1. collects the differences of each position, refuses zero, and refuses a residue that two positions at least `2 l + 2`
//!    apart share (differences come with both signs, so a shared residue is a sum of zero);
//! 2. follows every pair of words through two substitutions closer than that, and refuses a difference of zero.
//!
//! Step 1 could refuse a pair that no word realises; what passes both steps is admissible without a gap.

use super::params::RunLimit;

/// Whether `divisor` is proven to be admissible for the words of `length` symbols.
pub fn proves(run_limit: RunLimit, length: usize, divisor: u32) -> bool {
    let proof = Proof::new(run_limit.get(), length, divisor);
    proof.far_pairs_differ() && proof.near_pairs_differ()
}

/// The smallest odd divisor between `least` and `most` that can be proven.
pub fn search(run_limit: RunLimit, length: usize, least: u32, most: u32) -> Option<u32> {
    (least.max(3) | 1..=most).step_by(2).find(|&divisor| proves(run_limit, length, divisor))
}

/// A state is `symbol * l + run - 1`; before the first symbol there is none.
type State = u8;

/// Two words so far, and the difference of their indices.
type Pair = (State, State, u32);

struct Proof {
    run_limit: usize,
    length: usize,
    divisor: u32,
    /// `W(n, r)` modulo the divisor, by `n`, then `r - 1`; zero for `r = l + 1`.
    weights: Vec<[u32; 4]>,
}

impl Proof {
    fn new(run_limit: usize, length: usize, divisor: u32) -> Self {
        let modulus = u64::from(divisor);
        let mut first = [0; 4];
        first[..run_limit].fill(1 % divisor);
        let mut weights = vec![first];
        for n in 1..length {
            let before = weights[n - 1];
            let mut row = [0; 4];
            for run in 0..run_limit {
                // The entry after the last run is zero.
                row[run] = ((u64::from(before[run + 1]) + 3 * u64::from(before[0])) % modulus) as u32;
            }
            weights.push(row);
        }
        Self { run_limit, length, divisor, weights }
    }

    fn add(&self, a: u32, b: u32) -> u32 {
        ((u64::from(a) + u64::from(b)) % u64::from(self.divisor)) as u32
    }

    fn sub(&self, a: u32, b: u32) -> u32 {
        self.add(a, self.divisor - b)
    }

    /// The state after `symbol`, and how many words with a smaller symbol come before; none if the run gets too long.
    fn step(&self, state: Option<State>, symbol: u8, position: usize) -> Option<(State, u32)> {
        let row = &self.weights[self.length - 1 - position];
        let l = self.run_limit as u8;
        let whole = |count: u8| ((u64::from(row[0]) * u64::from(count)) % u64::from(self.divisor)) as u32;
        let Some(state) = state else { return Some((symbol * l, whole(symbol))) };
        let (last, run) = (state / l, state % l + 1);
        if last == symbol {
            return (run < l).then(|| (state + 1, whole(symbol)));
        }
        let smaller =
            if last < symbol { self.add(whole(symbol - 1), row[usize::from(run)]) } else { whole(symbol) };
        Some((symbol * l, smaller))
    }

    /// States in which a word can be before `position`; none before the first symbol.
    fn states(&self, position: usize) -> Vec<Option<State>> {
        let l = self.run_limit;
        if position == 0 {
            return vec![None];
        }
        (0..4 * l).filter(|state| state % l < position).map(|state| Some(state as State)).collect()
    }

    /// Pairs after different symbols at `position`.
    fn differ(&self, (x, y): (Option<State>, Option<State>), sum: u32, position: usize, out: &mut Vec<Pair>) {
        for a in 0..4 {
            let Some((after_x, count_x)) = self.step(x, a, position) else { continue };
            for b in (0..4).filter(|&b| b != a) {
                let Some((after_y, count_y)) = self.step(y, b, position) else { continue };
                out.push((after_x, after_y, self.add(sum, self.sub(count_x, count_y))));
            }
        }
    }

    /// Pairs after a common symbol at `position`.
    fn agree(&self, pairs: &[Pair], position: usize) -> Vec<Pair> {
        let mut out = Vec::new();
        for &(x, y, sum) in pairs {
            for symbol in 0..4 {
                let Some((after_x, count_x)) = self.step(Some(x), symbol, position) else { continue };
                let Some((after_y, count_y)) = self.step(Some(y), symbol, position) else { continue };
                out.push((after_x, after_y, self.add(sum, self.sub(count_x, count_y))));
            }
        }
        distinct(out)
    }

    /// Differences that the pairs have when their states have met, or at the end of the word.
    fn settle(&self, mut pairs: Vec<Pair>, mut position: usize) -> Vec<u32> {
        let mut settled = Vec::new();
        while !pairs.is_empty() {
            let end = position == self.length;
            settled.extend(pairs.iter().filter(|(x, y, _)| end || x == y).map(|pair| pair.2));
            pairs.retain(|(x, y, _)| !end && x != y);
            if !pairs.is_empty() {
                pairs = self.agree(&pairs, position);
                position += 1;
            }
        }
        settled.sort_unstable();
        settled.dedup();
        settled
    }

    /// Differences of one substitution at `position`, from one state.
    fn gadget(&self, state: Option<State>, position: usize) -> Vec<u32> {
        let mut pairs = Vec::new();
        self.differ((state, state), 0, position, &mut pairs);
        self.settle(distinct(pairs), position + 1)
    }

    fn far_pairs_differ(&self) -> bool {
        let mut seen = vec![u16::MAX; self.divisor as usize];
        for position in 0..self.length {
            let mut differences: Vec<u32> = Vec::new();
            for state in self.states(position) {
                differences.extend(self.gadget(state, position));
            }
            for difference in differences {
                let first = &mut seen[difference as usize];
                let far = usize::from(*first) + 2 * self.run_limit + 2 <= position;
                if difference == 0 || far {
                    return false;
                }
                *first = (*first).min(position as u16);
            }
        }
        true
    }

    fn near_pairs_differ(&self) -> bool {
        let gadgets: Vec<Vec<Vec<u32>>> = (0..self.length)
            .map(|position| {
                (0..4 * self.run_limit)
                    .map(|state| {
                        let reachable = state % self.run_limit < position;
                        if reachable { self.gadget(Some(state as State), position) } else { Vec::new() }
                    })
                    .collect()
            })
            .collect();
        (0..self.length).all(|first| {
            let mut pairs = Vec::new();
            for state in self.states(first) {
                self.differ((state, state), 0, first, &mut pairs);
            }
            let mut pairs = distinct(pairs);
            let last = (first + 2 * self.run_limit + 1).min(self.length - 1);
            (first + 1..=last).all(|second| {
                let apart = self.near_pair_differs(&pairs, second, &gadgets[second]);
                pairs = self.agree(&pairs, second);
                apart
            })
        })
    }

    /// Whether no second substitution at `position` makes a difference of zero out of `pairs`.
    fn near_pair_differs(&self, pairs: &[Pair], position: usize, gadgets: &[Vec<u32>]) -> bool {
        let mut open = Vec::new();
        for &(x, y, sum) in pairs {
            if x == y {
                let opposite = self.sub(0, sum);
                if gadgets[usize::from(x)].binary_search(&opposite).is_ok() {
                    return false;
                }
            } else {
                self.differ((Some(x), Some(y)), sum, position, &mut open);
            }
        }
        !self.settle(distinct(open), position + 1).contains(&0)
    }
}

fn distinct(mut pairs: Vec<Pair>) -> Vec<Pair> {
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::dloco::{Params, Ranker, divisor};

    #[test]
    fn every_listed_divisor_is_proven() {
        let listed = |run_limit| Params::listed(run_limit).map(move |length| (run_limit, length));
        let all: Vec<_> = RunLimit::ALL.into_iter().flat_map(listed).collect();
        all.into_par_iter().for_each(|(run_limit, length)| {
            let divisor = divisor::listed(run_limit, length).unwrap();
            assert!(divisor % 2 == 1 && proves(run_limit, length, divisor), "{run_limit} {length} {divisor}");
        });
    }

    #[test]
    fn search_finds_the_smallest_of_the_table() {
        for (run_limit, lengths) in [(1, &[3, 6, 16, 32][..]), (2, &[4, 6, 8, 12]), (3, &[3, 6, 8, 12])] {
            let run_limit = RunLimit::new(run_limit).unwrap();
            for &length in lengths {
                assert_eq!(search(run_limit, length, 3, 1 << 20), divisor::listed(run_limit, length).ok());
            }
        }
    }

    /// By looking at all pairs of words at distance 1 and 2.
    fn admissible(run_limit: RunLimit, length: usize, divisor: u32) -> bool {
        let ranker = Ranker::new(run_limit, length);
        let count = ranker.words().bits_at(0, 64);
        let words: Vec<Vec<u8>> = (0..count)
            .map(|index| {
                let mut word = vec![0; length];
                ranker.unrank(&index.into(), &mut word);
                word
            })
            .collect();
        let residue = |index: usize| index as u32 % divisor;
        (0..words.len()).all(|i| {
            (i + 1..words.len())
                .filter(|&j| residue(i) == residue(j))
                .all(|j| words[i].iter().zip(&words[j]).filter(|(a, b)| a != b).count() > 2)
        })
    }

    #[test]
    fn proof_agrees_with_all_pairs_of_words() {
        for run_limit in RunLimit::ALL {
            for length in 3..=4 {
                for divisor in (3..240).step_by(2) {
                    let proven = proves(run_limit, length, divisor);
                    assert_eq!(
                        proven,
                        admissible(run_limit, length, divisor),
                        "{run_limit} {length} {divisor}"
                    );
                }
            }
        }
    }
}
