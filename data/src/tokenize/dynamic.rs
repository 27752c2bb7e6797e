use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

/// Joins tokens for one batch, as dynamic tokenization does (Feher et al. 2024): `merges` times, the adjacent pair that is most
/// frequent in the batch becomes one token wherever it is, from left to right. Of equally frequent pairs the smaller one is
/// taken; a pair that occurs once is left. Pairs do not reach across sequences.
///
/// Gives the tokens of each sequence as ranges of its old ones, in order and without gaps. A model needs states for the
/// joined tokens, such as the mean of their parts' embeddings. Work is `merges` passes over the batch.
pub fn merge_pairs<S: AsRef<[u32]>>(sequences: &[S], merges: usize) -> Vec<Vec<Range<usize>>> {
    let mut batch = Batch::new(sequences);
    for _ in 0..merges {
        let Some(pair) = batch.most_frequent() else { break };
        batch.merge(pair);
    }
    let spans = |tokens: &Vec<usize>| {
        let mut end = 0;
        let span = |&token: &usize| {
            let start = end;
            end += batch.parts[token].len();
            start..end
        };
        tokens.iter().map(span).collect()
    };
    batch.sequences.iter().map(spans).collect()
}

/// Sequences of tokens that stand for lists of old ones; equal lists are the same token, however they were joined.
struct Batch {
    parts: Vec<Vec<u32>>,
    numbers: HashMap<Vec<u32>, usize>,
    sequences: Vec<Vec<usize>>,
}

impl Batch {
    fn new<S: AsRef<[u32]>>(sequences: &[S]) -> Self {
        let mut batch = Self { parts: Vec::new(), numbers: HashMap::new(), sequences: Vec::new() };
        for sequence in sequences {
            let tokens = sequence.as_ref().iter().map(|&id| batch.number(vec![id])).collect();
            batch.sequences.push(tokens);
        }
        batch
    }

    fn number(&mut self, parts: Vec<u32>) -> usize {
        *self.numbers.entry(parts).or_insert_with_key(|parts| {
            self.parts.push(parts.clone());
            self.parts.len() - 1
        })
    }

    fn most_frequent(&self) -> Option<(usize, usize)> {
        let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
        for pair in self.sequences.iter().flat_map(|tokens| tokens.windows(2)) {
            *counts.entry((pair[0], pair[1])).or_default() += 1;
        }
        let rank =
            |&((a, b), count): &((usize, usize), usize)| (count, Reverse((&self.parts[a], &self.parts[b])));
        let repeated = counts.into_iter().filter(|&(_, count)| count > 1);
        repeated.max_by_key(rank).map(|(pair, _)| pair)
    }

    fn merge(&mut self, pair: (usize, usize)) {
        let joined = self.number([&self.parts[pair.0][..], &self.parts[pair.1]].concat());
        for tokens in &mut self.sequences {
            let mut merged = Vec::with_capacity(tokens.len());
            let mut rest = &tokens[..];
            while let [first, tail @ ..] = rest {
                let joins = tail.first().is_some_and(|second| (*first, *second) == pair);
                merged.push(if joins { joined } else { *first });
                rest = &tail[usize::from(joins)..];
            }
            *tokens = merged;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lengths(sequences: &[&[u32]], merges: usize) -> Vec<Vec<usize>> {
        merge_pairs(sequences, merges).iter().map(|spans| spans.iter().map(Range::len).collect()).collect()
    }

    #[test]
    fn frequent_pairs_first_then_the_smaller_of_equals() {
        // (1, 2) occurs three times, across both sequences.
        assert_eq!(lengths(&[&[1, 2, 1, 2, 3], &[1, 2]], 1), [vec![2, 2, 1], vec![2]]);
        // (5, 6) and (7, 8) occur twice each.
        assert_eq!(lengths(&[&[7, 8, 5, 6, 9, 7, 8, 4, 5, 6]], 1), [[1, 1, 2, 1, 1, 1, 1, 2]]);
        // Overlapping pairs count, but are merged from the left; nothing is left to merge after that.
        assert_eq!(lengths(&[&[1, 1, 1]], 9), [[2, 1]]);
        assert_eq!(lengths(&[&[1, 2, 3], &[]], 9), [vec![1, 1, 1], vec![]]);
    }

    proptest! {
        #[test]
        fn parts_cover_the_sequence_and_no_merge_is_no_change(
            sequences in prop::collection::vec(prop::collection::vec(0..3_u32, 0..30), 0..5), merges in 0..8_usize,
        ) {
            let mut tokens = 0;
            for (sequence, spans) in sequences.iter().zip(merge_pairs(&sequences, merges)) {
                let ends: Vec<usize> = spans.iter().map(|span| span.end).collect();
                let starts: Vec<usize> = spans.iter().map(|span| span.start).collect();
                prop_assert!(spans.iter().all(|span| !span.is_empty()));
                prop_assert_eq!(ends.last().copied().unwrap_or(0), sequence.len());
                prop_assert!(starts.iter().skip(1).eq(ends.iter().take(ends.len().saturating_sub(1))));
                tokens += spans.len();
            }
            let before: usize = sequences.iter().map(Vec::len).sum();
            prop_assert!(tokens <= before && (merges > 0 || tokens == before));
        }
    }
}
