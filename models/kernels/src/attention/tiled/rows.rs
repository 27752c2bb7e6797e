//! What is done to one row of numbers.

use crate::vectorize::vectorize;

/// Numbers that are folded side by side: a fold waits for the one before it, so one vector at a time would do little.
const LANES: usize = 32;

/// Folds a row in independent lanes and these pair by pair: an order the vector units can follow and that never changes.
#[inline(always)]
fn lanes(row: &[f32], start: f32, f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = f(*lane, x);
        }
    }
    rest.iter().copied().fold(together(lanes, &f), f)
}

#[inline(always)]
fn together(mut lanes: [f32; LANES], f: &impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
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
