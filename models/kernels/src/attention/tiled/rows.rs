//! What is done to one row of numbers.

use crate::vectorize::vectorize;

/// Folds a row in 16 independent lanes: an order the vector units can follow and that never changes.
#[inline(always)]
pub(super) fn lanes(row: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = f(*lane, x);
        }
    }
    let total = lanes.into_iter().fold(start, &f);
    rest.iter().copied().fold(total, f)
}

/// The sum of a row.
pub(super) fn total(row: &[f32]) -> f32 {
    vectorize(
        #[inline(always)]
        || lanes(row, 0.0, |a, b| a + b),
    )
}

pub(super) fn scale(row: &mut [f32], factor: f32) {
    for x in row {
        *x *= factor;
    }
}

/// Divides each row of `dim` numbers by its sum of weights; a row without weights becomes 0.
pub(super) fn divide(rows: &mut [f32], sums: &[f32], dim: usize) {
    for (row, &sum) in rows.chunks_exact_mut(dim.max(1)).zip(sums) {
        scale(row, if sum > 0.0 { sum.recip() } else { 0.0 });
    }
}

/// Divides each row by its length; a row of zeros stays.
pub(super) fn unit(rows: &mut [f32], dim: usize) {
    for row in rows.chunks_exact_mut(dim.max(1)) {
        let square: f32 = row.iter().map(|x| x * x).sum();
        scale(row, if square > 0.0 { square.sqrt().recip() } else { 0.0 });
    }
}
