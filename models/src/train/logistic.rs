//! Logistic regression: over counts of k-mers, what a fine-tuned model has to beat; over embeddings, what these are worth.

use super::metrics::{Classification, measure};
use super::order::stream;
use kilobase_kernels::adamw::Update;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// Sequences of a step.
const BATCH: usize = 256;
/// Passes over the data at most.
const EPOCHS: u64 = 40;
/// Passes without a better loss on the development set after which the best is taken.
const PATIENCE: u64 = 4;

/// A softmax regression.
#[derive(Clone, Debug)]
pub struct Logistic {
    classes: usize,
    /// `[features + 1, classes]`; the last row is the bias.
    weights: Vec<f32>,
}

/// Numbers of a sequence that are not 0, by their places.
pub type Features = Vec<(u32, f32)>;

impl Logistic {
    /// Trains on labelled rows of at most so many features; how long is decided by the loss on others.
    ///
    /// # Panics
    /// If a label is no class, or a place no feature.
    pub fn train(
        features: usize,
        classes: usize,
        train: (&[Features], &[usize]),
        dev: (&[Features], &[usize]),
        seed: u64,
    ) -> Self {
        assert!(train.1.iter().chain(dev.1).all(|&label| label < classes), "labels are classes");
        let size = (features + 1) * classes;
        let mut model = Self { classes, weights: vec![0.0; size] };
        let (mut first, mut second) = (vec![0.0; size], vec![0.0; size]);
        let (mut best, mut waited, mut step) = (model.clone(), 0, 0);
        let mut lowest = f64::INFINITY;
        for epoch in 0..EPOCHS {
            let mut order: Vec<usize> = (0..train.0.len()).collect();
            order.shuffle(&mut stream(seed, 3, epoch));
            for batch in order.chunks(BATCH) {
                let mut gradient = vec![0.0_f32; size];
                for &row in batch {
                    let mut law = model.law(&train.0[row]);
                    law[train.1[row]] -= 1.0;
                    for (feature, x) in model.with_bias(&train.0[row]) {
                        let at = feature as usize * classes;
                        for (sum, d) in gradient[at..at + classes].iter_mut().zip(&law) {
                            *sum += *d as f32 * x / batch.len() as f32;
                        }
                    }
                }
                step += 1;
                let correct = [0.9_f64, 0.999].map(|beta| 1.0 - beta.powi(step));
                let update = Update {
                    betas: [0.9, 0.999],
                    rest: [0.1, 0.001],
                    keep: 1.0 - 1e-2 * 1e-2,
                    size: (1e-2 / correct[0]) as f32,
                    root: (1.0 / correct[1].sqrt()) as f32,
                    epsilon: 1e-8,
                    scale: 1.0,
                };
                update.apply(&mut model.weights, &gradient, &mut first, &mut second);
            }
            let loss = model.measure(dev.0, dev.1).loss;
            if loss < lowest {
                (best, lowest, waited) = (model.clone(), loss, 0);
            } else {
                waited += 1;
                if waited >= PATIENCE {
                    break;
                }
            }
        }
        best
    }

    /// Measures on labelled rows.
    ///
    /// # Panics
    /// As [`measure`].
    pub fn measure(&self, features: &[Features], labels: &[usize]) -> Classification {
        let laws: Vec<f64> = features.iter().flat_map(|features| self.law(features)).collect();
        measure(&laws, labels, self.classes)
    }

    /// The features and the one that is always 1.
    fn with_bias(&self, features: &[(u32, f32)]) -> Features {
        let mut all = features.to_vec();
        all.push(((self.weights.len() / self.classes - 1) as u32, 1.0));
        all
    }

    fn law(&self, features: &[(u32, f32)]) -> Vec<f64> {
        let mut logits = vec![0.0_f64; self.classes];
        for (feature, x) in self.with_bias(features) {
            let at = feature as usize * self.classes;
            for (logit, weight) in logits.iter_mut().zip(&self.weights[at..]) {
                *logit += f64::from(x * weight);
            }
        }
        let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logits.iter().map(|x| (x - max).exp()).sum();
        logits.iter().map(|x| (x - max).exp() / sum).collect()
    }
}

