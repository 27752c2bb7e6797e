//! Training and test rows, and what leaks from one to the other.

use std::collections::HashMap;

use super::words::{Words, mix};

/// Rows for training and rows for testing, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// For training.
    pub train: Vec<usize>,
    /// For testing.
    pub test: Vec<usize>,
}

/// Of all rows one in so many is for testing.
const TEST_SHARE: usize = 5;
/// Two sequences are of one cluster if so much of the words of the one with fewer are in the other.
const CLUSTER_WORD: u32 = 16;
const CLUSTER_SHARE: (usize, usize) = (3, 10);

impl Split {
    /// A fifth of the rows at random.
    pub fn random(rows: usize, seed: u64) -> Self {
        Self::of_groups((0..rows).map(|row| vec![row]).collect(), rows, seed)
    }

    /// The same of the first of each set of exact copies; the others are in neither part.
    pub fn without_copies(sequences: &[Vec<u8>], seed: u64) -> Self {
        let mut seen = HashMap::new();
        let firsts: Vec<usize> =
            (0..sequences.len()).filter(|&row| seen.insert(&sequences[row][..], row).is_none()).collect();
        let count = firsts.len();
        Self::of_groups(firsts.into_iter().map(|row| vec![row]).collect(), count, seed)
    }

    /// Whole clusters at random, until a fifth of the rows is for testing.
    pub fn by_cluster(clusters: &[usize], seed: u64) -> Self {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut numbers = HashMap::new();
        for (row, &cluster) in clusters.iter().enumerate() {
            let at = *numbers.entry(cluster).or_insert(groups.len());
            if at == groups.len() {
                groups.push(Vec::new());
            }
            groups[at].push(row);
        }
        Self::of_groups(groups, clusters.len(), seed)
    }

    fn of_groups(mut groups: Vec<Vec<usize>>, rows: usize, seed: u64) -> Self {
        // Fisher and Yates.
        for at in (1..groups.len()).rev() {
            let other = mix(mix(seed) ^ at as u64) % (at as u64 + 1);
            groups.swap(at, other as usize);
        }
        let wanted = rows / TEST_SHARE;
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for group in groups {
            // A cluster that is larger than what is left goes to training.
            if test.len() + group.len() <= wanted { test.extend(group) } else { train.extend(group) }
        }
        train.sort_unstable();
        test.sort_unstable();
        Self { train, test }
    }
}

/// Clusters of near-identical sequences, as the number of the first row of each: single linkage over pairs that share
/// three tenths of the words of 16 bases of the one that has fewer.
pub fn clusters(sequences: &[Vec<u8>]) -> Vec<usize> {
    let words: Vec<Words> = sequences.iter().map(|sequence| Words::of(sequence, CLUSTER_WORD)).collect();
    let mut parents: Vec<usize> = (0..sequences.len()).collect();
    let mut rows_of: HashMap<u64, Vec<u32>> = HashMap::new();
    let mut shared = vec![0_usize; sequences.len()];
    let mut copies: HashMap<&[u8], usize> = HashMap::new();
    for (row, set) in words.iter().enumerate() {
        let mut touched = Vec::new();
        for word in &set.0 {
            let rows = rows_of.entry(*word).or_default();
            for &other in rows.iter() {
                if shared[other as usize] == 0 {
                    touched.push(other as usize);
                }
                shared[other as usize] += 1;
            }
            rows.push(row as u32);
        }
        for other in touched {
            let least = set.0.len().min(words[other].0.len());
            if shared[other] * CLUSTER_SHARE.1 >= least * CLUSTER_SHARE.0 {
                join(&mut parents, row, other);
            }
            shared[other] = 0;
        }
        // Sequences without words are of one cluster only with their copies.
        if let Some(other) = copies.insert(&sequences[row], row) {
            join(&mut parents, row, other);
        }
    }
    (0..sequences.len()).map(|row| root(&mut parents, row)).collect()
}

