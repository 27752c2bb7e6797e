//! The three matrix products of attention, on row-major slices.

use crate::gemm::{Matrix, multiply_add, multiply_add_transposed, multiply_transposed};

/// A row-major matrix: element `(i, j)` is `data[i * stride + j]`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) stride: usize,
}

impl<'a> Rows<'a> {
    /// Rows without gaps.
    pub(super) fn packed(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, stride: columns }
    }

    fn matrix(self) -> Matrix<'a> {
        Matrix { data: self.data, rows: self.rows, columns: self.columns, row_stride: self.stride }
    }
}

/// `out = a b^T`, packed `[a.rows, b.rows]`.
pub(super) fn scores(out: &mut [f32], a: Rows<'_>, b: Rows<'_>) {
    multiply_transposed(out, a.matrix(), b.matrix(), 1.0);
}

/// `out += a b`, packed `[a.rows, b.columns]`.
pub(super) fn add(out: &mut [f32], a: Rows<'_>, b: Rows<'_>) {
    multiply_add(out, a.matrix(), b.matrix());
}

/// `out += a^T b`, packed `[a.columns, b.columns]`.
pub(super) fn add_transposed(out: &mut [f32], a: Rows<'_>, b: Rows<'_>) {
    multiply_add_transposed(out, a.matrix(), b.matrix());
}
