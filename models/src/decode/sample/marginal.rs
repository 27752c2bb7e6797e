//! Base-marginal decoding: k-mers by the laws of their bases.

use super::super::vocabulary::Vocabulary;
use super::log_sum_exp;

/// The probability of each base at each place of a k-mer, in the order `ACGT`: the sum over all k-mers that have it there.
/// Scores are logits over the vocabulary; tokens that are not DNA do not count. `k` rows of numbers that sum to 1.
///
/// # Panics
/// If the vocabulary is not of k-mers, or of another size.
pub fn base_marginals(scores: &[f64], vocabulary: &Vocabulary) -> Vec<[f64; 4]> {
    assert_eq!(scores.len(), vocabulary.size(), "scores over the vocabulary");
    let k = vocabulary.kmer_length().expect("a vocabulary of k-mers");
    let kmers = vocabulary.iter().map(|(id, _)| scores[id as usize]);
    let sum = log_sum_exp(kmers);
    let mut marginals = vec![[0.0; 4]; k];
    if sum == f64::NEG_INFINITY {
        return marginals;
    }
    for (id, bases) in vocabulary.iter() {
        let probability = (scores[id as usize] - sum).exp();
        for (marginal, &base) in marginals.iter_mut().zip(bases) {
            marginal[base as usize] += probability;
        }
    }
    marginals
}

/// Log-probabilities of the tokens when each base is drawn on its own from its marginal as `change` leaves its logarithms. Of
/// several tokens with one text, the first stands for it.
pub(super) fn kmer_scores(scores: &[f64], vocabulary: &Vocabulary, change: impl Fn(&mut [f64])) -> Vec<f64> {
    let law = |marginal: [f64; 4]| {
        let mut logs = marginal.map(f64::ln);
        change(&mut logs);
        let sum = log_sum_exp(logs.iter().copied());
        if sum > f64::NEG_INFINITY { logs.map(|log| log - sum) } else { logs }
    };
    let laws: Vec<[f64; 4]> = base_marginals(scores, vocabulary).into_iter().map(law).collect();
    let mut seen = vec![false; 1 << (2 * laws.len())];
    let mut kmers = vec![f64::NEG_INFINITY; scores.len()];
    for (id, bases) in vocabulary.iter() {
        let number = bases.iter().fold(0, |number, &base| number << 2 | base as usize);
        if !std::mem::replace(&mut seen[number], true) {
            let sum = bases.iter().zip(&laws).map(|(&base, law)| law[base as usize]).sum();
            kmers[id as usize] = sum;
        }
    }
    kmers
}
