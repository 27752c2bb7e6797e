//! Strided `[rows, heads, dim]` arrays.

use std::ops::Range;

/// `[rows, heads, dim]` inside a slice: element `(r, h, d)` is `data[r * row_stride + h * head_stride + d]`.
///
/// Strides let queries, keys and values be read straight out of one fused projection.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    /// The elements, starting at `(0, 0, 0)`.
    pub data: &'a [f32],
    /// Number of rows (tokens, or cache slots).
    pub rows: usize,
    /// Number of heads.
    pub heads: usize,
    /// Size of one head.
    pub dim: usize,
    /// Distance between rows, in elements.
    pub row_stride: usize,
    /// Distance between heads of one row, in elements.
    pub head_stride: usize,
}

impl<'a> Heads<'a> {
    /// A contiguous `[rows, heads, dim]` slice.
    ///
    /// # Panics
    /// If the slice has another length.
    pub fn contiguous(data: &'a [f32], rows: usize, heads: usize, dim: usize) -> Self {
        assert_eq!(data.len(), rows * heads * dim, "slice of another shape");
        Self { data, rows, heads, dim, row_stride: heads * dim, head_stride: dim }
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// If there are no such rows.
    #[must_use]
    pub fn slice(self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        let start = (rows.start * self.row_stride).min(self.data.len());
        Self { data: &self.data[start..], rows: rows.len(), ..self }
    }

    /// One of the heads.
    ///
    /// # Panics
    /// If there is no such head.
    #[must_use]
    pub fn head(self, head: usize) -> Self {
        assert!(head < self.heads, "head {head} of {}", self.heads);
        let start = (head * self.head_stride).min(self.data.len());
        Self { data: &self.data[start..], heads: 1, ..self }
    }

    /// One row of one head.
    pub fn row(&self, row: usize, head: usize) -> &'a [f32] {
        &self.tail(row, head)[..self.dim]
    }

    /// Writes some rows of one head, `[rows, dim]`.
    pub fn copy(&self, head: usize, rows: Range<usize>, out: &mut [f32]) {
        for (row, target) in rows.zip(out.chunks_exact_mut(self.dim)) {
            target.copy_from_slice(self.row(row, head));
        }
    }

    pub(crate) fn check(&self) {
        if self.rows > 0 && self.heads > 0 && self.dim > 0 {
            let last = (self.rows - 1) * self.row_stride + (self.heads - 1) * self.head_stride + self.dim;
            assert!(last <= self.data.len(), "strides reach element {last} of {}", self.data.len());
        }
    }

    /// The elements from row `row` of head `head` on; one row is `row_stride` after the other.
    pub(crate) fn tail(&self, row: usize, head: usize) -> &'a [f32] {
        &self.data[row * self.row_stride + head * self.head_stride..]
    }
}
