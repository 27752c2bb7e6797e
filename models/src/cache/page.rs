//! One page: the bytes of a fixed number of rows.

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use super::pool::Shared;

/// Bytes inside a slab of the pool, owned until dropped. Shared between sequences as `Arc<Page>`; written only by
/// a sole owner.
pub(super) struct Page {
    start: NonNull<u8>,
    bytes: usize,
    slab: u32,
    index: u32,
    pool: Arc<Shared>,
}

// SAFETY: a page is the only owner of its bytes, which are plain memory and move between threads like a `Box<[u8]>`.
unsafe impl Send for Page {}
// SAFETY: a shared page can only be read.
unsafe impl Sync for Page {}

impl Page {
    /// Takes a free page of the pool.
    ///
    /// # Safety
    /// `start` points to `bytes` initialised bytes in slab `slab` of `pool` that nothing else refers to, and the pool
    /// keeps the slab mapped until page `index` was given back to it.
    pub(super) unsafe fn new(
        start: NonNull<u8>,
        bytes: usize,
        slab: u32,
        index: u32,
        pool: Arc<Shared>,
    ) -> Self {
        Self { start, bytes, slab, index, pool }
    }

    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: by the contract of `new` the bytes are valid and ours, and `&mut self` rules out other borrows.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Deref for Page {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: by the contract of `new` the bytes are valid and ours; writing needs `&mut self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.pool.give_back(self.bytes, self.slab, self.index);
    }
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Page({} bytes, {}:{})", self.bytes, self.slab, self.index)
    }
}
