//! Products of matrices that are used once: in training, weights change with every step, and gradients are products of what
//! neither side of has been packed.

use super::kernel::Kernel;
use super::linear::{Store, linear};
use super::packed::PackedMatrix;
use super::rows::Rows;
use crate::target::Target;
use crate::transpose::transpose;
use rayon::prelude::*;

/// `a b^T + residual`, `[m, depth]`, `[n, depth] -> [m, n]`.
///
/// # Panics
/// If shapes do not fit.
pub fn times_transposed(a: Rows<'_>, b: Rows<'_>, residual: Option<Rows<'_>>, kernel: Kernel) -> Vec<f32> {
    times_packed(a, &PackedMatrix::with_kernel(b, kernel), residual)
}

/// `a b`, `[m, depth]`, `[depth, n] -> [m, n]`.
///
/// # Panics
/// If shapes do not fit.
pub fn times(a: Rows<'_>, b: Rows<'_>, kernel: Kernel) -> Vec<f32> {
    times_packed(a, &PackedMatrix::transposed(b, kernel), None)
}

/// [`times`] and [`times_transposed`] with the second matrix packed before.
///
/// # Panics
/// If shapes do not fit.
pub fn times_packed(a: Rows<'_>, b: &PackedMatrix, residual: Option<Rows<'_>>) -> Vec<f32> {
    let mut out = vec![0.0; a.rows * b.outputs()];
    match residual {
        None => linear(a, b, None, &mut out),
        Some(residual) => super::linear_residual(a, b, None, residual, None, &mut out),
    }
    out
}

/// `a^T b`, `[depth, m]`, `[depth, n] -> [m, n]`: the gradient of weights, `depth` being the rows of a batch.
///
/// # Panics
/// If shapes do not fit.
pub fn transposed_times(a: Rows<'_>, b: Rows<'_>, kernel: Kernel) -> Vec<f32> {
    assert_eq!(a.rows, b.rows, "as many rows on both sides");
    // The narrower side is turned: the other is packed as it lies.
    if a.columns > b.columns {
        let turned = transposed_times(b, a, kernel);
        let mut out = vec![0.0; turned.len()];
        transpose(&turned, a.columns, b.columns, a.columns, &mut out, b.columns);
        return out;
    }
    let mut out = vec![0.0; a.columns * b.columns];
    if a.rows == 0 || out.is_empty() {
        return out;
    }
    let (numbers, stride) = turned(a);
    let left = Rows { data: &numbers, rows: a.columns, columns: a.rows, stride };
    let right = PackedMatrix::transposed(b, kernel);
    let target = Target::new(&mut out, b.columns);
    // Each job packs its rows, which are long: few jobs, many panels.
    let share = right.panels().div_ceil(2 * rayon::current_num_threads()).max(1);
    let jobs: Vec<_> = (0..left.rows)
        .step_by(kernel.block_rows())
        .flat_map(|row| (0..right.panels()).step_by(share).map(move |panel| (row, panel)))
        .collect();
    jobs.into_par_iter().for_each(|(first, panel)| {
        let rows = first..left.rows.min(first + kernel.block_rows());
        let panels = panel..right.panels().min(panel + share);
        let store = Store { bias: None, residual: None, first, out: target };
        super::dispatch::multiply(left.slice(rows), &right, panels, store);
    });
    out
}

/// Columns as rows, and how far these are apart: not a power of two, whose multiples fall into few sets of the cache.
fn turned(x: Rows<'_>) -> (Vec<f32>, usize) {
    /// Columns that one thread turns at a time: a cache line of them.
    const COLUMNS: usize = 16;
    let stride = x.rows.next_multiple_of(16) + 16;
    let mut numbers = vec![0.0; x.columns * stride];
    numbers.par_chunks_mut(COLUMNS * stride).enumerate().for_each(|(part, numbers)| {
        let first = part * COLUMNS;
        let columns = COLUMNS.min(x.columns - first);
        transpose(&x.data[first..], x.stride, x.rows, columns, numbers, stride);
    });
    (numbers, stride)
}

#[cfg(test)]
mod tests {
    use super::super::Precision;
    use super::*;
    use proptest::prelude::*;

    fn numbers(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
        (0..rows * columns).map(|i| ((i as u64 + 1).wrapping_mul(seed) % 257) as f32 / 128.0 - 1.0).collect()
    }

    /// `sum_k a(i, k) b(k, j)` for all `i`, `j`, close to what is there.
    fn check(
        out: &[f32],
        [m, depth, n]: [usize; 3],
        a: impl Fn(usize, usize) -> f32,
        b: impl Fn(usize, usize) -> f32,
        kernel: Kernel,
    ) {
        assert_eq!(out.len(), m * n);
        let tolerance = if kernel.precision() == Precision::F32 { 1e-5 } else { 1.0 / 128.0 };
        for i in 0..m {
            for j in 0..n {
                let terms = (0..depth).map(|k| f64::from(a(i, k)) * f64::from(b(k, j)));
                let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
                let off = (f64::from(out[i * n + j]) - sum).abs();
                assert!(off <= tolerance * size + 1e-6, "{kernel}: {i}, {j} is {off} off");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn are_the_sums_of_products(m in 1usize..70, depth in 1usize..1200, n in 1usize..70) {
            let (a, b) = (numbers(m, depth, 7919), numbers(depth, n, 104_729));
            let at = |numbers: &[f32], columns: usize, i: usize, j: usize| numbers[i * columns + j];
            let turn = |x: &[f32], rows: usize, columns: usize| {
                let mut out = vec![0.0; x.len()];
                transpose(x, columns, rows, columns, &mut out, rows);
                out
            };
            let (a_turned, b_turned) = (turn(&a, m, depth), turn(&b, depth, n));
            for precision in [Precision::F32, Precision::Bf16] {
                for &kernel in Kernel::all(precision) {
                    let one = |out: &[f32]| {
                        check(out, [m, depth, n], |i, k| at(&a, depth, i, k), |k, j| at(&b, n, k, j), kernel);
                    };
                    one(&times(Rows::new(&a, depth), Rows::new(&b, n), kernel));
                    one(&times_transposed(Rows::new(&a, depth), Rows::new(&b_turned, depth), None, kernel));
                    one(&transposed_times(Rows::new(&a_turned, m), Rows::new(&b, n), kernel));
                }
            }
        }
    }
}
