//! From packed weights to the micro-kernel that they were packed for.

use super::block::{self, Scratch, Sink, Tile};
use super::kernel::Kernel;
use super::packed::PackedMatrix;
use super::rows::Rows;
use super::vector::{Vector, Widened};
use pulp::{Simd, WithSimd};
use std::cell::RefCell;
use std::ops::Range;

/// Work for a micro-kernel. Mark `run` `#[inline(always)]`: it is compiled for the vector unit.
pub(super) trait Job {
    /// Does it.
    fn run<T: Tile>(self, tile: T, scratch: &mut Scratch);
}

/// Runs a job on a micro-kernel.
pub(super) fn dispatch(kernel: Kernel, job: impl Job) {
    thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::default());
    // Taken, not borrowed: a thread that waits inside may start another product.
    let mut scratch = SCRATCH.take();
    let call = Call { job, scratch: &mut scratch };
    match kernel {
        Kernel::F32(arch) => arch.dispatch(OnVectors(call)),
        Kernel::Widened(arch) => arch.dispatch(OnWidened(call)),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512Bf16(v4) => Simd::vectorize(v4, On(call, super::pairs::avx512::Avx512)),
        #[cfg(target_arch = "x86_64")]
        Kernel::Amx(v4) => Simd::vectorize(v4, On(call, super::pairs::amx::Amx)),
    }
    SCRATCH.set(scratch);
}

/// Rows times some panels of packed weights; `sink` takes every finished tile, and is compiled for the vector unit.
pub(super) fn multiply(x: Rows<'_>, weights: &PackedMatrix, panels: Range<usize>, sink: impl Sink) {
    assert_eq!(x.columns, weights.depth(), "rows as long as the weights are deep");
    dispatch(weights.kernel(), Product { x, weights, panels, sink });
}

struct Product<'a, K> {
    x: Rows<'a>,
    weights: &'a PackedMatrix,
    panels: Range<usize>,
    sink: K,
}

impl<K: Sink> Job for Product<'_, K> {
    #[inline(always)]
    fn run<T: Tile>(self, tile: T, scratch: &mut Scratch) {
        let Self { x, weights, panels, sink } = self;
        let left = block::pack(tile, x, weights.padded_depth(), &mut scratch.left);
        block::multiply(tile, left, x.rows, weights, panels, &mut scratch.tiles, sink);
    }
}

struct Call<'a, J> {
    job: J,
    scratch: &'a mut Scratch,
}

struct OnVectors<'a, J>(Call<'a, J>);

impl<J: Job> WithSimd for OnVectors<'_, J> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Call { job, scratch } = self.0;
        // The branches that are not taken are removed: the number of lanes is a constant.
        match S::F32_LANES {
            16 => job.run(Vector::<S, 12, 2>(simd), scratch),
            8 => job.run(Vector::<S, 6, 2>(simd), scratch),
            4 => job.run(Vector::<S, 6, 4>(simd), scratch),
            _ => job.run(Vector::<S, 4, 16>(simd), scratch),
        }
    }
}

struct OnWidened<'a, J>(Call<'a, J>);

impl<J: Job> WithSimd for OnWidened<'_, J> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Call { job, scratch } = self.0;
        match S::F32_LANES {
            16 => job.run(Widened::<S, 12, 2>(simd), scratch),
            8 => job.run(Widened::<S, 6, 2>(simd), scratch),
            4 => job.run(Widened::<S, 6, 4>(simd), scratch),
            _ => job.run(Widened::<S, 4, 16>(simd), scratch),
        }
    }
}

/// A micro-kernel of certain instructions.
#[cfg(target_arch = "x86_64")]
struct On<'a, J, T>(Call<'a, J>, T);

#[cfg(target_arch = "x86_64")]
impl<J: Job, T: Tile> WithSimd for On<'_, J, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self(Call { job, scratch }, tile) = self;
        job.run(tile, scratch);
    }
}
