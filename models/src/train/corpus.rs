//! The bases of a data set, and which of them are never trained on.

use super::Error;
use super::recipe::DataRecipe;
use kilobase_data::fastx::{Reader, Record};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// The longest stretch that is held out in one piece.
const BLOCK: usize = 50_000;

/// Bases of one data set: runs of `ACGT`, upper case.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// What it is called.
    pub name: String,
    /// How often an epoch goes through it.
    pub repeat: u32,
    bases: Vec<u8>,
    /// Runs to train on.
    train: Vec<Range<usize>>,
    /// Runs that are held out.
    held_out: Vec<Range<usize>>,
    /// Letters that are in no run: no base, or in a run too short to be read.
    pub dropped: u64,
    /// Of names and letters of all records.
    pub sha256: String,
}

impl Corpus {
    /// Reads a data set. Of every record `share` is held out, from the middle of each of equally long periods: these are so long
    /// that a held-out block has at most 50,000 bases, and a record has at least one. Runs shorter than `least` bases are dropped.
    pub fn read(recipe: &DataRecipe, share: f64, least: usize) -> Result<Self, Error> {
        let mut corpus = Self {
            name: recipe.name.clone(),
            repeat: recipe.repeat,
            bases: Vec::new(),
            train: Vec::new(),
            held_out: Vec::new(),
            dropped: 0,
            sha256: String::new(),
        };
        let mut hash = Sha256::new();
        let mut left = recipe.limit.unwrap_or(u64::MAX);
        let mut record = Record::default();
        'files: for file in &recipe.files {
            let mut reader = Reader::open(file)?;
            while reader.read_record(&mut record)? {
                let length = record.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                left -= length as u64;
                record.sequence.truncate(length);
                record.sequence.make_ascii_uppercase();
                for part in [record.id.as_bytes(), &record.sequence] {
                    hash.update((part.len() as u64).to_le_bytes());
                    hash.update(part);
                }
                corpus.add(&record.sequence, share, least);
                if left == 0 {
                    break 'files;
                }
            }
        }
        corpus.sha256 = hex::encode(hash.finalize());
        if corpus.train.is_empty() {
            let reason = format!("no run of at least {least} bases to train on");
            return Err(Error::Data { name: recipe.name.clone(), reason });
        }
        Ok(corpus)
    }

    fn add(&mut self, sequence: &[u8], share: f64, least: usize) {
        for (block, held_out) in blocks(sequence.len(), share) {
            let mut at = block.start;
            while at < block.end {
                let rest = &sequence[at..block.end];
                let run = rest.iter().take_while(|letter| b"ACGT".contains(letter)).count();
                if run >= least {
                    let start = self.bases.len();
                    self.bases.extend_from_slice(&rest[..run]);
                    let runs = if held_out { &mut self.held_out } else { &mut self.train };
                    runs.push(start..start + run);
                } else {
                    self.dropped += run as u64;
                }
                let gap = rest[run..].iter().take_while(|letter| !b"ACGT".contains(letter)).count();
                self.dropped += gap as u64;
                at += run + gap;
            }
        }
    }

    /// Runs to train on, as ranges of [`Self::bases()`].
    pub fn train(&self) -> &[Range<usize>] {
        &self.train
    }

    /// Runs that are held out.
    pub fn held_out(&self) -> &[Range<usize>] {
        &self.held_out
    }

    /// The bases of a range.
    pub fn bases(&self, range: Range<usize>) -> &[u8] {
        &self.bases[range]
    }

    /// Bases to train on, and held out.
    pub fn sizes(&self) -> [u64; 2] {
        [&self.train, &self.held_out].map(|runs| runs.iter().map(|run| run.len() as u64).sum())
    }

    /// At most `most` windows of the held-out runs, evenly spread, none shorter than half a window.
    pub fn held_out_windows(&self, window: usize, most: usize) -> Vec<Range<usize>> {
        let cut = |run: &Range<usize>| {
            let run = run.clone();
            run.clone().step_by(window).map(move |start| start..(start + window).min(run.end))
        };
        let all: Vec<Range<usize>> =
            self.held_out.iter().flat_map(cut).filter(|range| 2 * range.len() >= window).collect();
        let count = all.len().min(most);
        (0..count).map(|n| all[n * all.len() / count].clone()).collect()
    }
}

/// The stretches of a record, in order, and whether each is held out: the middle of every period, since the ends of chromosomes
/// are unlike the rest.
fn blocks(length: usize, share: f64) -> Vec<(Range<usize>, bool)> {
    let block = ((length as f64 * share) as usize).min(BLOCK);
    if block == 0 {
        return vec![(0..length, false)];
    }
    let period = (block as f64 / share) as usize;
    let mut all = Vec::new();
    let mut at = 0;
    let mut first = (period - block) / 2;
    while first + block <= length {
        all.push((at..first, false));
        all.push((first..first + block, true));
        at = first + block;
        first += period;
    }
    all.push((at..length, false));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn corpus(text: &str, share: f64, least: usize) -> Result<Corpus, Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.fa");
        fs::write(&file, text).unwrap();
        let recipe = DataRecipe { name: "a".into(), files: vec![file], repeat: 1, limit: None };
        Corpus::read(&recipe, share, least)
    }

    #[test]
    fn runs_of_bases_are_kept_and_the_rest_is_counted() {
        let corpus = corpus(">a\nACGTNNACGTACGTacgtRA\n>b\nTTTTTT\n", 0.0, 4).unwrap();
        let runs: Vec<&[u8]> = corpus.train().iter().map(|run| corpus.bases(run.clone())).collect();
        assert_eq!(runs, [&b"ACGT"[..], b"ACGTACGTACGT", b"TTTTTT"]);
        assert_eq!((corpus.dropped, corpus.sizes()), (4, [22, 0]));
    }

    #[test]
    fn a_set_without_a_run_is_refused() {
        let error = corpus(">a\nNNNN\n", 0.0, 4).unwrap_err();
        assert_eq!(error.to_string(), "a: no run of at least 4 bases to train on");
    }

    proptest! {
        #[test]
        fn blocks_cover_a_record_and_hold_out_the_share(length in 1..400_000_usize, share in 0.0..0.3_f64) {
            let all = blocks(length, share);
            let mut end = 0;
            for (block, _) in &all {
                prop_assert_eq!(block.start, end);
                end = block.end;
            }
            prop_assert_eq!(end, length);
            let held_out: usize = all.iter().filter(|(_, held_out)| *held_out).map(|(block, _)| block.len()).sum();
            // Where a record ends behind the middle of a period, its last block stands for less than a period.
            prop_assert!(held_out as f64 <= 1.5 * share * length as f64 + 1.0, "{held_out} of {length}");
            if share * length as f64 >= 200.0 {
                prop_assert!(held_out as f64 >= 0.45 * share * length as f64, "{held_out} of {length}");
            }
        }
    }
}
