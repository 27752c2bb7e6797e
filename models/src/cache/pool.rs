//! Where pages come from and go back to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::{MmapMut, MmapRaw};

use super::error::CacheError;
use super::page::Page;

/// Memory is mapped and unmapped in pieces of about this size.
const SLAB_BYTES: usize = 1 << 20;

/// Source of pages, shared by all sequences that clone it.
///
/// Pages lie in slabs that are mapped from the system, a slab for pages of one size. A freed page is used again
/// before a new one is made, the lowest first, so that those in use gather in few slabs; a slab whose last page is
/// freed is unmapped, except for one of each size. What an eviction frees therefore leaves the process.
#[derive(Clone, Debug)]
pub struct PagePool {
    shared: Arc<Shared>,
}

impl PagePool {
    /// Slots of a page unless told otherwise.
    pub const SLOTS: usize = 16;

    /// A pool of pages of `slots` slots.
    ///
    /// # Panics
    /// If a page has no slots.
    pub fn new(slots: usize) -> Self {
        Self::with_limit(slots, usize::MAX)
    }

    /// The same, with at most `limit` bytes of pages in use at any time.
    ///
    /// # Panics
    /// If a page has no slots.
    pub fn with_limit(slots: usize, limit: usize) -> Self {
        assert!(slots > 0, "a page has slots");
        Self { shared: Arc::new(Shared { slots, limit, state: Mutex::default() }) }
    }

    /// Slots of a page.
    pub fn slots(&self) -> usize {
        self.shared.slots
    }

    /// Bytes of the pages in use; a page shared by several sequences counts once.
    pub fn bytes(&self) -> usize {
        self.shared.state().used
    }

    /// Bytes mapped from the system, with those of free pages.
    pub fn reserved(&self) -> usize {
        self.shared.state().reserved
    }

    /// Unmaps the spare slabs too; returns their bytes.
    pub fn trim(&self) -> usize {
        let mut state = self.shared.state();
        let before = state.reserved;
        let mut freed = 0;
        for class in state.classes.values_mut() {
            class.slabs.retain(|number, slab| {
                if slab.is_empty() {
                    freed += slab.map.len();
                    class.open.remove(number);
                }
                !slab.is_empty()
            });
        }
        state.reserved = before - freed;
        freed
    }

    pub(super) fn allocate(&self, bytes: usize) -> Result<Page, CacheError> {
        let mut state = self.shared.state();
        let limit = self.shared.limit;
        if bytes > limit.saturating_sub(state.used) {
            return Err(CacheError::PoolFull { needed: bytes, used: state.used, limit });
        }
        let State { classes, reserved, used } = &mut *state;
        let class = classes.entry(bytes).or_default();
        let number = if let Some(&number) = class.open.first() {
            number
        } else {
            let slab = Slab::map(bytes)?;
            *reserved += slab.map.len();
            class.add(slab)
        };
        let slab = class.slabs.get_mut(&number).expect("open slabs exist");
        let Reverse(index) = slab.free.pop().expect("an open slab has a free page");
        if slab.free.is_empty() {
            class.open.remove(&number);
        }
        *used += bytes;
        let start = slab.map.as_mut_ptr().wrapping_add(index as usize * bytes);
        let start = NonNull::new(start).expect("a map is not at address zero");
        // SAFETY: the index was free, so nothing else refers to these bytes; a map is zeroed, hence initialised; a slab
        // is unmapped only when all of its pages are free.
        Ok(unsafe { Page::new(start, bytes, number, index, Arc::clone(&self.shared)) })
    }

    /// A page of its own with the content of another.
    pub(super) fn copy(&self, page: &Page) -> Result<Page, CacheError> {
        let mut copy = self.allocate(page.len())?;
        copy.as_mut().copy_from_slice(page);
        Ok(copy)
    }
}

impl Default for PagePool {
    fn default() -> Self {
        Self::new(Self::SLOTS)
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    slots: usize,
    limit: usize,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn give_back(&self, bytes: usize, number: u32, index: u32) {
        let mut state = self.state();
        state.used -= bytes;
        let class = state.classes.get_mut(&bytes).expect("the page's class exists");
        let spare = class.open.iter().any(|other| *other != number && class.slabs[other].is_empty());
        let slab = class.slabs.get_mut(&number).expect("the page's slab exists");
        slab.free.push(Reverse(index));
        class.open.insert(number);
        if slab.is_empty() && spare {
            let freed = slab.map.len();
            class.slabs.remove(&number);
            class.open.remove(&number);
            state.reserved -= freed;
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// By bytes of a page.
    classes: BTreeMap<usize, Class>,
    used: usize,
    reserved: usize,
}

#[derive(Debug, Default)]
struct Class {
    slabs: BTreeMap<u32, Slab>,
    /// Slabs with a free page.
    open: BTreeSet<u32>,
}

impl Class {
    /// Under the lowest number that is free.
    fn add(&mut self, slab: Slab) -> u32 {
        let free = self.slabs.keys().zip(0..).find(|(number, i)| **number != *i);
        let number = free.map_or(self.slabs.len() as u32, |(_, i)| i);
        self.slabs.insert(number, slab);
        self.open.insert(number);
        number
    }
}

#[derive(Debug)]
struct Slab {
    map: MmapRaw,
    pages: usize,
    free: BinaryHeap<Reverse<u32>>,
}

impl Slab {
    fn map(page: usize) -> Result<Self, CacheError> {
        let pages = (SLAB_BYTES / page).max(1);
        let bytes = pages * page;
        let map = MmapMut::map_anon(bytes).map_err(|source| CacheError::Memory { bytes, source })?;
        let free = (0..pages as u32).map(Reverse).collect();
        Ok(Self { map: MmapRaw::from(map), pages, free })
    }

    fn is_empty(&self) -> bool {
        self.free.len() == self.pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted_reused_and_unmapped() {
        let pool = PagePool::new(16);
        let page = SLAB_BYTES / 4;
        let mut pages: Vec<Page> = (0..12).map(|_| pool.allocate(page).expect("a page")).collect();
        assert_eq!((pool.bytes(), pool.reserved()), (12 * page, 3 * SLAB_BYTES));
        for (i, page) in pages.iter_mut().enumerate() {
            page.as_mut().fill(i as u8);
        }
        assert!(pages.iter().enumerate().all(|(i, page)| page.iter().all(|&x| x == i as u8)));
        pages.truncate(1);
        // Two slabs are empty: one is spare.
        assert_eq!((pool.bytes(), pool.reserved()), (page, 2 * SLAB_BYTES));
        assert_eq!((pool.trim(), pool.reserved()), (SLAB_BYTES, SLAB_BYTES));
        pages.push(pool.allocate(page).expect("a page"));
        assert_eq!(pool.reserved(), SLAB_BYTES);
        pages.clear();
        assert_eq!((pool.bytes(), pool.trim(), pool.reserved()), (0, SLAB_BYTES, 0));
    }

    #[test]
    fn a_limit_is_an_error_with_the_numbers() {
        let pool = PagePool::with_limit(16, 100);
        let _first = pool.allocate(60).expect("a page");
        let error = pool.allocate(60).expect_err("over the limit");
        assert_eq!(error.to_string(), "the cache needs 60 bytes more, 60 of 100 are in use");
    }

    #[test]
    fn threads_share_a_pool() {
        let pool = PagePool::new(16);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let pages: Vec<Page> =
                            (0..50).map(|_| pool.allocate(1000).expect("a page")).collect();
                        assert_eq!(pages.len(), 50);
                    }
                });
            }
        });
        assert_eq!(pool.bytes(), 0);
    }
}
