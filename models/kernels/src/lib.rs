//! CPU kernels for attention and its neighbours: plain slices in, plain slices out.
//!
//! Nothing here knows a tensor library, a model or a file. The crate is optimised even in test builds, picks
//! its instruction set at run time (AVX-512, AVX2 with FMA, NEON, or portable code) and gives the same bits for
//! any number of threads, because the order of every sum is fixed by the shapes alone.

#![allow(
    clippy::inline_always,
    reason = "the vector unit is chosen around a loop: what is not inlined into it is not vectorised"
)]

pub mod adamw;
mod aligned;
#[cfg(target_arch = "x86_64")]
mod amx;
pub mod attention;
pub mod bf16;
mod exp;
pub mod loss;
pub mod matmul;
mod micro;
mod prefetch;
pub mod rotary;
mod target;
mod transpose;
mod vectorize;
