//! Keys rotated once for all jobs that read them, and their values beside them, both laid out head by head.

use super::QUERY_ROWS;
use crate::aligned::Aligned;
use crate::attention::{AttnSpec, Gradients, Heads, KeyForm, KvView, Normalizer, PosRule, Sequence};
use crate::rotary::{Angles, Rotary};
use rayon::prelude::*;
use std::ops::Range;

/// Numbers of the keys, and of the values, of all sequences of a call: 4 MiB each. A model so wide, or a sequence so long, that
/// it has more turns its keys as it reads them.
const NUMBERS: usize = 1 << 20;
/// Slots that are turned at a time.
const SLOTS: usize = 256;

/// Rotated keys, and values, of one sequence.
pub(super) struct Turned<'a> {
    kv: &'a dyn KvView,
    rotary: &'a Rotary,
    /// `[slots, dim]` of each head.
    keys: Vec<Aligned<f32>>,
    values: Vec<Aligned<f32>>,
}

impl<'a> Turned<'a> {
    /// Of those sequences of a call whose keys are read by several jobs.
    pub(super) fn of(sequences: &[Sequence<'a>], spec: &'a AttnSpec, heads: usize) -> Vec<Option<Self>> {
        let PosRule::Rope { rotary, cap: None } = &spec.pos else {
            return sequences.iter().map(|_| None).collect();
        };
        let mut room = NUMBERS;
        let turned = |Sequence { rows, kv }: &Sequence<'a>| {
            let slots: usize = (0..kv.heads()).map(|head| kv.positions(head).len()).sum();
            let numbers = slots * kv.key_dim().max(kv.value_dim());
            let worth_it = spec.norm == Normalizer::Softmax
                && kv.key_form() == KeyForm::Raw
                && rows.len() * (heads / kv.heads()) > QUERY_ROWS
                && numbers <= room;
            room -= if worth_it { numbers } else { 0 };
            worth_it.then(|| Self::new(*kv, rotary))
        };
        sequences.iter().map(turned).collect()
    }

    fn new(kv: &'a dyn KvView, rotary: &'a Rotary) -> Self {
        let read = |head: usize| {
            let positions = kv.positions(head);
            let (key_dim, value_dim) = (kv.key_dim(), kv.value_dim());
            let mut keys = Aligned::zeroed(positions.len() * key_dim);
            let mut values = Aligned::zeroed(positions.len() * value_dim);
            let keys_of = keys.par_chunks_mut((SLOTS * key_dim).max(1));
            let parts = keys_of.zip(values.par_chunks_mut((SLOTS * value_dim).max(1))).enumerate();
            parts.for_each_init(Angles::default, |angles, (n, (keys, values))| {
                let slots = n * SLOTS..positions.len().min((n + 1) * SLOTS);
                kv.keys(head, slots.clone(), keys);
                kv.values(head, slots.clone(), values);
                rotary.angles(positions[slots].iter().map(|&p| i64::from(p)), angles);
                rotary.turn(keys, angles);
            });
            (keys, values)
        };
        let (keys, values) = (0..kv.heads()).map(read).unzip();
        Self { kv, rotary, keys, values }
    }

    /// The sequences of a call, with these in place of what they were made from.
    pub(super) fn lend<'b>(turned: &'b [Option<Self>], sequences: &[Sequence<'b>]) -> Vec<Sequence<'b>> {
        let lent = |(sequence, turned): (&Sequence<'b>, &'b Option<Self>)| Sequence {
            rows: sequence.rows.clone(),
            kv: turned.as_ref().map_or(sequence.kv, |turned| turned as &dyn KvView),
        };
        sequences.iter().zip(turned).map(lent).collect()
    }

    /// Makes gradients of rotated keys those of the keys as stored.
    pub(super) fn turn_back(turned: &[Option<Self>], gradients: &mut Gradients) {
        for (turned, dk) in turned.iter().zip(&mut gradients.dk) {
            let Some(Self { kv, rotary, .. }) = turned else { continue };
            let heads = kv.heads();
            let parts = dk.par_chunks_mut((SLOTS * heads * kv.key_dim()).max(1)).enumerate();
            parts.for_each_init(Angles::default, |angles, (n, dk)| {
                let slots = n * SLOTS..n * SLOTS + dk.len() / (heads * kv.key_dim());
                let positions = slots.flat_map(|slot| (0..heads).map(move |head| kv.positions(head)[slot]));
                rotary.angles(positions.map(i64::from), angles);
                rotary.turn_back(dk, angles);
            });
        }
    }
}

impl KvView for Turned<'_> {
    fn heads(&self) -> usize {
        self.kv.heads()
    }

    fn key_dim(&self) -> usize {
        self.kv.key_dim()
    }

    fn value_dim(&self) -> usize {
        self.kv.value_dim()
    }

    fn positions(&self, head: usize) -> &[u32] {
        self.kv.positions(head)
    }

    fn key_form(&self) -> KeyForm {
        KeyForm::Rotated
    }

    fn keys(&self, head: usize, slots: Range<usize>, out: &mut [f32]) {
        rows(&self.keys[head], self.key_dim()).copy(0, slots, out);
    }

    fn values(&self, head: usize, slots: Range<usize>, out: &mut [f32]) {
        rows(&self.values[head], self.value_dim()).copy(0, slots, out);
    }

    fn lend_keys(&self, head: usize, slots: Range<usize>) -> Option<Heads<'_>> {
        Some(rows(&self.keys[head], self.key_dim()).slice(slots))
    }

    fn lend_values(&self, head: usize, slots: Range<usize>) -> Option<Heads<'_>> {
        Some(rows(&self.values[head], self.value_dim()).slice(slots))
    }
}

fn rows(numbers: &[f32], dim: usize) -> Heads<'_> {
    Heads::contiguous(numbers, numbers.len() / dim.max(1), 1, dim)
}
