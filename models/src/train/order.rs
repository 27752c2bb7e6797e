//! Which bases a step reads: a function of the seed, the epoch and the place in it.

use super::corpus::Corpus;
use kilobase_data::batch::first_fit_decreasing;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::ops::Range;

/// A stretch of a data set, as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Which data set.
    pub corpus: usize,
    /// Where in it.
    pub range: Range<usize>,
    /// Whether it is read as its reverse complement.
    pub reversed: bool,
}

/// How runs are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bases of a window.
    pub window: usize,
    /// Windows shorter than this are not read.
    pub least: usize,
    /// Bases of a batch.
    pub capacity: usize,
    /// Whether half of the windows are reversed.
    pub reverse_complement: bool,
}

/// A stream of random numbers for a purpose and a number: the same wherever a run is gone on with.
pub fn stream(seed: u64, purpose: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose << 56 ^ number);
    rng
}

/// The batches of an epoch, in order. Every run is cut from a random first place on, so that epochs see other cuts (and k-mers
/// other frames); windows are shuffled, packed, and the batches shuffled.
pub fn epoch(corpora: &[Corpus], cut: &Cut, seed: u64, epoch: u64) -> Vec<Vec<Window>> {
    let mut rng = stream(seed, 1, epoch);
    let mut windows = Vec::new();
    for (number, corpus) in corpora.iter().enumerate() {
        for _ in 0..corpus.repeat {
            for run in corpus.train() {
                let first = if run.len() > cut.window { rng.random_range(0..cut.window) } else { 0 };
                let mut start = run.start;
                let mut end = run.start + first;
                loop {
                    if end.min(run.end) - start >= cut.least {
                        let reversed = cut.reverse_complement && rng.random();
                        windows.push(Window { corpus: number, range: start..end.min(run.end), reversed });
                    }
                    if end >= run.end {
                        break;
                    }
                    start = end;
                    end += cut.window;
                }
            }
        }
    }
    windows.shuffle(&mut rng);
    let lengths: Vec<usize> = windows.iter().map(|window| window.range.len()).collect();
    let bins = first_fit_decreasing(&lengths, cut.capacity);
    let mut batches = vec![Vec::new(); bins.iter().max().map_or(0, |last| last + 1)];
    for (window, bin) in windows.into_iter().zip(bins) {
        batches[bin].push(window);
    }
    batches.shuffle(&mut rng);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::recipe::DataRecipe;
    use proptest::prelude::*;
    use std::fs;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn an_epoch_reads_every_base_once_but_short_ends(
            lengths in prop::collection::vec(1..500_usize, 1..6), window in 16..80_usize, seed: u64
        ) {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("a.fa");
            let records = lengths.iter().enumerate().map(|(n, &length)| format!(">{n}\n{}\n", "A".repeat(length)));
            let text = records.collect::<Vec<_>>().concat();
            fs::write(&file, text).unwrap();
            let recipe = DataRecipe { name: "a".into(), files: vec![file], repeat: 1, limit: None };
            let Ok(corpus) = Corpus::read(&recipe, 0.0, 8) else { return Ok(()) };
            let cut = Cut { window, least: 8, capacity: 3 * window, reverse_complement: true };
            let corpora = [corpus];
            let batches = epoch(&corpora, &cut, seed, 3);
            prop_assert_eq!(&batches, &epoch(&corpora, &cut, seed, 3));
            let mut read: Vec<Range<usize>> = batches.concat().into_iter().map(|window| window.range).collect();
            read.sort_by_key(|range| range.start);
            let total: usize = read.iter().map(Range::len).sum();
            let all: usize = corpora[0].train().iter().map(Range::len).sum();
            for pair in read.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start, "no base twice");
            }
            // A run loses less than the least length at each of its ends.
            prop_assert!(total + 14 * corpora[0].train().len() >= all);
            for batch in &batches {
                prop_assert!(batch.iter().map(|window| window.range.len()).sum::<usize>() <= 3 * window);
                prop_assert!(batch.iter().all(|w| (8..=window).contains(&w.range.len())));
            }
        }
    }
}
