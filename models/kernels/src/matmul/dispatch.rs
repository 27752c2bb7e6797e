//! From packed weights to the micro-kernel that they were packed for.

use super::block::{self, Finished, Scratch};
use super::kernel::Kernel;
use super::packed::{PackedMatrix, Store};
use super::rows::Rows;
use super::vector::{Vector, Widened};
use pulp::{Simd, WithSimd};
use std::cell::RefCell;
use std::ops::Range;

/// Rows times some panels of packed weights; `finish` gets every finished tile, and is compiled for the vector unit.
pub(super) fn multiply(
    x: Rows<'_>,
    weights: &PackedMatrix,
    panels: Range<usize>,
    finish: impl FnMut(Finished<'_>),
) {
    thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());
    assert_eq!(x.columns, weights.depth(), "rows as long as the weights are deep");
    // Taken, not borrowed: a thread that waits inside may start another product.
    let mut scratch = SCRATCH.take();
    let call = Call { x, weights, panels, scratch: &mut scratch, finish };
    match (weights.kernel(), weights.store()) {
        (Kernel::F32(arch), Store::F32(stored)) => arch.dispatch(F32 { call, stored: stored.as_slice() }),
        (Kernel::Widened(arch), Store::Bf16(stored)) => {
            arch.dispatch(Bf16 { call, stored: stored.as_slice() });
        }
        #[cfg(target_arch = "x86_64")]
        (Kernel::Avx512Bf16(v4), Store::Bf16(stored)) => {
            Simd::vectorize(
                v4,
                Pairs { call, stored: stored.as_slice(), tile: super::pairs::avx512::Avx512 },
            );
        }
        #[cfg(target_arch = "x86_64")]
        (Kernel::Amx(v4), Store::Bf16(stored)) => {
            Simd::vectorize(v4, Pairs { call, stored: stored.as_slice(), tile: super::pairs::amx::Amx });
        }
        _ => unreachable!("weights are stored as their kernel reads them"),
    }
    SCRATCH.set(scratch);
}

struct Call<'a, F> {
    x: Rows<'a>,
    weights: &'a PackedMatrix,
    panels: Range<usize>,
    scratch: &'a mut Scratch,
    finish: F,
}

struct F32<'a, F> {
    call: Call<'a, F>,
    stored: &'a [f32],
}

impl<F: FnMut(Finished<'_>)> WithSimd for F32<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Call { x, weights, panels, scratch, finish } = self.call;
        let stored = self.stored;
        // The branches that are not taken are removed: the number of lanes is a constant.
        match S::F32_LANES {
            16 => block::multiply(Vector::<S, 12, 2>(simd), x, weights, stored, panels, scratch, finish),
            8 => block::multiply(Vector::<S, 6, 2>(simd), x, weights, stored, panels, scratch, finish),
            4 => block::multiply(Vector::<S, 6, 4>(simd), x, weights, stored, panels, scratch, finish),
            _ => block::multiply(Vector::<S, 4, 16>(simd), x, weights, stored, panels, scratch, finish),
        }
    }
}

struct Bf16<'a, F> {
    call: Call<'a, F>,
    stored: &'a [u16],
}

impl<F: FnMut(Finished<'_>)> WithSimd for Bf16<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Call { x, weights, panels, scratch, finish } = self.call;
        let stored = self.stored;
        match S::F32_LANES {
            16 => block::multiply(Widened::<S, 12, 2>(simd), x, weights, stored, panels, scratch, finish),
            8 => block::multiply(Widened::<S, 6, 2>(simd), x, weights, stored, panels, scratch, finish),
            4 => block::multiply(Widened::<S, 6, 4>(simd), x, weights, stored, panels, scratch, finish),
            _ => block::multiply(Widened::<S, 4, 16>(simd), x, weights, stored, panels, scratch, finish),
        }
    }
}

#[cfg(target_arch = "x86_64")]
struct Pairs<'a, F, T> {
    call: Call<'a, F>,
    stored: &'a [u16],
    tile: T,
}

#[cfg(target_arch = "x86_64")]
impl<F: FnMut(Finished<'_>), T: block::Tile<Left = u16, Stored = u16, Right = u16>> WithSimd
    for Pairs<'_, F, T>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Call { x, weights, panels, scratch, finish } = self.call;
        block::multiply(self.tile, x, weights, self.stored, panels, scratch, finish);
    }
}
