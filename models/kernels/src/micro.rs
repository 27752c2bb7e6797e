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

/// A left operand, and how far its rows or, of the transpose, its columns are apart.
#[derive(Clone, Copy)]
pub(crate) enum Left {
    /// Numbers of a row lie side by side.
    Rows(*const f32, usize),
    /// Numbers of a depth lie side by side.
    Depths(*const f32, usize),
}

/// `acc += left * right` over `depth` products. `right` is `[depth, NV vectors]`, rows `right_stride` apart.
///
/// By depths is faster: addresses of rows that are some distance apart are computed in the place of products.
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
    let mut b = right;
    // SAFETY: the caller vouches for `depth` rows of both operands.
    unsafe {
        match left {
            Left::Depths(mut a, stride) => {
                for _ in 0..depth {
                    step(simd, |i| *a.add(i), b, &mut sums);
                    a = a.add(stride);
                    b = b.add(right_stride);
                }
            }
            Left::Rows(mut a, stride) => {
                for _ in 0..depth {
                    step(simd, |i| *a.add(i * stride), b, &mut sums);
                    a = a.add(1);
                    b = b.add(right_stride);
                }
            }
        }
    }
    *acc = sums;
}

/// The products of one depth. A vector is plain floats, so it may be read unaligned.
#[inline(always)]
unsafe fn step<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    left: impl Fn(usize) -> f32,
    right: *const f32,
    sums: &mut [[S::f32s; NV]; MR],
) {
    let mut columns = [simd.splat_f32s(0.0); NV];
    for (j, column) in columns.iter_mut().enumerate() {
        // SAFETY: the caller vouches for `NV` vectors.
        *column = unsafe { right.add(j * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
    }
    for (i, sums) in sums.iter_mut().enumerate() {
        let factor = simd.splat_f32s(left(i));
        for (sum, &column) in sums.iter_mut().zip(&columns) {
            *sum = simd.mul_add_e_f32s(factor, column, *sum);
        }
    }
}
