//! How the C library's allocator keeps what is given back to it.
#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "mallopt is a C function")
)]

/// Keeps memory flat over days: by itself glibc gives each thread an arena of its own, of which each
/// keeps the most it ever needed, and lets the size from which memory goes back to the system grow
/// with what was given back once. An arena for four cores, and a size that stays, are enough for what we
/// allocate: little, but often.
///
/// To be called before there are other threads. Elsewhere than with glibc it does nothing.
pub(crate) fn settle() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const LARGE: libc::c_int = 128 << 10;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let arenas = libc::c_int::try_from((cores / 4).max(2)).unwrap_or(2);
        // SAFETY: mallopt takes any numbers, and there is one thread. One that it does not know or
        // heed changes nothing.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, arenas);
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
            libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
        }
    }
}
