//! Memory for weights.

use crate::aligned::Aligned;
use memmap2::MmapMut;
use pulp::bytemuck::{Pod, cast_slice, cast_slice_mut};
use std::marker::PhantomData;

/// From this many bytes on, weights lie in pages of their own.
const LARGE: usize = 1 << 21;

/// Zeroed numbers, from a cache line on. Many of them lie in large pages where the system has them: weights are streamed past the caches again
/// and again, and looking up small pages took a twentieth of the time of a product.
pub(super) enum Numbers<T> {
    Few(Aligned<T>),
    Many(MmapMut, PhantomData<T>),
}

impl<T: Pod + Default> Numbers<T> {
    pub(super) fn zeroed(count: usize) -> Self {
        let bytes = count * size_of::<T>();
        if bytes >= LARGE {
            // Without a mapping the allocator has the last word.
            if let Ok(map) = MmapMut::map_anon(bytes) {
                #[cfg(target_os = "linux")]
                // Only a wish: a system without large pages says no, and small ones do.
                let _ = map.advise(memmap2::Advice::HugePage);
                return Self::Many(map, PhantomData);
            }
        }
        Self::Few(Aligned::zeroed(count))
    }

    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::Few(numbers) => numbers,
            Self::Many(map, _) => cast_slice(map),
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::Few(numbers) => numbers,
            Self::Many(map, _) => cast_slice_mut(map),
        }
    }
}
