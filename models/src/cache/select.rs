//! Which keys a query reads, when it does not read all: functions of the queries and of short descriptions of the keys.
//!
//! Nothing is dropped, so what one query does not read another may. Keys are `[tokens, dim]` of one key/value head, rotated,
//! in the order of their positions; queries are `[queries, dim]`, those of the head's group one after the other. The
//! outcome is a list of disjoint ranges of tokens in ascending order, one list of a
//! [`Selection`](kilobase_kernels::attention::Selection).

pub mod hip;
pub mod infllm2;
pub mod mpcache;
pub mod squeezed;

use super::policy::rank;
use std::ops::Range;

/// The `count` best of the scores, in ascending order of index; of equal ones the first.
pub fn top(scores: &[f32], count: usize) -> Vec<usize> {
    let indices: Vec<u32> = (0..scores.len() as u32).collect();
    rank::top(scores, &indices, (0..scores.len()).collect(), count)
}

/// Joins ranges that touch; they come in ascending order.
pub(super) fn join(ranges: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        match joined.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => joined.push(range),
        }
    }
    joined
}

/// Sums run in eight lanes, which the compiler turns into vector instructions.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_that_touch_are_one() {
        assert_eq!(join([0..2, 2..2, 2..5, 6..7]), [0..5, 6..7]);
    }

    proptest! {
        #[test]
        fn top_is_a_stable_sort(scores in prop::collection::vec(0..4_u8, 0..40), count in 0..50_usize) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let mut expected: Vec<usize> = (0..scores.len()).collect();
            expected.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            expected.truncate(count);
            expected.sort_unstable();
            prop_assert_eq!(top(&scores, count), expected);
        }

        #[test]
        fn a_product_in_lanes_is_the_product(pairs in prop::collection::vec((-9..9_i8, -9..9_i8), 0..40)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.iter().map(|&(a, b)| (f32::from(a), f32::from(b))).unzip();
            let expected: i32 = pairs.iter().map(|&(a, b)| i32::from(a) * i32::from(b)).sum();
            prop_assert!((dot(&a, &b) - expected as f32).abs() < 1e-6);
        }
    }
}
