//! Large tables that are looked into at random places. In pages of 4 KiB nearly every look would first have to find its page;
//! so the system is asked for large ones.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::MmapMut;

/// Numbers that begin as zeros.
pub(super) struct Table<T> {
    memory: MmapMut,
    of: PhantomData<T>,
}

/// Smaller tables have no use for large pages.
#[cfg(target_os = "linux")]
const LARGE_PAGE: usize = 2 << 20;

impl<T: Pod> Table<T> {
    /// A table of so many numbers.
    ///
    /// # Panics
    /// Where memory runs out, as allocation does everywhere else.
    pub(super) fn zeroed(length: usize) -> Self {
        let bytes = length.checked_mul(size_of::<T>()).expect("a table fits the address space");
        // A mapping of nothing is an error.
        let memory = MmapMut::map_anon(bytes.max(1)).expect("there is memory");
        #[cfg(target_os = "linux")]
        if bytes >= LARGE_PAGE {
            // Slower without, and no other difference.
            let _ = memory.advise(memmap2::Advice::HugePage);
        }
        Self { memory, of: PhantomData }
    }

    /// Makes it longer; what is there stays.
    pub(super) fn grow(&mut self, length: usize) {
        let mut longer = Self::zeroed(length);
        longer[..self.len()].copy_from_slice(self);
        *self = longer;
    }
}

impl<T: Pod> Deref for Table<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        let whole = self.memory.len() / size_of::<T>() * size_of::<T>();
        bytemuck::cast_slice(&self.memory[..whole])
    }
}

impl<T: Pod> DerefMut for Table<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        let whole = self.memory.len() / size_of::<T>() * size_of::<T>();
        bytemuck::cast_slice_mut(&mut self.memory[..whole])
    }
}

impl<T: Pod> Clone for Table<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: Pod> std::fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table of {}", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_zero_and_keep_their_numbers() {
        let mut table = Table::<u64>::zeroed(3);
        assert_eq!(table[..], [0; 3]);
        table[1] = 7;
        let copy = table.clone();
        table.grow(1 << 19);
        assert_eq!((table.len(), &table[..4]), (1 << 19, &[0, 7, 0, 0][..]));
        assert_eq!(copy[..], [0, 7, 0]);
        assert!(Table::<u64>::zeroed(0).is_empty());
    }
}