/// Counts of the k-mers of lengths 1 to `longest`, those of each length scaled to a unit vector.
///
/// # Panics
/// If `longest` is not between 1 and 8.
pub fn kmers(text: &[u8], longest: usize) -> Features {
    assert!((1..=8).contains(&longest), "k-mers of {longest} bases");
    let mut all = Features::new();
    for k in 1..=longest {
        let mut counts: BTreeMap<u32, f32> = BTreeMap::new();
        for window in text.windows(k) {
            let digit = |letter: &u8| b"ACGT".iter().position(|base| base == &letter.to_ascii_uppercase());
            if let Some(code) =
                window.iter().try_fold(0, |code, letter| Some(4 * code + digit(letter)? as u32))
            {
                *counts.entry(code).or_default() += 1.0;
            }
        }
        let norm = counts.values().map(|n| n * n).sum::<f32>().sqrt();
        all.extend(counts.into_iter().map(|(code, n)| (offset(k) as u32 + code, n / norm)));
    }
    all
}

/// How many k-mers of lengths 1 to `longest` there are.
pub fn kmer_count(longest: usize) -> usize {
    offset(longest + 1)
}

/// The first feature of k-mers of this length.
fn offset(k: usize) -> usize {
    (1..k).map(|k| 1 << (2 * k)).sum()
}

/// Rows of numbers, centred and scaled by the mean and the spread of the first `reference` of them.
///
/// # Panics
/// If the numbers are not whole rows, or there are fewer.
pub fn standardised(numbers: &[f32], width: usize, reference: usize) -> Vec<Features> {
    assert!(numbers.len().is_multiple_of(width) && reference * width <= numbers.len(), "rows of {width}");
    let count = reference.max(1) as f64;
    let mut moments = vec![(0.0, 0.0); width];
    for row in numbers.chunks_exact(width).take(reference) {
        for ((sum, square), &x) in moments.iter_mut().zip(row) {
            *sum += f64::from(x);
            *square += f64::from(x) * f64::from(x);
        }
    }
    let scales: Vec<(f64, f64)> = moments
        .into_iter()
        .map(|(sum, square)| (sum / count, (square / count - (sum / count).powi(2)).max(1e-12).sqrt()))
        .collect();
    let row = |row: &[f32]| {
        let number = |(i, (&x, (mean, spread))): (usize, (&f32, &(f64, f64)))| {
            (i as u32, ((f64::from(x) - mean) / spread) as f32)
        };
        row.iter().zip(&scales).enumerate().map(number).collect()
    };
    numbers.chunks_exact(width).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn composition_is_learnt_and_noise_is_not() {
        let mut rng = stream(1, 9, 0);
        let mut draw = |gc: f64| -> Vec<u8> {
            let mut letter = || match (rng.random_bool(gc), rng.random_bool(0.5)) {
                (true, true) => b'G',
                (true, false) => b'C',
                (false, true) => b'A',
                (false, false) => b'T',
            };
            (0..80).map(|_| letter()).collect()
        };
        let labels: Vec<usize> = (0..400).map(|n| n % 2).collect();
        for (difference, low, high) in [(0.1, 0.8, 1.0), (0.0, -0.25, 0.25)] {
            let texts: Vec<Vec<u8>> =
                labels.iter().map(|&label| draw(0.5 + difference * (2.0 * label as f64 - 1.0))).collect();
            let texts: Vec<Features> = texts.iter().map(|text| kmers(text, 3)).collect();
            let part = |range: std::ops::Range<usize>| (&texts[range.clone()], &labels[range]);
            let model = Logistic::train(kmer_count(3), 2, part(0..200), part(200..300), 1);
            let mcc = model.measure(&texts[300..], &labels[300..]).mcc;
            assert!((low..=high).contains(&mcc), "{difference}: {mcc}");
        }
    }

    #[test]
    fn letters_that_are_no_base_are_in_no_kmer() {
        assert_eq!(kmers(b"aNC", 2), [(0, 0.5_f32.sqrt()), (1, 0.5_f32.sqrt())]);
    }

    #[test]
    fn rows_are_scaled_by_the_first_of_them() {
        let rows = standardised(&[1.0, 5.0, 3.0, 5.0, 4.0, 6.0], 2, 2);
        assert_eq!(rows[0], [(0, -1.0), (1, 0.0)]);
        assert_eq!(rows[1], [(0, 1.0), (1, 0.0)]);
        assert_eq!(rows[2][0], (0, 2.0));
    }
}
