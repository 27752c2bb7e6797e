//! Buffers that begin at a cache line.

use aligned_vec::AVec;
use std::ops::{Deref, DerefMut};

/// Numbers from the start of a cache line on. A vector of 64 bytes that lies across two lines is two loads; a tile of AMX whose
/// rows all do takes up to six times as long.
#[derive(Clone, Debug)]
pub(crate) struct Aligned<T>(AVec<T>);

impl<T: Copy + Default> Aligned<T> {
    /// So many zeros.
    pub(crate) fn zeroed(count: usize) -> Self {
        let mut numbers = Self::default();
        numbers.resize(count);
        numbers
    }

    /// As many numbers; those that are new are zero.
    pub(crate) fn resize(&mut self, count: usize) {
        self.0.resize(count, T::default());
    }

    /// No numbers.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// A copy.
    pub(crate) fn of(numbers: &[T]) -> Self {
        Self(AVec::from_slice(0, numbers))
    }

    /// The transpose of `[rows, dim]`.
    pub(crate) fn transposed(numbers: &[T], rows: usize, dim: usize) -> Self
    where
        T: pulp::bytemuck::Pod,
    {
        let mut columns = Self::zeroed(rows * dim);
        crate::transpose::transpose(numbers, dim, rows, dim, &mut columns, rows);
        columns
    }
}

impl<T> Default for Aligned<T> {
    fn default() -> Self {
        Self(AVec::new(0))
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}
