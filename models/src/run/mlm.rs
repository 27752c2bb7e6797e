//! Masked-language-model probabilities: filling masks and pseudo-log-likelihood.

use super::loss::log_probability;
use crate::family::Model;
use kilobase_data::batch::PackedBatch;

/// A candidate for a masked position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Token id.
    pub id: u32,
    /// Its probability among all tokens, special tokens included.
    pub probability: f64,
}

/// The `top` most probable tokens at each of `positions` of one tokenised sequence, best first; ties go to the
/// lower id. `None` if the model has no masked-language-model head.
///
/// # Panics
/// If a position is not in the sequence.
pub fn fill(model: &Model, ids: &[u32], positions: &[usize], top: usize) -> Option<Vec<Vec<Candidate>>> {
    let batch = packed(ids.to_vec(), ids.len());
    let (logits, vocabulary) = model.mlm_logits(&batch, positions)?;
    let rank = |row: &[f32]| {
        let mut order: Vec<u32> = (0..row.len() as u32).collect();
        order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]).then(a.cmp(&b)));
        order.truncate(top);
        order
            .into_iter()
            .map(|id| Candidate { id, probability: log_probability(row, id as usize).exp() })
            .collect()
    };
    Some(logits.chunks_exact(vocabulary).map(rank).collect())
}

/// Pseudo-log-likelihood in nats (Salazar et al. 2020): each of `positions` is masked in turn, and the logarithms
/// of the probabilities of what stood there are summed in f64. `None` if the model has no head for it.
///
/// At most `batch_tokens` tokens go through the model at once (always at least one copy of the sequence).
///
/// # Panics
/// If a position is not in the sequence.
pub fn pseudo_log_likelihood(
    model: &Model,
    ids: &[u32],
    positions: &[usize],
    mask: u32,
    batch_tokens: usize,
) -> Option<f64> {
    let copies = (batch_tokens / ids.len().max(1)).max(1);
    let mut total = 0.0;
    for chunk in positions.chunks(copies) {
        let mut masked = ids.repeat(chunk.len());
        let rows: Vec<usize> =
            chunk.iter().enumerate().map(|(copy, &position)| copy * ids.len() + position).collect();
        for &row in &rows {
            masked[row] = mask;
        }
        let (logits, vocabulary) = model.mlm_logits(&packed(masked, ids.len()), &rows)?;
        for (row, &position) in logits.chunks_exact(vocabulary).zip(chunk) {
            total += log_probability(row, ids[position] as usize);
        }
    }
    Some(total)
}

/// Sequences of one length side by side.
fn packed(ids: Vec<u32>, length: usize) -> PackedBatch {
    let offsets = (0..=ids.len()).step_by(length.max(1)).collect();
    PackedBatch::new(ids, None, offsets).expect("borders made from the length")
}
