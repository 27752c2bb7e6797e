//! C zlib, for its exact sizes. Other implementations of the format make other choices and other sizes.
//!
//! It is called directly: asked for through `flate2`, it would replace the inflater of every crate in the build.

use std::ffi::{c_int, c_uint, c_void};
use std::mem::{MaybeUninit, size_of};

use libz_sys as z;

unsafe extern "C" {
    fn calloc(count: usize, size: usize) -> *mut c_void;
    #[link_name = "free"]
    fn free_memory(memory: *mut c_void);
}

// The binding's type of the stream cannot hold the null pointers that would choose zlib's own two functions like these.
unsafe extern "C" fn allocate(_: *mut c_void, count: c_uint, size: c_uint) -> *mut c_void {
    // SAFETY: any two numbers may be asked for; zlib checks for null.
    unsafe { calloc(count as usize, size as usize) }
}

unsafe extern "C" fn free(_: *mut c_void, memory: *mut c_void) {
    // SAFETY: zlib gives back what it got from `allocate`, once.
    unsafe { free_memory(memory) }
}

/// A deflater that is used again and again, of raw streams without header and checksum.
pub struct Deflater {
    // zlib keeps a pointer to the stream in its state, so it must not move.
    stream: Box<z::z_stream>,
}

// SAFETY: zlib's state belongs to this stream alone and has no ties to a thread.
unsafe impl Send for Deflater {}

impl Deflater {
    /// A deflater of a level from 0 to 9, with the window and the memory that `gzip` and Python use.
    ///
    /// # Panics
    /// Where the level is another, or memory runs out.
    pub fn new(level: u8) -> Self {
        const WINDOW_BITS: c_int = -15; // negative: raw
        const MEMORY_LEVEL: c_int = 8;
        assert!(level <= 9, "zlib has levels from 0 to 9");
        // Zero is right for every field but the two functions.
        let mut stream: Box<MaybeUninit<z::z_stream>> = Box::new(MaybeUninit::zeroed());
        // SAFETY: the stream lives in its box for as long as the state does; version and size are those of the headers
        // that `libz-sys` was made from.
        let code = unsafe {
            let stream = stream.as_mut_ptr();
            std::ptr::addr_of_mut!((*stream).zalloc).write(allocate);
            std::ptr::addr_of_mut!((*stream).zfree).write(free);
            z::deflateInit2_(
                stream,
                c_int::from(level),
                z::Z_DEFLATED,
                WINDOW_BITS,
                MEMORY_LEVEL,
                z::Z_DEFAULT_STRATEGY,
                z::zlibVersion(),
                size_of::<z::z_stream>() as c_int,
            )
        };
        assert_eq!(code, z::Z_OK, "zlib has memory for a stream");
        // SAFETY: every field is initialised: zero, the allocators, or what zlib wrote.
        let stream = unsafe { Box::from_raw(Box::into_raw(stream).cast::<z::z_stream>()) };
        Self { stream }
    }

    /// Bytes of the raw stream for these bytes.
    pub fn size(&mut self, bytes: &[u8]) -> u64 {
        let mut out = [0_u8; 1 << 14];
        let mut size = 0;
        let stream: *mut z::z_stream = &raw mut *self.stream;
        // zlib counts input in 32 bits.
        let mut parts = bytes.chunks(1 << 30).peekable();
        // SAFETY: the state is alive; input and output point to memory of the stated lengths during the calls.
        unsafe {
            assert_eq!(z::deflateReset(stream), z::Z_OK, "the stream is one of deflate");
            loop {
                let part = parts.next().unwrap_or_default();
                (*stream).next_in = part.as_ptr().cast_mut();
                (*stream).avail_in = part.len() as u32;
                let flush = if parts.peek().is_some() { z::Z_NO_FLUSH } else { z::Z_FINISH };
                loop {
                    (*stream).next_out = out.as_mut_ptr();
                    (*stream).avail_out = out.len() as u32;
                    let code = z::deflate(stream, flush);
                    assert!(code >= 0 || code == z::Z_BUF_ERROR, "deflate takes any input");
                    size += (out.len() - (*stream).avail_out as usize) as u64;
                    if (*stream).avail_out > 0 {
                        break;
                    }
                }
                if flush == z::Z_FINISH {
                    return size;
                }
            }
        }
    }
}

impl Drop for Deflater {
    fn drop(&mut self) {
        // SAFETY: the state was made by `deflateInit2_` and is ended once.
        unsafe {
            z::deflateEnd(&raw mut *self.stream);
        }
    }
}
