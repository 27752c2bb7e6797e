//! One score: product, position, softcap, bias; and whether it counts at all.

use crate::attention::{
    AttnSpec, Heads, KeyForm, KvView, MaskRule, Normalizer, PosRule, Selection, Sequence,
};
use crate::rotary::{RopeStyle, Rotary};

/// One query head of one sequence, and the keys and values that it reads.
pub(super) struct Head<'a> {
    pub(super) spec: &'a AttnSpec,
    pub(super) head: usize,
    pub(super) kv_head: usize,
    pub(super) scale: f64,
    selection: Option<&'a Selection>,
    kv: &'a dyn KvView,
    query_positions: &'a [u32],
    queries: Vec<Vec<f64>>,
    keys: Vec<Vec<f64>>,
    values: Vec<Vec<f64>>,
}

impl<'a> Head<'a> {
    pub(super) fn new(
        q: Heads<'a>,
        positions: &'a [u32],
        sequence: &Sequence<'a>,
        spec: &'a AttnSpec,
        selection: Option<&'a Selection>,
        head: usize,
    ) -> Self {
        let Sequence { rows, kv } = sequence;
        let kv_head = head / (q.heads / kv.heads());
        let slots = kv.positions(kv_head).len();
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let read = |dim: usize, fill: &dyn Fn(&mut [f32])| {
            let mut buffer = vec![0.0; slots * dim];
            fill(&mut buffer);
            (0..slots).map(|slot| wide(&buffer[slot * dim..][..dim])).collect()
        };
        Self {
            spec,
            head,
            kv_head,
            scale: f64::from(spec.scale),
            selection,
            kv: *kv,
            query_positions: &positions[rows.clone()],
            queries: rows.clone().map(|row| wide(q.row(row, head))).collect(),
            keys: read(kv.key_dim(), &|out| kv.keys(kv_head, 0..slots, out)),
            values: read(kv.value_dim(), &|out| kv.values(kv_head, 0..slots, out)),
        }
    }

    pub(super) fn slots(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn value(&self, slot: usize) -> &[f64] {
        &self.values[slot]
    }

    fn places(&self, row: usize, slot: usize) -> (i64, i64) {
        (i64::from(self.query_positions[row]), i64::from(self.kv.positions(self.kv_head)[slot]))
    }

    pub(super) fn visible(&self, row: usize, slot: usize) -> bool {
        let (i, j) = self.places(row, slot);
        (!self.spec.causal || j <= i)
            && self.selection.is_none_or(|s| lists(s, self.kv_head, row, slot))
            && self.passes(&self.spec.mask, row, slot)
    }

    fn passes(&self, mask: &MaskRule, row: usize, slot: usize) -> bool {
        let (i, j) = self.places(row, slot);
        match mask {
            MaskRule::Full => true,
            MaskRule::Window { left, right, sink } => {
                (i - j <= i64::from(*left) && j - i <= i64::from(*right)) || j < i64::from(*sink)
            }
            MaskRule::Segments { queries, slots } => queries[row] == slots[slot],
            MaskRule::Slots(selection) => lists(selection, self.kv_head, row, slot),
            MaskRule::And(rules) => rules.iter().all(|rule| self.passes(rule, row, slot)),
        }
    }

    /// The vectors `(a, b)` with `product = a . key = query . b`: the query as the key meets it, and the key as the
    /// query meets it.
    pub(super) fn meeting(&self, row: usize, slot: usize) -> (Vec<f64>, Vec<f64>) {
        let (query, key) = (&self.queries[row], &self.keys[slot]);
        let PosRule::Rope { rotary, cap } = &self.spec.pos else { return (query.clone(), key.clone()) };
        let (i, j) = self.places(row, slot);
        let (angle, factor) = match self.kv.key_form() {
            KeyForm::Rotated => (i, rotary.factor()),
            KeyForm::Raw => {
                let cap = cap.map_or(i64::MAX, i64::from);
                ((i - j).clamp(-cap, cap), rotary.factor().powi(2))
            }
        };
        (rotated(rotary, query, angle, factor), rotated(rotary, key, -angle, factor))
    }

    /// `scale * q.k` after rotation, or what the softplus normalisers take in its place.
    pub(super) fn product(&self, row: usize, slot: usize, seen: usize) -> f64 {
        let (query, _) = self.meeting(row, slot);
        let key = &self.keys[slot];
        match self.spec.norm {
            Normalizer::Softmax => self.scale * dot(&query, key),
            Normalizer::SoftplusL1 | Normalizer::SoftplusPow { .. } => {
                let lengths = (dot(&query, &query) * dot(key, key)).sqrt();
                let cosine = if lengths > 0.0 { dot(&query, key) / lengths } else { 0.0 };
                (key.len() as f64).ln() * (seen as f64).ln() * cosine
            }
        }
    }

    /// The score of a visible key among `seen` visible ones.
    pub(super) fn score(&self, row: usize, slot: usize, seen: usize) -> f64 {
        let product = self.product(row, slot, seen);
        let capped = self.spec.softcap.map_or(product, |c| f64::from(c) * (product / f64::from(c)).tanh());
        capped + self.bias(row, slot)
    }

    fn bias(&self, row: usize, slot: usize) -> f64 {
        let (i, j) = self.places(row, slot);
        match &self.spec.pos {
            PosRule::None | PosRule::Rope { .. } => 0.0,
            PosRule::Alibi { slopes, cap } => {
                let distance = (i - j).abs().min(cap.map_or(i64::MAX, i64::from));
                -f64::from(slopes[self.head]) * distance as f64
            }
            PosRule::T5(bias) => f64::from(bias.table[self.head * bias.buckets + bias.bucket(j - i)]),
        }
    }

    /// Bucket of the T5 table that a score reads, if there is one.
    pub(super) fn bucket(&self, row: usize, slot: usize) -> Option<usize> {
        let PosRule::T5(bias) = &self.spec.pos else { return None };
        let (i, j) = self.places(row, slot);
        Some(self.head * bias.buckets + bias.bucket(j - i))
    }
}

fn lists(selection: &Selection, kv_head: usize, row: usize, slot: usize) -> bool {
    selection.ranges(kv_head, row).iter().any(|range| range.contains(&slot))
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn rotated(rotary: &Rotary, x: &[f64], position: i64, factor: f64) -> Vec<f64> {
    let mut out = x.to_vec();
    let half = x.len() / 2;
    for (c, frequency) in rotary.frequencies().iter().enumerate() {
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        let (a, b) = match rotary.style() {
            RopeStyle::Half => (c, c + half),
            RopeStyle::Interleaved => (2 * c, 2 * c + 1),
        };
        out[a] = factor * (x[a] * cos - x[b] * sin);
        out[b] = factor * (x[a] * sin + x[b] * cos);
    }
    out
}
