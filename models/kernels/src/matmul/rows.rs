//! Rows of numbers to read.

use std::ops::Range;

/// `[rows, columns]` inside a slice, rows `stride` apart.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names, reason = "rows and columns of a matrix")]
pub struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) stride: usize,
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

    /// Rows without gaps, of which there may be none, or none with numbers.
    pub(crate) fn packed(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, stride: columns }
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

    /// # Panics
    /// If the slice is shorter than its rows.
    pub(super) fn check(&self) {
        if self.rows > 0 && self.columns > 0 {
            let last = (self.rows - 1) * self.stride + self.columns;
            assert!(last <= self.data.len(), "strides reach element {last} of {}", self.data.len());
        }
    }

    pub(crate) fn slice(self, rows: Range<usize>) -> Self {
        Self { data: &self.data[rows.start * self.stride..], rows: rows.len(), ..self }
    }
}