/// Shares clusters out among `count` folds, the largest first and each to the smallest fold.
pub fn folds(clusters: &[usize], count: usize) -> Vec<usize> {
    let mut sizes: HashMap<usize, usize> = HashMap::new();
    for &cluster in clusters {
        *sizes.entry(cluster).or_default() += 1;
    }
    let mut order: Vec<(usize, usize)> = sizes.into_iter().collect();
    order.sort_unstable_by_key(|&(cluster, size)| (std::cmp::Reverse(size), cluster));
    let mut taken = vec![0; count.max(1)];
    let mut fold_of = HashMap::new();
    for (cluster, size) in order {
        let fold = (0..taken.len()).min_by_key(|&fold| (taken[fold], fold)).unwrap_or(0);
        taken[fold] += size;
        fold_of.insert(cluster, fold);
    }
    clusters.iter().map(|cluster| fold_of[cluster]).collect()
}

fn root(parents: &mut [usize], mut row: usize) -> usize {
    while parents[row] != row {
        parents[row] = parents[parents[row]];
        row = parents[row];
    }
    row
}

fn join(parents: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b)] = a.min(b);
}

/// How many test rows training has seen, or nearly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leakage {
    /// Test rows with an exact copy in training.
    pub copies: usize,
    /// Test rows with a cluster mate in training, copies included.
    pub mates: usize,
}

impl Leakage {
    /// Counts.
    pub fn of(split: &Split, sequences: &[Vec<u8>], clusters: &[usize]) -> Self {
        let seen: std::collections::HashSet<&[u8]> =
            split.train.iter().map(|&row| &sequences[row][..]).collect();
        let known: std::collections::HashSet<usize> = split.train.iter().map(|&row| clusters[row]).collect();
        let count = |test: &dyn Fn(usize) -> bool| split.test.iter().filter(|&&row| test(row)).count();
        Self {
            copies: count(&|row| seen.contains(&sequences[row][..])),
            mates: count(&|row| known.contains(&clusters[row])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dna(length: usize, mut seed: u64) -> Vec<u8> {
        (0..length)
            .map(|_| {
                seed = mix(seed);
                b"ACGT"[(seed % 4) as usize]
            })
            .collect()
    }

    #[test]
    fn rows_are_shared_out_once_and_by_the_seed() {
        let split = Split::random(100, 1);
        assert_eq!((split.train.len(), split.test.len()), (80, 20));
        let mut all = [split.train.clone(), split.test.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(split, Split::random(100, 1));
        assert_ne!(split, Split::random(100, 2));
    }

    #[test]
    fn folds_are_of_whole_clusters_and_of_nearly_one_size() {
        let clusters = [0, 0, 0, 3, 3, 5, 6, 7, 8, 9];
        let folds = folds(&clusters, 3);
        assert_eq!(folds, [0, 0, 0, 1, 1, 2, 2, 1, 2, 0]);
        assert_eq!(super::folds(&[], 3), [0; 0]);
        assert_eq!(super::folds(&clusters, 0), [0; 10]);
    }

    #[test]
    fn clusters_stay_together_and_copies_are_counted() {
        let mut sequences = Vec::new();
        for family in 0..20 {
            let mut member = dna(200, family);
            sequences.push(member.clone());
            member[100] = if member[100] == b'A' { b'C' } else { b'A' };
            sequences.push(member.clone());
            sequences.push(member);
        }
        let clusters = clusters(&sequences);
        assert!((0..60).all(|row| clusters[row] == row / 3 * 3), "{clusters:?}");
        let split = Split::by_cluster(&clusters, 3);
        assert_eq!(split.test.len(), 12);
        assert_eq!(Leakage::of(&split, &sequences, &clusters), Leakage::default());
        let random = Split::random(60, 3);
        let leakage = Leakage::of(&random, &sequences, &clusters);
        assert!(leakage.copies > 0 && leakage.mates > leakage.copies, "{leakage:?}");
        let dedup = Split::without_copies(&sequences, 3);
        assert_eq!(dedup.train.len() + dedup.test.len(), 40);
        assert_eq!(Leakage::of(&dedup, &sequences, &clusters).copies, 0);
    }

    #[test]
    fn sequences_without_words_are_of_one_cluster_with_their_copies_only() {
        let sequences = [&b"ACG"[..], b"ACG", b"", b"", b"TTT"].map(<[u8]>::to_vec);
        assert_eq!(clusters(&sequences), [0, 0, 2, 2, 4]);
    }
}
