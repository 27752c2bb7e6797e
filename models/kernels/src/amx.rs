//! `tdpbf16ps`: the tile unit of AMX, by inline assembly, since its intrinsics are not stable Rust yet.

use crate::prefetch::prefetch;
use std::arch::asm;
use std::sync::LazyLock;

/// Whether the processor has the unit and the system lets this process use it.
pub(crate) fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| supported() && permitted());
    *AVAILABLE
}

/// CPUID leaf 7: bits 22 (bf16 products) and 24 (tiles) of EDX.
fn supported() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let features = 1 << 22 | 1 << 24;
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & features == features
}

/// Linux saves the tiles of a process only after it has asked for them.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let result: isize;
    // SAFETY: a system call that reads no memory; the kernel clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// Rows of a product of tiles: two tiles of 16.
pub(crate) const ROWS: usize = 32;
/// Its columns.
pub(crate) const COLUMNS: usize = 32;
/// Depths that one instruction sums over.
pub(crate) const STEP: usize = 32;

/// Eight tiles of 16 rows of 64 bytes. For every block anew: other code on this thread may shape or release them too.
pub(crate) fn configure() {
    #[repr(C, align(64))]
    struct Config {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }
    let (mut row_bytes, mut rows) = ([0; 16], [0; 16]);
    row_bytes[..8].fill(64);
    rows[..8].fill(16);
    let config = Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes, rows };
    // SAFETY: the unit is there and permitted (`available`), the operand is the 64 bytes that it reads.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly)) };
}

/// `tile (+)= left * right`. `left`: `[steps][32 rows][32]`. `right`: `[steps][16 pairs][32 columns][2]`. `tile`: 32 rows of
/// 32 sums, `stride` numbers apart. `ahead` is fetched meanwhile, for a later product.
///
/// Tiles 0 to 3 are sums, 4 and 5 hold 16 rows of `left` each, 6 and 7 16 columns of `right` each. The compiler never
/// uses tile registers, so they keep their contents between the pieces of assembly and need not be named as clobbered.
///
/// # Safety
/// The operands are as long as that; [`configure`] was the last to shape the tiles of this thread.
#[inline(always)]
pub(crate) unsafe fn multiply(
    left: *const u16,
    steps: usize,
    right: *const u16,
    tile: *mut f32,
    stride: usize,
    accumulate: bool,
    ahead: &[u16],
) {
    // SAFETY: the caller vouches for the lengths and for the configuration.
    unsafe {
        if accumulate {
            load(tile, stride);
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem, preserves_flags)
            );
        }
        // A few cache lines at a time: many at once would hold up what is read now.
        let share = ahead.len().div_ceil(steps.div_ceil(AT_ONCE).max(1)).next_multiple_of(32).max(1);
        let mut ahead = ahead.chunks(share);
        for first in (0..steps).step_by(AT_ONCE) {
            prefetch(ahead.next().unwrap_or_default());
            let (left, right) = (left.add(first * ROWS * STEP), right.add(first * COLUMNS * STEP));
            add_products(left, AT_ONCE.min(steps - first), right);
        }
        asm!(
            "tilestored [{tile} + {stride}*1], tmm0",
            "tilestored [{tile} + {stride}*1 + 64], tmm1",
            "tilestored [{lower} + {stride}*1], tmm2",
            "tilestored [{lower} + {stride}*1 + 64], tmm3",
            tile = in(reg) tile,
            lower = in(reg) tile.add(16 * stride),
            stride = in(reg) 4 * stride,
            options(nostack, preserves_flags),
        );
    }
}

/// Steps between two looks ahead.
const AT_ONCE: usize = 1;

#[inline(always)]
unsafe fn load(tile: *const f32, stride: usize) {
    // SAFETY: the caller vouches for the lengths and for the configuration.
    unsafe {
        asm!(
            "tileloadd tmm0, [{tile} + {stride}*1]",
            "tileloadd tmm1, [{tile} + {stride}*1 + 64]",
            "tileloadd tmm2, [{lower} + {stride}*1]",
            "tileloadd tmm3, [{lower} + {stride}*1 + 64]",
            tile = in(reg) tile,
            lower = in(reg) tile.add(16 * stride),
            stride = in(reg) 4 * stride,
            options(nostack, readonly, preserves_flags),
        );
    }
}

/// Adds the products of some steps, at least one, to the sums.
#[inline(always)]
unsafe fn add_products(left: *const u16, steps: usize, right: *const u16) {
    // Rows of `left`, and pairs of a panel.
    const LEFT_BYTES: usize = STEP * 2;
    const PAIR_BYTES: usize = COLUMNS * 2 * 2;
    // SAFETY: the caller vouches for the lengths and for the configuration.
    unsafe {
        asm!(
            "2:",
            "tileloadd tmm4, [{left} + {left_bytes}*1]",
            "tileloadd tmm6, [{right} + {pair_bytes}*1]",
            "tileloadd tmm7, [{right} + {pair_bytes}*1 + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{left} + {left_bytes}*1 + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {left}, 2048",
            "add {right}, 2048",
            "dec {steps}",
            "jnz 2b",
            left = inout(reg) left => _,
            left_bytes = in(reg) LEFT_BYTES,
            right = inout(reg) right => _,
            pair_bytes = in(reg) PAIR_BYTES,
            steps = inout(reg) steps => _,
            options(nostack, readonly),
        );
    }
}
