//! Who stays: the higher score first, ties to the lower position, the result in ascending order of slots.

use std::cmp::Ordering;

/// Order of slot `a` against slot `b`: `Less` if `a` ranks first.
pub fn order(scores: &[f32], positions: &[u32], a: usize, b: usize) -> Ordering {
    scores[b].total_cmp(&scores[a]).then(positions[a].cmp(&positions[b]))
}

/// The best `count` of some slots, ascending.
pub fn top(scores: &[f32], positions: &[u32], mut slots: Vec<usize>, count: usize) -> Vec<usize> {
    let by_rank = |a: &usize, b: &usize| order(scores, positions, *a, *b);
    if count < slots.len() {
        if count > 0 {
            slots.select_nth_unstable_by(count - 1, by_rank);
        }
        slots.truncate(count);
    }
    slots.sort_unstable();
    slots
}

/// Slots in the order of their positions.
pub fn by_position(positions: &[u32]) -> Vec<usize> {
    let mut slots: Vec<usize> = (0..positions.len()).collect();
    if !positions.is_sorted() {
        slots.sort_by_key(|&slot| positions[slot]);
    }
    slots
}

/// Slots that always stay, and the others: positions below `sinks` and the last `recent` positions. If they alone are
/// more than `budget`, the sinks come first and then the newest.
pub fn forced(positions: &[u32], budget: usize, sinks: u32, recent: u32) -> (Vec<usize>, Vec<usize>) {
    let end = positions.iter().max().map_or(0, |last| u64::from(*last) + 1);
    let is_recent = |position: u32| u64::from(position) + u64::from(recent) >= end;
    let (mut forced, others): (Vec<usize>, Vec<usize>) =
        (0..positions.len()).partition(|&slot| positions[slot] < sinks || is_recent(positions[slot]));
    if forced.len() > budget {
        forced.sort_by_key(|&slot| {
            let position = positions[slot];
            if position < sinks { (0, position) } else { (1, u32::MAX - position) }
        });
        forced.truncate(budget);
        forced.sort_unstable();
    }
    (forced, others)
}

/// The `budget` slots that stay: the forced ones and the best of the others.
pub fn retain(scores: &[f32], positions: &[u32], budget: usize, sinks: u32, recent: u32) -> Vec<usize> {
    let (mut kept, others) = forced(positions, budget, sinks, recent);
    kept.extend(top(scores, positions, others, budget - kept.len()));
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_go_to_the_lower_position_wherever_it_lies() {
        assert_eq!(top(&[1.0, 2.0, 1.0, 1.0], &[9, 1, 3, 5], vec![0, 1, 2, 3], 3), [1, 2, 3]);
        assert!(top(&[1.0, 1.0], &[1, 0], vec![0, 1], 0).is_empty());
    }

    #[test]
    fn sinks_and_recents_stay_within_the_budget() {
        let scores = [0.0; 10];
        let positions: Vec<u32> = (0..10).collect();
        assert_eq!(retain(&scores, &positions, 6, 2, 3), [0, 1, 2, 7, 8, 9]);
        assert_eq!(retain(&scores, &positions, 4, 2, 3), [0, 1, 8, 9]);
        assert_eq!(retain(&scores, &positions, 20, 2, 3).len(), 10);
        assert!(retain(&[], &[], 5, 2, 3).is_empty());
    }

    proptest! {
        #[test]
        fn top_is_a_full_sort(scores in prop::collection::vec(0u8..4, 0..40), count in 0usize..50) {
            let scores: Vec<f32> = scores.into_iter().map(f32::from).collect();
            let positions: Vec<u32> = (0..scores.len() as u32).rev().collect();
            let mut all: Vec<usize> = (0..scores.len()).collect();
            let ours = top(&scores, &positions, all.clone(), count);
            all.sort_by(|&a, &b| order(&scores, &positions, a, b));
            all.truncate(count);
            all.sort_unstable();
            prop_assert_eq!(ours, all);
        }
    }
}
