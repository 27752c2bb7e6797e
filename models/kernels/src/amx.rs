//! `tdpbf16ps`: the tile unit of AMX, by inline assembly, since its intrinsics are not stable Rust yet.

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
/// 32 sums, `stride` numbers apart.
///
/// Tiles 0 to 3 are sums, 4 and 5 hold 16 rows of `left` each, 6 and 7 16 columns of `right` each. The compiler never
/// uses tile registers, so they need not be named as clobbered.
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
) {
    // Pairs of a panel, and rows of `left`.
    const PAIR_BYTES: usize = COLUMNS * 2 * 2;
    const LEFT_BYTES: usize = STEP * 2;
    // SAFETY: the caller vouches for the lengths and for the configuration.
    unsafe {
        asm!(
            "test {accumulate:e}, {accumulate:e}",
            "jz 2f",
            "tileloadd tmm0, [{tile} + {tile_stride}*1]",
            "tileloadd tmm1, [{tile} + {tile_stride}*1 + 64]",
            "tileloadd tmm2, [{lower} + {tile_stride}*1]",
            "tileloadd tmm3, [{lower} + {tile_stride}*1 + 64]",
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "3:",
            "test {steps}, {steps}",
            "jz 5f",
            "4:",
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
            "jnz 4b",
            "5:",
            "tilestored [{tile} + {tile_stride}*1], tmm0",
            "tilestored [{tile} + {tile_stride}*1 + 64], tmm1",
            "tilestored [{lower} + {tile_stride}*1], tmm2",
            "tilestored [{lower} + {tile_stride}*1 + 64], tmm3",
            accumulate = in(reg) u32::from(accumulate),
            tile = in(reg) tile,
            lower = in(reg) tile.add(16 * stride),
            tile_stride = in(reg) 4 * stride,
            pair_bytes = in(reg) PAIR_BYTES,
            left = inout(reg) left => _,
            left_bytes = in(reg) LEFT_BYTES,
            right = inout(reg) right => _,
            steps = inout(reg) steps => _,
            options(nostack),
        );
    }
}
