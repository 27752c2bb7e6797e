//! What positions add to scores: ALiBi and the T5 table.

use crate::attention::{PosRule, T5Bias};

/// A position rule in the form the inner loop wants.
pub(super) enum Bias<'a> {
    None,
    Alibi { slopes: &'a [f32], cap: u32 },
    T5(Lookup),
}

/// The T5 bias by relative position: beyond `reach` it does not change.
pub(super) struct Lookup {
    reach: i64,
    buckets: usize,
    /// `[2 * reach + 1]`
    bucket: Vec<u32>,
    /// `[heads, 2 * reach + 1]`
    values: Vec<f32>,
}

impl Lookup {
    fn new(bias: &T5Bias) -> Self {
        let reach = i64::from(bias.max_distance);
        let bucket: Vec<u32> = (-reach..=reach).map(|relative| bias.bucket(relative) as u32).collect();
        let heads = bias.table.chunks_exact(bias.buckets);
        let values = heads.flat_map(|head| bucket.iter().map(|&b| head[b as usize])).collect();
        Self { reach, buckets: bias.buckets, bucket, values }
    }

    #[inline(always)]
    fn at(&self, query: u32, key: u32) -> usize {
        ((i64::from(key) - i64::from(query)).clamp(-self.reach, self.reach) + self.reach) as usize
    }
}

impl<'a> Bias<'a> {
    pub(super) fn new(rule: &'a PosRule) -> Self {
        match rule {
            PosRule::None | PosRule::Rope { .. } => Self::None,
            PosRule::Alibi { slopes, cap } => Self::Alibi { slopes, cap: cap.unwrap_or(u32::MAX) },
            PosRule::T5(bias) => Self::T5(Lookup::new(bias)),
        }
    }

    /// Whether it adds nothing to any score.
    pub(super) fn none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Adds the bias to the scores of one query of one head.
    #[inline(always)]
    pub(super) fn add(&self, head: usize, query: u32, keys: &[u32], scores: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Alibi { slopes, cap } => alibi(slopes[head], *cap, query, keys, scores),
            Self::T5(lookup) => {
                let values = &lookup.values[head * lookup.bucket.len()..][..lookup.bucket.len()];
                for (score, &key) in scores.iter_mut().zip(keys) {
                    *score += values[lookup.at(query, key)];
                }
            }
        }
    }

    /// Number of learned biases of a head.
    pub(super) fn buckets(&self) -> usize {
        if let Self::T5(lookup) = self { lookup.buckets } else { 0 }
    }

    /// Adds the gradients of one query's scores to those of the learned biases of its head.
    pub(super) fn add_gradient(&self, query: u32, keys: &[u32], d_scores: &[f32], d_table: &mut [f64]) {
        if let Self::T5(lookup) = self {
            for (&d_score, &key) in d_scores.iter().zip(keys) {
                d_table[lookup.bucket[lookup.at(query, key)] as usize] += f64::from(d_score);
            }
        }
    }
}

#[inline(always)]
fn alibi(slope: f32, cap: u32, query: u32, keys: &[u32], scores: &mut [f32]) {
    for (score, &key) in scores.iter_mut().zip(keys) {
        // Distances below 2^24 are exact in f32, and an i32 turns into a float in one instruction.
        *score -= slope * (query.abs_diff(key).min(cap) as i32) as f32;
    }
}
