//! The micro-kernel: one tile of a product, held in registers.

use pulp::{Arch, Simd};

/// Columns of the tile on a vector unit: two vectors of AVX-512, else sixteen numbers.
pub(crate) fn columns(arch: Arch) -> usize {
    match arch {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => 32,
        _ => 16,
    }
}

/// Where a tile reads its left operand: element `(row, k)` is `data[row * row_stride + k * k_stride]`.
#[derive(Clone, Copy)]
pub(crate) struct Left {
    pub(crate) data: *const f32,
    pub(crate) row_stride: usize,
    pub(crate) k_stride: usize,
}

/// `acc += left * right` over `depth` products. `right` is `[depth, NV vectors]`, rows `right_stride` apart.
///
/// # Safety
/// `left` is readable for `MR` rows of `depth`, `right` for `depth` rows of `NV` vectors.
#[inline(always)]
pub(crate) unsafe fn multiply_add<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    depth: usize,
    left: Left,
    right: *const f32,
    right_stride: usize,
    acc: &mut [[S::f32s; NV]; MR],
) {
    let mut sums = *acc;
    let (mut a, mut b) = (left.data, right);
    for _ in 0..depth {
        // SAFETY: the caller vouches for `depth` rows of both operands; a vector is plain floats, so it may be read
        // unaligned.
        unsafe {
            let mut columns = [simd.splat_f32s(0.0); NV];
            for (j, column) in columns.iter_mut().enumerate() {
                *column = b.add(j * S::F32_LANES).cast::<S::f32s>().read_unaligned();
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let factor = simd.splat_f32s(*a.add(i * left.row_stride));
                for (sum, &column) in sums.iter_mut().zip(&columns) {
                    *sum = simd.mul_add_e_f32s(factor, column, *sum);
                }
            }
            a = a.add(left.k_stride);
            b = b.add(right_stride);
        }
    }
    *acc = sums;
}
