/// Packs sequences into bins of `capacity` tokens, the longest first, each into the first bin with room for it (first-fit
/// decreasing). Gives the bin of each sequence; of equally long ones the first goes first. A sequence that is longer than a bin
/// has one of its own. Takes `n log n`.
pub fn first_fit_decreasing(lengths: &[usize], capacity: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&item| std::cmp::Reverse(lengths[item]));
    let mut room = Room::new(lengths.len(), capacity);
    let mut bins = vec![0; lengths.len()];
    let mut own = 0;
    for item in order {
        if lengths[item] > capacity {
            // These come first, so the bins up to here are all theirs.
            bins[item] = own;
            room.set(own, None);
            own += 1;
        } else {
            bins[item] = room.take(lengths[item]);
        }
    }
    bins
}

/// The room of each bin, `None` for closed ones, as a tree: a node knows the most room below it.
struct Room {
    leaves: usize,
    nodes: Vec<Option<usize>>,
}

impl Room {
    fn new(bins: usize, capacity: usize) -> Self {
        let leaves = bins.next_power_of_two();
        Self { leaves, nodes: vec![Some(capacity); 2 * leaves] }
    }

    fn set(&mut self, bin: usize, room: Option<usize>) {
        let mut node = self.leaves + bin;
        self.nodes[node] = room;
        while node > 1 {
            node /= 2;
            self.nodes[node] = self.nodes[2 * node].max(self.nodes[2 * node + 1]);
        }
    }

    /// Takes room in the first bin that has it. There are as many bins as sequences, so one has.
    fn take(&mut self, length: usize) -> usize {
        let mut node = 1;
        while node < self.leaves {
            node = 2 * node + usize::from(self.nodes[2 * node] < Some(length));
        }
        let bin = node - self.leaves;
        self.set(bin, self.nodes[node].map(|room| room - length));
        bin
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_sequences_have_bins_of_their_own() {
        assert_eq!(first_fit_decreasing(&[3, 99, 5, 2, 70, 5], 10), [3, 0, 2, 3, 1, 2]);
        assert_eq!(first_fit_decreasing(&[0, 7, 0], 0), [1, 0, 1]);
        assert!(first_fit_decreasing(&[], 10).is_empty());
        assert_eq!(first_fit_decreasing(&[1, 2], usize::MAX), [0, 0]);
    }

    proptest! {
        #[test]
        fn is_first_fit_by_its_definition(
            lengths in prop::collection::vec(0..40_usize, 0..60), capacity in 1..50_usize,
        ) {
            let bins = first_fit_decreasing(&lengths, capacity);
            let mut order: Vec<usize> = (0..lengths.len()).collect();
            order.sort_by_key(|&item| (std::cmp::Reverse(lengths[item]), item));
            let mut filled: Vec<usize> = Vec::new();
            for item in order {
                let fits = filled.iter().position(|&bin| bin + lengths[item] <= capacity);
                let bin = fits.unwrap_or(filled.len());
                filled.resize(filled.len().max(bin + 1), 0);
                filled[bin] += lengths[item];
                prop_assert_eq!(bins[item], bin);
            }
        }
    }
}
