//! Random calls: packed sequences of any lengths over slots in any order, other slots in each head.

use crate::attention::{
    AttnSpec, Heads, KeyForm, KvView, MaskRule, Normalizer, PosRule, Selection, Sequence, T5Bias,
};
use crate::matmul::Precision;
use crate::rotary::{RopeStyle, Rotary};
use proptest::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// A small generator of its own, so that a failing case is named by its seed.
#[derive(Clone)]
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % n.max(1)
    }

    /// Numbers from -2 to 2.
    pub(super) fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.below(1 << 20) as f32 / (1 << 18) as f32 - 2.0).collect()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Keys and values of one head.
#[derive(Clone)]
pub(super) struct Slots {
    pub(super) positions: Vec<u32>,
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

/// A view whose heads hold different slots.
#[derive(Clone)]
pub(super) struct ByHead {
    pub(super) heads: Vec<Slots>,
    pub(super) key_dim: usize,
    pub(super) value_dim: usize,
    pub(super) form: KeyForm,
}

impl KvView for ByHead {
    fn heads(&self) -> usize {
        self.heads.len()
    }

    fn key_dim(&self) -> usize {
        self.key_dim
    }

    fn value_dim(&self) -> usize {
        self.value_dim
    }

    fn positions(&self, head: usize) -> &[u32] {
        &self.heads[head].positions
    }

    fn key_form(&self) -> KeyForm {
        self.form
    }

    fn keys(&self, head: usize, slots: Range<usize>, out: &mut [f32]) {
        let dim = self.key_dim;
        out.copy_from_slice(&self.heads[head].keys[slots.start * dim..slots.end * dim]);
    }

    fn values(&self, head: usize, slots: Range<usize>, out: &mut [f32]) {
        let dim = self.value_dim;
        out.copy_from_slice(&self.heads[head].values[slots.start * dim..slots.end * dim]);
    }
}

/// What a call is made of.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Query rows and slots of each sequence.
    pub(super) lengths: Vec<(usize, usize)>,
    pub(super) kv_heads: usize,
    pub(super) group: usize,
    pub(super) half_dim: usize,
    pub(super) value_dim: usize,
    pub(super) seed: u64,
    pub(super) causal: bool,
    pub(super) pos: usize,
    pub(super) mask: usize,
    pub(super) selected: bool,
    pub(super) softcap: bool,
    pub(super) norm: usize,
    /// The same number of slots in each head, as the backward pass wants.
    pub(super) even: bool,
}

pub(super) const POSITION_RULES: usize = 9;
pub(super) const MASK_RULES: usize = 6;

pub(super) fn shapes(longest: usize) -> impl Strategy<Value = Shape> {
    let lengths = prop::collection::vec((0..longest, 0..longest), 1..4);
    let sizes = (1usize..4, 1usize..5, 1usize..10, 1usize..20, any::<u64>());
    let rules = (any::<bool>(), 0..POSITION_RULES, 0..MASK_RULES, any::<bool>(), any::<bool>());
    (lengths, sizes, rules).prop_map(|(lengths, sizes, (causal, pos, mask, selected, softcap))| {
        let (kv_heads, group, half_dim, value_dim, seed) = sizes;
        let (norm, even) = (0, false);
        let shape = Shape {
            lengths,
            kv_heads,
            group,
            half_dim,
            value_dim,
            seed,
            causal,
            pos,
            mask,
            selected,
            softcap,
            norm,
            even,
        };
        shape.fitting()
    })
}

impl Shape {
    /// Lists and segments belong to one sequence.
    pub(super) fn fitting(mut self) -> Self {
        if self.mask >= 3 || self.selected {
            self.lengths.truncate(1);
        }
        self
    }
}

/// A call with its data.
pub(super) struct Case {
    pub(super) q: Vec<f32>,
    pub(super) rows: usize,
    pub(super) heads: usize,
    pub(super) dim: usize,
    pub(super) positions: Vec<u32>,
    pub(super) spans: Vec<Range<usize>>,
    pub(super) views: Vec<ByHead>,
    pub(super) spec: AttnSpec,
    pub(super) selection: Option<Selection>,
}

impl Case {
    pub(super) fn new(shape: &Shape) -> Self {
        let mut noise = Noise::new(shape.seed);
        let (dim, heads) = (2 * shape.half_dim, shape.kv_heads * shape.group);
        let rows = shape.lengths.iter().map(|l| l.0).sum();
        let pos = position_rule(shape, heads, dim, &mut noise);
        let raw = !matches!(pos, PosRule::Rope { cap: None, .. }) || noise.below(2) == 0;
        let (mut positions, mut spans, mut views) = (Vec::new(), Vec::new(), Vec::new());
        for &(queries, slots) in &shape.lengths {
            let start = positions.len();
            // Queries stand among and after the keys, in any order; keys have holes between them.
            positions.extend((0..queries).map(|_| noise.below(2 * slots + 4) as u32));
            spans.push(start..start + queries);
            let head = |noise: &mut Noise| {
                let count = if shape.even { slots } else { slots - noise.below(slots / 3 + 1) };
                let mut positions: Vec<u32> =
                    (0..count).map(|p| 2 * p as u32 + noise.below(2) as u32).collect();
                if noise.below(3) > 0 {
                    noise.shuffle(&mut positions);
                }
                let (keys, values) = (noise.floats(count * dim), noise.floats(count * shape.value_dim));
                Slots { positions, keys, values }
            };
            views.push(ByHead {
                heads: (0..shape.kv_heads).map(|_| head(&mut noise)).collect(),
                key_dim: dim,
                value_dim: shape.value_dim,
                form: if raw { KeyForm::Raw } else { KeyForm::Rotated },
            });
        }
        if shape.mask >= 3 {
            // Segments are by slot for all heads: they need as many slots in each.
            let fewest = views[0].heads.iter().map(|h| h.positions.len()).min().expect("heads");
            for head in &mut views[0].heads {
                head.positions.truncate(fewest);
                head.keys.truncate(fewest * dim);
                head.values.truncate(fewest * shape.value_dim);
            }
        }
        let mask = mask_rule(shape, &views[0], &mut noise);
        let selection = shape.selected.then(|| selection(shape, &views[0], &mut noise));
        let norm =
            [Normalizer::Softmax, Normalizer::SoftplusL1, Normalizer::SoftplusPow { p: 3.0 }][shape.norm];
        let spec = AttnSpec {
            scale: 0.7 / (dim as f32).sqrt(),
            causal: shape.causal,
            pos,
            mask,
            norm,
            softcap: shape.softcap.then_some(1.5),
            precision: Precision::F32,
        };
        Self {
            q: noise.floats(rows * heads * dim),
            rows,
            heads,
            dim,
            positions,
            spans,
            views,
            spec,
            selection,
        }
    }

