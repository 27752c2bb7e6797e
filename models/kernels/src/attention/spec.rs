//! What one attention layer computes: scale, causality, positions, mask, normaliser.

use super::{Selection, T5Bias};
use crate::matmul::Precision;
use crate::rotary::Rotary;
use std::sync::Arc;

/// Scores are `softcap(scale * q.k) + bias(positions)`, masked, normalised over the visible keys.
#[derive(Clone, Debug)]
pub struct AttnSpec {
    /// Factor on the dot products, usually `1 / sqrt(dim)`.
    pub scale: f32,
    /// A key is visible only if its position is not after the query's.
    pub causal: bool,
    /// How positions enter the scores.
    pub pos: PosRule,
    /// Which keys a query sees, beside causality.
    pub mask: MaskRule,
    /// What turns scores into weights.
    pub norm: Normalizer,
    /// `c * tanh(score / c)`, applied after scaling and before the bias.
    pub softcap: Option<f32>,
    /// What the operands of products, forward and backward, may be rounded to. `Bf16` counts where it is faster: softmax
    /// without softcap, learned biases or a rotary distance cap, on a processor with AMX. Anything else is f32.
    pub precision: Precision,
}

impl AttnSpec {
    /// Softmax over all keys, no positions.
    pub fn new(scale: f32) -> Self {
        Self {
            scale,
            causal: false,
            pos: PosRule::None,
            mask: MaskRule::Full,
            norm: Normalizer::Softmax,
            softcap: None,
            precision: Precision::F32,
        }
    }
}

/// How positions enter the scores.
#[derive(Clone, Debug)]
pub enum PosRule {
    /// Not at all.
    None,
    /// Rotary embeddings (Su et al. 2021): queries and raw keys are rotated by their positions.
    Rope {
        /// Frequencies and their angles.
        rotary: Arc<Rotary>,
        /// Distances beyond this count as this (LM-Infinite, InfLLM). Needs raw keys.
        cap: Option<u32>,
    },
    /// `-slope[head] * |i - j|` added after scaling (Press et al. 2022); symmetric when not causal.
    Alibi {
        /// One slope a query head.
        slopes: Arc<[f32]>,
        /// Distances beyond this count as this.
        cap: Option<u32>,
    },
    /// A learned bias by bucket of `key position - query position` (Raffel et al. 2020).
    T5(T5Bias),
}

/// Which keys a query sees. Positions decide, not slots.
#[derive(Clone, Debug)]
pub enum MaskRule {
    /// All.
    Full,
    /// Keys at most `left` positions before and `right` after the query, and the first `sink` positions of the
    /// sequence. A window of `w` keys that includes the query's own has `left = w - 1`.
    Window {
        /// Positions before the query.
        left: u32,
        /// Positions after the query.
        right: u32,
        /// First positions, always visible.
        sink: u32,
    },
    /// Keys of the query's own segment.
    Segments {
        /// Segment of each query row.
        queries: Arc<[u32]>,
        /// Segment of each slot.
        slots: Arc<[u32]>,
    },
    /// Listed slots: a block list, or the outcome of a search.
    Slots(Arc<Selection>),
    /// What all of these let through.
    And(Vec<MaskRule>),
}

/// What turns scores into weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalizer {
    /// `exp(s) / sum exp(s)`
    Softmax,
    /// Length-scaled softplus attention (LSSA): queries and keys of unit length, rows divided by their sum. The
    /// returned `lse` is the logarithm of that sum.
    SoftplusL1,
    /// LSSA re-weighted by `relu(A N - O)^p` and divided by its sum again (LSSAR).
    SoftplusPow {
        /// The power: 3 at training length, 15 beyond it.
        p: f32,
    },
}
