//! Telling the processor what will be read soon.

/// Asks for the cache lines of a slice, into the second level. A hint: it changes no result.
#[inline(always)]
pub(crate) fn prefetch<T>(slice: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for start in (0..size_of_val(slice)).step_by(64) {
        // SAFETY: the address lies inside the slice; a prefetch reads nothing that the program could see.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T1>(slice.as_ptr().cast::<i8>().add(start));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = slice;
}

/// Asks for the cache lines from an address on, into the first level and for this processor alone. A hint: any address will do.
#[inline(always)]
pub(crate) fn prefetch_to_write<T>(first: *const T, count: usize) {
    #[cfg(target_arch = "x86_64")]
    for start in (0..count * size_of::<T>()).step_by(64) {
        // SAFETY: a prefetch reads nothing that the program could see, and faults at no address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_ET0>(first.cast::<i8>().wrapping_add(start));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (first, count);
}
