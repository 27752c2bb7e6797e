/// Groups sequences into batches of at most `max_tokens` tokens; gives the indices of each batch's sequences.
///
/// Sequences go by length, shortest first and in order among equals, so that those of a batch are alike. One that is
/// longer than the budget is a batch of its own. The same lengths give the same batches.
pub fn pack_by_budget(lengths: &[usize], max_tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| lengths[index]); // stable
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut used = 0_usize;
    for index in order {
        let with = used.saturating_add(lengths[index]);
        match batches.last_mut() {
            Some(batch) if with <= max_tokens => {
                batch.push(index);
                used = with;
            }
            _ => {
                batches.push(vec![index]);
                used = lengths[index];
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn batches_fill_up_from_the_shortest() {
        assert_eq!(pack_by_budget(&[5, 1, 9, 2, 5], 10), [vec![1, 3, 0], vec![4], vec![2]]);
        assert_eq!(pack_by_budget(&[20, 3], 10), [vec![1], vec![0]]);
        assert!(pack_by_budget(&[], 10).is_empty());
    }

    proptest! {
        #[test]
        fn every_sequence_is_in_one_batch_within_the_budget(
            lengths in proptest::collection::vec(0_usize..100, 0..50), budget in 0_usize..200
        ) {
            let batches = pack_by_budget(&lengths, budget);
            let mut all: Vec<usize> = batches.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
            for batch in batches {
                let total: usize = batch.iter().map(|&index| lengths[index]).sum();
                prop_assert!(total <= budget || batch.len() == 1);
            }
        }
    }
}
