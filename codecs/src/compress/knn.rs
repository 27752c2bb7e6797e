//! Nearest neighbours, with a rule for every tie.

/// What the neighbours say.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    /// The class.
    pub class: usize,
    /// Index of the nearest neighbour, and its distance.
    pub nearest: (usize, f64),
    /// The least distance to each class; infinite for a class without members.
    pub by_class: Vec<f64>,
    /// Whether the vote, or for one neighbour the least distance, was shared between classes.
    pub is_tie: bool,
}

impl Vote {
    /// Least distance to another class less that to the class, and one less their ratio: how sure the answer is. Zero
    /// where another class is as near.
    pub fn margin(&self) -> (f64, f64) {
        let own = self.by_class[self.class];
        let others = self.by_class.iter().enumerate().filter(|&(class, _)| class != self.class);
        let other = others.map(|(_, &distance)| distance).fold(f64::INFINITY, f64::min);
        if !other.is_finite() {
            return (0.0, 0.0);
        }
        let ratio = if other > 0.0 { 1.0 - own / other } else { 0.0 };
        (other - own, ratio.clamp(0.0, 1.0))
    }
}

/// The class of a query from its distances to training sequences of known classes.
///
/// Neighbours are sorted by distance, then by index; the first `k` vote. A tie goes to the class with the smaller sum of
/// distances, then to the one with the earliest neighbour.
///
/// None without training sequences.
pub fn vote(distances: &[f64], classes: &[usize], class_count: usize, k: usize) -> Option<Vote> {
    let k = k.clamp(1, distances.len().max(1));
    let mut order: Vec<usize> = (0..distances.len()).collect();
    let by_distance = |&a: &usize, &b: &usize| distances[a].total_cmp(&distances[b]).then(a.cmp(&b));
    if k < order.len() {
        order.select_nth_unstable_by(k - 1, by_distance);
        order.truncate(k);
    }
    order.sort_unstable_by(by_distance);
    let &first = order.first()?;
    // Votes, sum of distances, and rank of the earliest neighbour of each class.
    let mut tally = vec![(0_usize, 0.0_f64, usize::MAX); class_count];
    for (rank, &at) in order.iter().enumerate() {
        let (votes, sum, earliest) = &mut tally[classes[at]];
        *votes += 1;
        *sum += distances[at];
        *earliest = rank.min(*earliest);
    }
    let best = (0..class_count).filter(|&class| tally[class].0 > 0).min_by(|&a, &b| {
        let ((votes_a, sum_a, early_a), (votes_b, sum_b, early_b)) = (tally[a], tally[b]);
        votes_b.cmp(&votes_a).then(sum_a.total_cmp(&sum_b)).then(early_a.cmp(&early_b))
    })?;
    let mut by_class = vec![f64::INFINITY; class_count];
    for (&distance, &class) in distances.iter().zip(classes) {
        by_class[class] = by_class[class].min(distance);
    }
    let is_tie = if k == 1 {
        by_class.iter().filter(|distance| distance.total_cmp(&distances[first]).is_eq()).count() > 1
    } else {
        tally.iter().filter(|(votes, ..)| *votes == tally[best].0).count() > 1
    };
    Some(Vote { class: best, nearest: (first, distances[first]), by_class, is_tie })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same bits are what is asked for")]
mod tests {
    use super::*;
    use crate::compress::bytes::{Compressor, Kind};
    use crate::compress::code_length::{CodeLength, Corpus};
    use crate::compress::distance::Distance;
    use crate::compress::markov::{Markov, Mixture};

    fn class(distances: &[f64], classes: &[usize], k: usize) -> usize {
        vote(distances, classes, 3, k).unwrap().class
    }

    #[test]
    fn nearest_wins_and_the_first_of_equals() {
        assert_eq!(class(&[0.5, 0.2, 0.2], &[0, 2, 1], 1), 2);
        let tied = vote(&[0.5, 0.2, 0.2], &[0, 2, 1], 3, 1).unwrap();
        assert!(tied.is_tie);
        assert_eq!(tied.nearest, (1, 0.2));
        assert!(!vote(&[0.5, 0.2, 0.2], &[0, 2, 2], 3, 1).unwrap().is_tie);
    }

    #[test]
    fn ties_of_a_vote_go_by_sum_then_by_the_earliest() {
        assert_eq!(class(&[0.1, 0.4, 0.2, 0.2], &[0, 0, 1, 1], 4), 1, "0.4 is less than 0.5");
        assert_eq!(class(&[0.25, 0.25, 0.125, 0.375], &[0, 0, 1, 1], 4), 1, "equal sums: the nearest");
        assert_eq!(class(&[0.3, 0.1, 0.2], &[2, 0, 1], 3), 0);
        assert_eq!(class(&[0.3, 0.1, 0.2], &[2, 2, 1], 99), 2, "k is clamped");
    }

    #[test]
    fn every_code_length_is_a_classifier() {
        let random = |mut seed: u32| -> Vec<u8> {
            let mut next = || {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                b"ACGT"[(seed >> 30) as usize]
            };
            (0..400).map(|_| next()).collect()
        };
        // Members of a class are one sequence with other substitutions.
        let member = |class: usize, number: usize| {
            let mut sequence = random(class as u32);
            sequence.iter_mut().skip(number).step_by(29).for_each(|base| *base = b'A');
            sequence
        };
        let sequences: Vec<Vec<u8>> = (0..6).map(|at| member(at % 2, at)).collect();
        let classes: Vec<usize> = (0..6).map(|at| at % 2).collect();
        let ask = |corpus: &dyn Corpus, name: &str| {
            for class in 0..2 {
                let distances = Distance::Ncd.row(corpus, &member(class, 20)).unwrap();
                assert_eq!(vote(&distances, &classes, 2, 1).unwrap().class, class, "{name}");
            }
        };
        ask(&*Compressor::new(Kind::Xz, 6).unwrap().corpus(&sequences).unwrap(), "xz");
        ask(&*Markov::new(8).unwrap().corpus(&sequences).unwrap(), "markov");
        ask(&*Mixture.corpus(&sequences).unwrap(), "mixture");
    }

    #[test]
    fn margins_are_to_the_next_class() {
        let vote = vote(&[0.5, 0.8, 0.6], &[0, 1, 0], 2, 1).unwrap();
        let (difference, ratio) = vote.margin();
        assert!((difference - 0.3).abs() < 1e-12);
        assert!((ratio - 0.375).abs() < 1e-12);
        assert!(super::vote(&[], &[], 2, 1).is_none());
    }
}
