use std::collections::BTreeMap;

/// How many records there are of each length: as much as N50 needs, and no more memory than there are lengths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Of records shorter than [`SHORT`], by length.
    short: Vec<u64>,
    long: BTreeMap<u64, u64>,
}

/// Reads of most instruments are shorter.
const SHORT: u64 = 1 << 12;

impl Lengths {
    /// Counts a record.
    #[inline]
    pub fn add(&mut self, length: u64) {
        match self.short.get_mut(length as usize) {
            Some(count) => *count += 1,
            None => self.add_many(length, 1),
        }
    }

    #[cold]
    fn add_many(&mut self, length: u64, count: u64) {
        if length >= SHORT {
            *self.long.entry(length).or_default() += count;
            return;
        }
        let at = length as usize;
        if at >= self.short.len() {
            self.short.resize(at + 1, 0);
        }
        self.short[at] += count;
    }

    /// Adds what was counted elsewhere.
    pub(super) fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(length, count)| self.add_many(length, count));
    }

    /// Each length that occurs, ascending, and how often it does.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> + '_ {
        let short = self.short.iter().enumerate().map(|(length, &count)| (length as u64, count));
        short.filter(|&(_, count)| count > 0).chain(self.long.iter().map(|(&length, &count)| (length, count)))
    }

    /// The shortest length; none without records.
    pub fn min(&self) -> Option<u64> {
        self.iter().next().map(|(length, _)| length)
    }

    /// The longest length; none without records.
    pub fn max(&self) -> Option<u64> {
        self.iter().next_back().map(|(length, _)| length)
    }

    /// The mean length; none without records.
    pub fn mean(&self) -> Option<f64> {
        let (records, letters) = self.sums();
        (records > 0).then(|| letters as f64 / records as f64)
    }

    /// N50 for `percent` 50: the largest length such that records of it and longer ones hold as many percent of all letters.
    pub fn n(&self, percent: u64) -> Option<u64> {
        let (_, letters) = self.sums();
        let mut held = 0_u128;
        self.iter().rev().find_map(|(length, count)| {
            held += u128::from(length) * u128::from(count);
            (100 * held >= u128::from(percent) * letters).then_some(length)
        })
    }

    /// Records and letters.
    pub(super) fn sums(&self) -> (u64, u128) {
        self.iter().fold((0, 0), |(records, letters), (length, count)| {
            (records + count, letters + u128::from(length) * u128::from(count))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn n50_of_the_usual_example() {
        let mut lengths = Lengths::default();
        for length in [2, 3, 4, 5, 6, 7, 8, 9, 10] {
            lengths.add(length);
        }
        assert_eq!((lengths.n(50), lengths.n(90), lengths.mean()), (Some(8), Some(4), Some(6.0)));
        assert_eq!((Lengths::default().n(50), Lengths::default().mean()), (None, None));
    }

    proptest! {
        #[test]
        fn is_what_a_sorted_list_says(list in prop::collection::vec(0..10_000_u64, 1..60), percent in 0..=100_u64) {
            let mut lengths = Lengths::default();
            for &length in &list {
                lengths.add(length);
            }
            let mut sorted = list.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            let total: u64 = sorted.iter().sum();
            let mut held = 0;
            let expected = sorted.iter().find(|&&length| { held += length; 100 * held >= percent * total });
            prop_assert_eq!(lengths.n(percent), expected.copied());
            prop_assert_eq!((lengths.min(), lengths.max()), (sorted.last().copied(), sorted.first().copied()));
        }
    }
}
