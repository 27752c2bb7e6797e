//! The three matrix products of attention, on row-major slices.

use super::Heads;
use crate::gemm::{Matrix, multiply_add, multiply_add_transposed, multiply_transposed};

/// Rows of a matrix: element `(i, j)` is `data[i * stride + j]`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f32],
    pub(super) count: usize,
    pub(super) dim: usize,
    pub(super) stride: usize,
}

impl<'a> Rows<'a> {
    /// Rows without gaps.
    pub(super) fn packed(data: &'a [f32], count: usize, dim: usize) -> Self {
        Self { data, count, dim, stride: dim }
    }

    /// The rows of the first head.
    pub(super) fn of(heads: Heads<'a>) -> Self {
        Self { data: heads.data, count: heads.rows, dim: heads.dim, stride: heads.row_stride }
    }

    fn matrix(self) -> Matrix<'a> {
        Matrix { data: self.data, rows: self.count, columns: self.dim, row_stride: self.stride }
    }
}

/// `out = a b^T`, packed `[a.count, b.count]`.
pub(super) fn scores(out: &mut [f32], a: Rows<'_>, b: Rows<'_>) {
    multiply_transposed(out, a.matrix(), b.matrix(), 1.0);
}

/// `out += a b`, packed `[a.count, b.dim]`.
pub(super) fn add(out: &mut [f32], a: Rows<'_>, b: Rows<'_>) {
    multiply_add(out, a.matrix(), b.matrix());
}

/// `out += a^T b`, packed `[a.dim, b.dim]`.
pub(super) fn add_transposed(out: &mut [f32], a: Rows<'_>, b: Rows<'_>) {
    multiply_add_transposed(out, a.matrix(), b.matrix());
}
