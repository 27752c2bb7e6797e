//! bf16 instructions of x86: both operands are pairs of neighbouring depths.

pub(super) mod amx;
pub(super) mod avx512;
#[cfg(test)]
mod tests;

use super::rows::Rows;
use crate::bf16;

/// Rows rounded to bf16, each padded to `depth`, followed by as many rows of zeros as fill the last strip.
#[inline(always)]
fn pack(x: Rows<'_>, depth: usize, out: &mut [u16]) {
    for (i, target) in out.chunks_exact_mut(depth.max(1)).enumerate() {
        if i < x.rows {
            let row = x.row(i);
            bf16::round_all(row, target);
            target[row.len()..].fill(0);
        } else {
            target.fill(0);
        }
    }
}
