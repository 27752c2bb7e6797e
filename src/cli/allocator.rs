//! What runs of many equal steps ask of the allocator.

/// Freed memory is kept for the next step, which asks for the same again. Given back to the system and taken anew, it is zeroed
/// page by page each time: a sixth of the time of a training step. The most that is taken does not change.
pub(crate) fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (parameter, value) in
        [(libc::M_MMAP_MAX, 0), (libc::M_TRIM_THRESHOLD, i32::MAX), (libc::M_TOP_PAD, 64 << 20)]
    {
        // SAFETY: it sets a number of the allocator, which takes any. One that it refuses stays as it was.
        unsafe { libc::mallopt(parameter, value) };
    }
}
