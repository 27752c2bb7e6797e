//! Markov models of a fixed order, mixed with all shorter ones: what a neural model has to beat.

use super::corpus::Corpus;
use rayon::prelude::*;

/// What the count of a context is set against, from which the order before it is believed: the best for the data is taken.
const WEIGHTS: [f64; 5] = [1.0, 4.0, 16.0, 64.0, 256.0];

/// Counts of bases after every context of each length up to an order.
#[derive(Clone, Debug)]
pub struct Markov {
    /// `counts[n]` has four numbers a context of n bases.
    counts: Vec<Vec<[u32; 4]>>,
}

impl Markov {
    /// Counts the bases to train on, on both strands if asked to.
    ///
    /// # Panics
    /// If the order is above 12.
    pub fn count<'a>(corpora: impl IntoIterator<Item = &'a Corpus>, order: usize, both: bool) -> Self {
        assert!(order <= 12, "an order of {order}: counts of 12 take a gigabyte");
        let mut longest = vec![[0_u32; 4]; 1 << (2 * order)];
        let mask = longest.len() - 1;
        let mut read = |bases: &mut dyn Iterator<Item = usize>| {
            let (mut context, mut known) = (0, 0);
            for base in bases {
                if known >= order {
                    longest[context][base] += 1;
                }
                context = (context << 2 | base) & mask;
                known += 1;
            }
        };
        for corpus in corpora {
            for run in corpus.train() {
                let bases = corpus.bases(run.clone());
                read(&mut bases.iter().map(|&base| code(base)));
                if both {
                    read(&mut bases.iter().rev().map(|&base| 3 - code(base)));
                }
            }
        }
        let mut counts = vec![longest];
        for shorter in (0..order).rev() {
            let longer = &counts[counts.len() - 1];
            let size = 1 << (2 * shorter);
            // The first base of a context is its most significant digit.
            let sum = |context: usize| {
                let mut sum = [0_u32; 4];
                for first in 0..4 {
                    let more = longer[first * size + context];
                    sum.iter_mut().zip(more).for_each(|(sum, n)| *sum = sum.saturating_add(n));
                }
                sum
            };
            counts.push((0..size).map(sum).collect());
        }
        counts.reverse();
        Self { counts }
    }

    /// Bits per base of windows, each read on its own, at the best of several weights of shorter orders; `None` without bases.
    /// The first base of a window has no context, the second one of one base, and so on, as for a model.
    pub fn bits_per_base(&self, windows: &[&[u8]]) -> Option<f64> {
        let bases: usize = windows.iter().map(|window| window.len()).sum();
        let bits =
            |weight: &f64| windows.par_iter().map(|window| self.bits(window, *weight)).collect::<Vec<_>>();
        let best =
            WEIGHTS.iter().map(|weight| bits(weight).iter().sum::<f64>()).fold(f64::INFINITY, f64::min);
        (bases > 0).then(|| best / bases as f64)
    }

    fn bits(&self, window: &[u8], weight: f64) -> f64 {
        let order = self.counts.len() - 1;
        let (mut context, mut bits) = (0_usize, 0.0);
        for (place, &base) in window.iter().enumerate() {
            let base = code(base);
            let mut p = 0.25;
            for n in 0..=order.min(place) {
                let counts = self.counts[n][context & ((1 << (2 * n)) - 1)];
                let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
                p = (f64::from(counts[base]) + weight * p) / (total as f64 + weight);
            }
            bits -= p.log2();
            context = context << 2 | base;
        }
        bits
    }
}

/// In an order in which the complement of a base is 3 less it. Corpora hold these four letters only.
fn code(base: u8) -> usize {
    match base {
        b'A' => 0,
        b'C' => 1,
        b'G' => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::recipe::DataRecipe;
    use std::fs;

    fn corpus(sequence: &str) -> Corpus {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.fa");
        fs::write(&file, format!(">a\n{sequence}\n")).unwrap();
        Corpus::read(&DataRecipe { name: "a".into(), files: vec![file], repeat: 1, limit: None }, 0.0, 1)
            .unwrap()
    }

    #[test]
    fn lower_orders_are_sums_of_higher_ones() {
        let markov = Markov::count([&corpus("ACGTTTGACCA")], 2, false);
        // Contexts of two bases: nine places.
        let total = |n: usize| markov.counts[n].iter().flatten().sum::<u32>();
        assert_eq!([total(0), total(1), total(2)], [9, 9, 9]);
        // T after T, at places that have two bases before them: GTT, TTT.
        assert_eq!(markov.counts[1][3], [0, 0, 1, 2]);
        assert_eq!(markov.counts[2][0b1111], [0, 0, 1, 1]);
    }

    #[test]
    fn repeats_cost_little_and_noise_two_bits() {
        let repeat = corpus(&"ACGGT".repeat(400));
        let bits = Markov::count([&repeat], 4, false).bits_per_base(&[&b"ACGGT".repeat(40)]).unwrap();
        assert!(bits < 0.1, "{bits}");
        let bits = Markov::count([&repeat], 4, false).bits_per_base(&[&b"ACCGT".repeat(40)]).unwrap();
        assert!(bits > 1.0, "{bits}");
        // The other strand of ACGGT is ACCGT. After GTAC, which both have, it may be either: a bit for five bases.
        let bits = Markov::count([&repeat], 4, true).bits_per_base(&[&b"ACCGT".repeat(40)]).unwrap();
        assert!((0.2..0.3).contains(&bits), "{bits}");
        assert!(Markov::count([&repeat], 0, false).bits_per_base(&[]).is_none());
    }
}
