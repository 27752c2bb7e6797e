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
