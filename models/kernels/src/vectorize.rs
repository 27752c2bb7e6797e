//! Loops compiled for the best vector unit of this processor.

use pulp::{Arch, Simd, WithSimd};

/// Runs a loop, compiled once for each vector unit. Mark the closure `#[inline(always)]`: what is not inlined into it is
/// compiled for none.
///
/// It takes an `FnMut`, since calling a closure that changes what it borrows as an `FnOnce` goes through a shim of the
/// compiler's that is not always inlined.
#[inline(always)]
pub(crate) fn vectorize<R>(f: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Loop(f))
}

struct Loop<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Loop<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}
