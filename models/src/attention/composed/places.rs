//! What positions say about each pair of a query and a key: distances, biases, and who is hidden from whom.

use crate::attention::{AttnSpec, MaskRule, Selection, T5Bias};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use std::ops::Range;

/// Positions of a tile of queries and of all keys of a sequence.
pub(super) struct Places {
    /// `[1, 1, keys]`
    keys: Tensor<3, Int>,
    /// `key - query`, `[1, queries, keys]`
    relative: Tensor<3, Int>,
    device: Device,
}

impl Places {
    pub(super) fn new(queries: &[u32], keys: &[u32], device: &Device) -> Self {
        let (queries, keys) = (column(queries, device), row(keys, device));
        Self { relative: keys.clone() - queries, keys, device: device.clone() }
    }

    /// Keys farther back than `cap`, and farther ahead.
    pub(super) fn beyond(&self, cap: u32) -> (Tensor<3, Bool>, Tensor<3, Bool>) {
        let cap = i64::from(cap);
        (self.relative.clone().lower_scalar(-cap), self.relative.clone().greater_scalar(cap))
    }

    /// `slope * min(distance, cap)`, `[heads, queries, keys]`.
    pub(super) fn alibi(&self, slopes: &[f32], cap: Option<u32>) -> Tensor<3> {
        let mut distance = self.relative.clone().abs();
        if let Some(cap) = cap {
            distance = distance.clamp_max(i64::from(cap));
        }
        Tensor::<1>::from_floats(slopes, &self.device).reshape([slopes.len(), 1, 1]) * distance.float()
    }

    /// Learned biases, `[heads, queries, keys]`, from the table given or the rule's own.
    pub(super) fn t5(&self, bias: &T5Bias, table: Option<&Tensor<2>>) -> Tensor<3> {
        let heads = bias.table.len() / bias.buckets;
        let table = table.cloned().unwrap_or_else(|| {
            let values = TensorData::new(bias.table.to_vec(), [heads, bias.buckets]);
            Tensor::from_data(values, &self.device)
        });
        let reach = i64::from(bias.max_distance);
        let buckets: Vec<i32> = (-reach..=reach).map(|relative| bias.bucket(relative) as i32).collect();
        let buckets = Tensor::<1, Int>::from_ints(&buckets[..], &self.device);
        let [_, queries, keys] = self.relative.dims();
        let at = self.relative.clone().clamp(-reach, reach).add_scalar(reach).reshape([queries * keys]);
        table.select(1, buckets.select(0, at)).reshape([heads, queries, keys])
    }

    /// What the causal rule and the mask hide, `[1 or heads, queries, keys]`; `rows` are the queries' rows within the
    /// sequence.
    pub(super) fn hidden(
        &self,
        spec: &AttnSpec,
        rows: Range<usize>,
        heads: usize,
        group: usize,
    ) -> Option<Tensor<3, Bool>> {
        let causal = spec.causal.then(|| self.relative.clone().greater_scalar(0));
        either(causal, self.masked(&spec.mask, rows, heads, group))
    }

    fn masked(
        &self,
        mask: &MaskRule,
        rows: Range<usize>,
        heads: usize,
        group: usize,
    ) -> Option<Tensor<3, Bool>> {
        match mask {
            MaskRule::Full => None,
            MaskRule::Window { left, right, sink } => {
                let before = self.relative.clone().lower_scalar(-i64::from(*left));
                let after = self.relative.clone().greater_scalar(i64::from(*right));
                let not_sink = self.keys.clone().greater_equal_scalar(i64::from(*sink));
                let outside = before.bool_or(after);
                let dims = outside.dims();
                Some(outside.bool_and(not_sink.expand(dims)))
            }
            MaskRule::Segments { queries, slots } => {
                let relative = row(slots, &self.device) - column(&queries[rows], &self.device);
                Some(relative.not_equal_scalar(0))
            }
            MaskRule::Slots(selection) => Some(self.unlisted(selection, rows, heads, group)),
            MaskRule::And(rules) => rules
                .iter()
                .fold(None, |hidden, rule| either(hidden, self.masked(rule, rows.clone(), heads, group))),
        }
    }

    /// Slots that are not listed, `[heads, queries, keys]`.
    fn unlisted(
        &self,
        selection: &Selection,
        rows: Range<usize>,
        heads: usize,
        group: usize,
    ) -> Tensor<3, Bool> {
        let keys = self.relative.dims()[2];
        let mut hidden = vec![true; heads * rows.len() * keys];
        let lists =
            (0..heads).flat_map(|head| rows.clone().map(move |row| selection.ranges(head / group, row)));
        for (hidden, list) in hidden.chunks_exact_mut(keys).zip(lists) {
            for range in list {
                hidden[range.clone()].fill(false);
            }
        }
        Tensor::from_data(TensorData::new(hidden, [heads, rows.len(), keys]), &self.device)
    }
}

/// Hidden by one or the other.
fn either(a: Option<Tensor<3, Bool>>, b: Option<Tensor<3, Bool>>) -> Option<Tensor<3, Bool>> {
    let (Some(a), Some(b)) = (a.clone(), b.clone()) else { return a.or(b) };
    let dims = if a.dims()[0] > b.dims()[0] { a.dims() } else { b.dims() };
    Some(a.expand(dims).bool_or(b.expand(dims)))
}

/// `[1, numbers, 1]`
fn column(numbers: &[u32], device: &Device) -> Tensor<3, Int> {
    integers(numbers, device).reshape([1, numbers.len(), 1])
}

/// `[1, 1, numbers]`
fn row(numbers: &[u32], device: &Device) -> Tensor<3, Int> {
    integers(numbers, device).reshape([1, 1, numbers.len()])
}

fn integers(numbers: &[u32], device: &Device) -> Tensor<1, Int> {
    let numbers: Vec<i32> =
        numbers.iter().map(|&n| i32::try_from(n).expect("positions below 2^31")).collect();
    let count = numbers.len();
    Tensor::from_data(TensorData::new(numbers, [count]), device)
}
