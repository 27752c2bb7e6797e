//! Words of a few bases: sets, sketches and counts, for baselines and for what leaks between training and test.

use super::deflate::base_code;

/// The distinct words of a sequence, ascending. Words with another letter do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub(super) Vec<u64>);

impl Words {
    /// Words of `length` bases, up to 31.
    pub fn of(sequence: &[u8], length: u32) -> Self {
        let mut words: Vec<u64> = each(sequence, length).collect();
        words.sort_unstable();
        words.dedup();
        Self(words)
    }

    /// The `size` least hashes of the words: a bottom sketch (Broder 1997).
    pub fn sketch(sequence: &[u8], length: u32, size: usize) -> Self {
        let mut hashes: Vec<u64> = each(sequence, length).map(mix).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes.truncate(size);
        Self(hashes)
    }

    /// How many two sets have in common.
    pub fn shared(&self, other: &Self) -> usize {
        let (mut a, mut b, mut shared) = (0, 0, 0);
        while let (Some(&x), Some(&y)) = (self.0.get(a), other.0.get(b)) {
            shared += usize::from(x == y);
            a += usize::from(x <= y);
            b += usize::from(y <= x);
        }
        shared
    }

    /// Shared words over all words of both; 0 without any.
    pub fn jaccard(&self, other: &Self) -> f64 {
        let shared = self.shared(other);
        let all = self.0.len() + other.0.len() - shared;
        if all == 0 { 0.0 } else { shared as f64 / all as f64 }
    }

    /// An estimate of the Jaccard index of two sketches of one size: the share of the least hashes of both that are in both.
    pub fn sketch_jaccard(&self, other: &Self, size: usize) -> f64 {
        let (mut a, mut b, mut shared, mut seen) = (0, 0, 0, 0);
        while seen < size {
            let (x, y) = (self.0.get(a), other.0.get(b));
            match (x, y) {
                (None, None) => break,
                (Some(x), Some(y)) if x == y => {
                    shared += 1;
                    a += 1;
                    b += 1;
                }
                (Some(x), y) if y.is_none_or(|y| x < y) => a += 1,
                _ => b += 1,
            }
            seen += 1;
        }
        if seen == 0 { 0.0 } else { f64::from(shared) / seen as f64 }
    }
}

/// All words in order, with repeats.
pub(super) fn each(sequence: &[u8], length: u32) -> impl Iterator<Item = u64> {
    let mask = (1_u64 << (2 * length)) - 1;
    let (mut word, mut run) = (0, 0);
    sequence.iter().filter_map(move |&letter| {
        let Some(base) = base_code(letter) else {
            run = 0;
            return None;
        };
        word = (word << 2 | u64::from(base)) & mask;
        run += 1;
        (run >= length).then_some(word)
    })
}

/// Splitmix64's finaliser.
pub(super) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Multinomial naive Bayes over counts of words (the classifier of many tutorials on these gene families).
#[derive(Clone, Debug)]
pub struct NaiveBayes {
    word: u32,
    /// By class, the logarithm of each word's share.
    logs: Vec<Vec<f32>>,
    /// By class, the logarithm of its share of the sequences.
    priors: Vec<f64>,
}

impl NaiveBayes {
    /// Longest word: 65,536 of them.
    pub const LONGEST: u32 = 8;

    /// Counts the words of training sequences, with `alpha` added to each.
    pub fn train(sequences: &[&[u8]], labels: &[usize], classes: usize, word: u32, alpha: f64) -> Self {
        let word = word.clamp(1, Self::LONGEST);
        let mut counts = vec![vec![0_u32; 1 << (2 * word)]; classes];
        let mut sizes = vec![0_usize; classes];
        for (sequence, &label) in sequences.iter().zip(labels) {
            sizes[label] += 1;
            for word in each(sequence, word) {
                counts[label][word as usize] += 1;
            }
        }
        let logs = counts
            .iter()
            .map(|counts| {
                let total: f64 = counts.iter().map(|&count| f64::from(count) + alpha).sum();
                counts.iter().map(|&count| ((f64::from(count) + alpha) / total).ln() as f32).collect()
            })
            .collect();
        let total = labels.len().max(1) as f64;
        Self { word, logs, priors: sizes.iter().map(|&size| (size as f64 / total).ln()).collect() }
    }

    /// The most probable class; the first of equals.
    pub fn classify(&self, sequence: &[u8]) -> usize {
        let score = |class: usize| {
            let words = each(sequence, self.word).map(|word| f64::from(self.logs[class][word as usize]));
            self.priors[class] + words.sum::<f64>()
        };
        let scores: Vec<f64> = (0..self.logs.len()).map(score).collect();
        (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a))).unwrap_or(0)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same bits are what is asked for")]
mod tests {
    use super::*;

    #[test]
    fn sets_have_each_word_once_and_none_with_another_letter() {
        let one = Words::of(b"ACGTACGTNACG", 3);
        assert_eq!(one.0.len(), 4, "ACG, CGT, GTA, TAC");
        assert_eq!(one.jaccard(&Words::of(b"ACGT", 3)), 0.5);
        assert_eq!(one.jaccard(&Words::of(b"NNN", 3)), 0.0);
        assert_eq!(Words::of(b"", 3).jaccard(&Words::of(b"", 3)), 0.0);
    }

    #[test]
    fn a_whole_sketch_is_the_set() {
        let (a, b) = (b"ACGTACGGTTACAGATTACA", b"ACGGTTACAGCCCTACAGG");
        let exact = Words::of(a, 4).jaccard(&Words::of(b, 4));
        let sketch = |text: &[u8]| Words::sketch(text, 4, 1000);
        assert!((sketch(a).sketch_jaccard(&sketch(b), 1000) - exact).abs() < 1e-12);
        assert_eq!(Words::sketch(a, 4, 5).0.len(), 5);
    }

    #[test]
    fn naive_bayes_knows_what_it_saw() {
        let bayes = NaiveBayes::train(&[b"ACACACAC", b"GTGTGTGT"], &[0, 1], 2, 2, 1.0);
        assert_eq!([&b"ACAC"[..], b"GTGT", b"NN"].map(|text| bayes.classify(text)), [0, 1, 0]);
    }
}
