//! Rows of numbers to read.

use std::ops::Range;

/// `[rows, columns]` inside a slice, rows `stride` apart.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names, reason = "rows and columns of a matrix")]
pub struct Rows<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) stride: usize,
}

impl<'a> Rows<'a> {
    /// Contiguous rows.
    ///
    /// # Panics
    /// If the slice is not whole rows.
    pub fn new(data: &'a [f32], columns: usize) -> Self {
        assert!(
            columns > 0 && data.len().is_multiple_of(columns),
            "{} numbers in rows of {columns}",
            data.len()
        );
        Self { data, rows: data.len() / columns, columns, stride: columns }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        &self.data[row * self.stride..][..self.columns]
    }

    pub(super) fn slice(self, rows: Range<usize>) -> Self {
        Self { data: &self.data[rows.start * self.stride..], rows: rows.len(), ..self }
    }
}