    pub(super) fn queries(&self) -> Heads<'_> {
        Heads::contiguous(&self.q, self.rows, self.heads, self.dim)
    }

    pub(super) fn sequences(&self) -> Vec<Sequence<'_>> {
        let spans = self.spans.iter().cloned().zip(&self.views);
        spans.map(|(rows, view)| Sequence { rows, kv: view }).collect()
    }

    pub(super) fn value_dim(&self) -> usize {
        self.views[0].value_dim
    }

    /// `out` and `lse` of the tiled kernel; rows are NaN before it writes them.
    pub(super) fn forward(&self) -> (Vec<f32>, Vec<f32>) {
        let mut out = vec![f32::NAN; self.rows * self.heads * self.value_dim()];
        let mut lse = vec![f32::NAN; self.rows * self.heads];
        let (sequences, selection) = (self.sequences(), self.selection.as_ref());
        let q = self.queries();
        crate::attention::forward(q, &self.positions, &sequences, &self.spec, selection, &mut out, &mut lse);
        (out, lse)
    }

    pub(super) fn dense(&self) -> (Vec<f64>, Vec<f64>) {
        let (sequences, selection) = (self.sequences(), self.selection.as_ref());
        crate::attention::dense::forward(self.queries(), &self.positions, &sequences, &self.spec, selection)
    }
}

fn position_rule(shape: &Shape, heads: usize, dim: usize, noise: &mut Noise) -> PosRule {
    let rotary = |style| Arc::new(Rotary::plain(100.0, dim, style).with_factor(1.1));
    let t5 = |bidirectional, noise: &mut Noise| {
        let (buckets, max_distance) = (8, 20);
        PosRule::T5(T5Bias {
            table: noise.floats(heads * buckets).into(),
            buckets,
            max_distance,
            bidirectional,
        })
    };
    let slopes = (0..heads).map(|h| 0.5_f32.powi(h as i32 + 2)).collect();
    match shape.pos {
        0 => PosRule::None,
        1 => PosRule::Rope { rotary: rotary(RopeStyle::Half), cap: None },
        2 => PosRule::Rope { rotary: rotary(RopeStyle::Interleaved), cap: None },
        3 => PosRule::Rope { rotary: rotary(RopeStyle::Half), cap: Some(noise.below(40) as u32) },
        4 => PosRule::Rope { rotary: rotary(RopeStyle::Interleaved), cap: Some(noise.below(400) as u32) },
        5 => PosRule::Alibi { slopes, cap: None },
        6 => PosRule::Alibi { slopes, cap: Some(noise.below(60) as u32) },
        7 => t5(true, noise),
        _ => t5(false, noise),
    }
}

fn mask_rule(shape: &Shape, view: &ByHead, noise: &mut Noise) -> MaskRule {
    let window = |noise: &mut Noise| MaskRule::Window {
        left: noise.below(300) as u32,
        right: noise.below(50) as u32,
        sink: [noise.below(9), noise.below(400)][noise.below(2)] as u32,
    };
    let segments = |noise: &mut Noise| {
        // Runs of one segment, so that whole tiles are inside and outside.
        let mut runs =
            |n: usize| (0..n).map(|i| (i / 90 + noise.below(8) / 7) as u32).collect::<Arc<[u32]>>();
        MaskRule::Segments { queries: runs(shape.lengths[0].0), slots: runs(view.heads[0].positions.len()) }
    };
    match shape.mask {
        0 => MaskRule::Full,
        1 => window(noise),
        2 => MaskRule::And(vec![window(noise), MaskRule::And(vec![window(noise), MaskRule::Full])]),
        3 => segments(noise),
        4 => MaskRule::Slots(Arc::new(selection(shape, view, noise))),
        _ => MaskRule::And(vec![
            window(noise),
            segments(noise),
            MaskRule::Slots(Arc::new(selection(shape, view, noise))),
        ]),
    }
}

/// Some ranges of slots for each head and block of queries, among them empty and touching ones.
fn selection(shape: &Shape, view: &ByHead, noise: &mut Noise) -> Selection {
    let query_block = [1, 7, 64, 1000][noise.below(4)];
    let list = |slots: usize, noise: &mut Noise| {
        let (mut at, mut list) = (0, Vec::new());
        while at < slots {
            let start = slots.min(at + noise.below(40));
            at = slots.min(start + noise.below(60));
            list.push(start..at);
            at += usize::from(start == at);
        }
        list
    };
    let blocks = shape.lengths[0].0.div_ceil(query_block);
    let head = |head: &Slots| (0..blocks).map(|_| list(head.positions.len(), noise)).collect();
    Selection { query_block, slots: view.heads.iter().map(head).collect() }
}
