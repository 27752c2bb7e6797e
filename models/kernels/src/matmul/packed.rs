//! Weights laid out for the micro-kernel.

use super::kernel::{Kernel, Precision};
use super::numbers::Numbers;
use super::rows::Rows;
use crate::bf16;
use pulp::bytemuck::Pod;
use rayon::prelude::*;

/// A weight matrix `[outputs, depth]`, packed for `x * w^T`.
///
/// Outputs are cut into panels as wide as the micro-kernel's tile; within a panel the weights of one depth (or of a pair
/// of depths, for bf16 instructions) lie side by side, in the order in which they are read.
pub struct PackedMatrix {
    kernel: Kernel,
    outputs: usize,
    depth: usize,
    store: Store,
}

pub(super) enum Store {
    F32(Numbers<f32>),
    Bf16(Numbers<u16>),
}

impl PackedMatrix {
    /// Packs `[outputs, depth]` for this processor.
    pub fn new(weights: Rows<'_>, precision: Precision) -> Self {
        Self::with_kernel(weights, Kernel::best(precision))
    }

    /// Packs for a certain kernel out of [`Kernel::all`].
    pub fn with_kernel(weights: Rows<'_>, kernel: Kernel) -> Self {
        let outputs = weights.rows;
        Self::pack(weights.columns, outputs, kernel, |output| weights.row(output))
    }

    /// Packs the two halves of a gated layer, `[2 * n, depth]`: gates first, then values. A panel holds gates and values
    /// of the same columns, so that a tile can be activated as soon as it is computed.
    ///
    /// # Panics
    /// If the number of rows is odd.
    pub fn gated(weights: Rows<'_>, kernel: Kernel) -> Self {
        assert!(weights.rows.is_multiple_of(2), "gates and values");
        let (n, half) = (weights.rows / 2, kernel.columns() / 2);
        let padded = n.div_ceil(half) * half;
        let zeros = vec![0.0; weights.columns];
        // Column `c` of the panels is a gate in the first half of each panel and a value in the second.
        let packed = Self::pack(weights.columns, 2 * padded, kernel, |c| {
            let (panel, within) = (c / (2 * half), c % (2 * half));
            let output = panel * half + within % half;
            let row = if within < half { output } else { n + output };
            if output < n { weights.row(row) } else { &zeros }
        });
        Self { outputs: 2 * n, ..packed }
    }

    /// Packs the transpose of `[depth, outputs]`.
    pub fn transposed(weights: Rows<'_>, kernel: Kernel) -> Self {
        let (columns, group) = (kernel.columns(), kernel.group());
        let padded = weights.rows.next_multiple_of(kernel.depth_multiple());
        let store = match kernel.precision() {
            Precision::F32 => Store::F32(columns_as_panels(weights, columns, padded, 1, |row, _, target| {
                target[..row.len()].copy_from_slice(row);
            })),
            Precision::Bf16 => {
                Store::Bf16(columns_as_panels(weights, columns, padded, group, |row, next, target| {
                    if group == 1 {
                        bf16::round_all(row, target);
                    } else {
                        bf16::round_pairs(row, next, target);
                    }
                }))
            }
        };
        Self { kernel, outputs: weights.columns, depth: weights.rows, store }
    }

    fn pack<'a>(
        depth: usize,
        outputs: usize,
        kernel: Kernel,
        row: impl Fn(usize) -> &'a [f32] + Sync,
    ) -> Self {
        let (columns, group) = (kernel.columns(), kernel.group());
        let padded = depth.next_multiple_of(kernel.depth_multiple());
        let store = match kernel.precision() {
            Precision::F32 => Store::F32(panels(outputs, columns, padded, group, row, |x| x)),
            Precision::Bf16 => Store::Bf16(panels(outputs, columns, padded, group, row, bf16::round)),
        };
        Self { kernel, outputs, depth, store }
    }

    /// Rows of the weight matrix.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Columns of the weight matrix.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// What multiplies it.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        match &self.store {
            Store::F32(data) => data.as_slice().len() * 4,
            Store::Bf16(data) => data.as_slice().len() * 2,
        }
    }

    pub(super) fn padded_depth(&self) -> usize {
        self.depth.next_multiple_of(self.kernel.depth_multiple())
    }

    pub(super) fn panels(&self) -> usize {
        let stored = match &self.store {
            Store::F32(data) => data.as_slice().len(),
            Store::Bf16(data) => data.as_slice().len(),
        };
        stored / (self.kernel.columns() * self.padded_depth()).max(1)
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}

/// All panels; weight `k` of a column goes to its group of `group` depths.
pub(super) fn panels<'a, T: Pod + Default + Send>(
    outputs: usize,
    columns: usize,
    depth: usize,
    group: usize,
    row: impl Fn(usize) -> &'a [f32] + Sync,
    store: impl Fn(f32) -> T + Sync,
) -> Numbers<T> {
    let mut data = Numbers::zeroed(outputs.div_ceil(columns) * columns * depth);
    data.as_mut_slice().par_chunks_mut((columns * depth).max(1)).enumerate().for_each(|(panel, data)| {
        let first = panel * columns;
        for column in 0..columns.min(outputs - first) {
            for (k, &weight) in row(first + column).iter().enumerate() {
                data[(k / group * columns + column) * group + k % group] = store(weight);
            }
        }
    });
    data
}

/// All panels of the transpose of `[depth, outputs]`. `store` takes a row's numbers for one panel, those of the next row where
/// two are a group, and where they go.
fn columns_as_panels<T: Pod + Default + Send>(
    weights: Rows<'_>,
    columns: usize,
    padded: usize,
    group: usize,
    store: impl Fn(&[f32], &[f32], &mut [T]) + Sync,
) -> Numbers<T> {
    let mut data = Numbers::zeroed(weights.columns.div_ceil(columns) * columns * padded);
    data.as_mut_slice().par_chunks_mut((columns * padded).max(1)).enumerate().for_each(|(panel, data)| {
        let part = panel * columns..weights.columns.min((panel + 1) * columns);
        let zeros = vec![0.0; part.len()];
        for (n, target) in
            data.chunks_exact_mut(columns * group).enumerate().take(weights.rows.div_ceil(group))
        {
            let k = n * group;
            let next = if k + 1 < weights.rows { &weights.row(k + 1)[part.clone()] } else { &zeros };
            store(&weights.row(k)[part.clone()], next, target);
        }
    });
    data
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix [{}, {}] {}", self.outputs, self.depth, self.kernel)
    }
}
