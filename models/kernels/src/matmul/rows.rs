//! Rows of numbers, read and written.

use std::marker::PhantomData;
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

    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        &self.data[row * self.stride..][..self.columns]
    }

    pub(super) fn slice(self, rows: Range<usize>) -> Self {
        Self { data: &self.data[rows.start * self.stride..], rows: rows.len(), ..self }
    }
}

/// Rows that several threads write, each its own part.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    data: *mut f32,
    rows: usize,
    columns: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a `&mut [f32]` of which each thread takes parts that no other thread takes (see `part`).
unsafe impl Send for Target<'_> {}
// SAFETY: as above.
unsafe impl Sync for Target<'_> {}

impl<'a> Target<'a> {
    pub(super) fn new(data: &'a mut [f32], columns: usize) -> Self {
        assert!(
            columns > 0 && data.len().is_multiple_of(columns),
            "{} numbers in rows of {columns}",
            data.len()
        );
        Self { data: data.as_mut_ptr(), rows: data.len() / columns, columns, lifetime: PhantomData }
    }

    pub(super) fn rows(self) -> usize {
        self.rows
    }

    pub(super) fn columns(self) -> usize {
        self.columns
    }

    /// The same from a row on.
    pub(super) fn rows_from(self, first: usize) -> Self {
        assert!(first <= self.rows, "row {first} of {}", self.rows);
        // SAFETY: at most one past the last number.
        let data = unsafe { self.data.add(first * self.columns) };
        Self { data, rows: self.rows - first, ..self }
    }

    /// Part of one row.
    ///
    /// # Safety
    /// Nobody else uses these numbers while the slice lives.
    #[inline(always)]
    pub(super) unsafe fn part(self, row: usize, columns: Range<usize>) -> &'a mut [f32] {
        assert!(row < self.rows && columns.start <= columns.end && columns.end <= self.columns);
        // SAFETY: inside the slice that `new` took, by the assertion; alone, by the caller's word.
        unsafe {
            std::slice::from_raw_parts_mut(self.data.add(row * self.columns + columns.start), columns.len())
        }
    }
}
