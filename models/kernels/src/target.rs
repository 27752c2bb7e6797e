//! Rows of numbers that several threads write.

use crate::prefetch::prefetch_to_write;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Rows that several threads write, each its own part.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
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
    pub(crate) fn new(data: &'a mut [f32], columns: usize) -> Self {
        assert!(
            columns > 0 && data.len().is_multiple_of(columns),
            "{} numbers in rows of {columns}",
            data.len()
        );
        Self { data: data.as_mut_ptr(), rows: data.len() / columns, columns, lifetime: PhantomData }
    }

    /// Over numbers that have not been written: parts are for writing alone.
    pub(crate) fn unwritten(data: &'a mut [MaybeUninit<f32>], columns: usize) -> Self {
        // SAFETY: the same memory; nothing here reads it.
        Self::new(unsafe { &mut *(std::ptr::from_mut(data) as *mut [f32]) }, columns)
    }

    pub(crate) fn rows(self) -> usize {
        self.rows
    }

    pub(crate) fn columns(self) -> usize {
        self.columns
    }

    /// The same from a row on.
    pub(crate) fn rows_from(self, first: usize) -> Self {
        assert!(first <= self.rows, "row {first} of {}", self.rows);
        // SAFETY: at most one past the last number.
        let data = unsafe { self.data.add(first * self.columns) };
        Self { data, rows: self.rows - first, ..self }
    }

    /// Asks for the cache lines of a part of a row, to write them. A hint: it changes nothing.
    #[inline(always)]
    pub(crate) fn prefetch(self, row: usize, columns: Range<usize>) {
        prefetch_to_write(self.data.wrapping_add(row * self.columns + columns.start), columns.len());
    }

    /// Part of one row.
    ///
    /// # Safety
    /// Nobody else uses these numbers while the slice lives.
    #[inline(always)]
    pub(crate) unsafe fn part(self, row: usize, columns: Range<usize>) -> &'a mut [f32] {
        assert!(row < self.rows && columns.start <= columns.end && columns.end <= self.columns);
        // SAFETY: inside the slice that `new` took, by the assertion; alone, by the caller's word.
        unsafe {
            std::slice::from_raw_parts_mut(self.data.add(row * self.columns + columns.start), columns.len())
        }
    }
}
