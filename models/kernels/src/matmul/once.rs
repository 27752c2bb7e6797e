//! Products of matrices that are used once: in training, weights change with every step, and gradients are products of what
//! neither side of has been packed.
//!
//! In f32 the `gemm` crate reads either side transposed in place, which is faster than our own micro-kernel with the packing
//! before it, but for gradients of weights, whose sides need none; in bf16 there is no other for AMX.

use super::kernel::{Kernel, Precision};
use super::linear::{Store, linear_residual_to, linear_to};
use super::packed::PackedMatrix;
use super::product;
use super::rows::Rows;
use crate::aligned::Aligned;
use crate::target::Target;
use crate::transpose::transpose;
use rayon::prelude::*;

/// The right side of products, `[depth, n]`, ready for some rows of the left side at a time.
pub struct Factor<'a>(Form<'a>);

enum Form<'a> {
    /// As it lies, or its transpose.
    InPlace(Rows<'a>, bool),
    Packed(PackedMatrix),
}

impl<'a> Factor<'a> {
    /// `[depth, n]` as it is.
    pub fn new(b: Rows<'a>, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self(Form::InPlace(b, false)),
            Precision::Bf16 => Self::packed(b, Kernel::best(precision)),
        }
    }

    /// The transpose of `[n, depth]`.
    pub fn transposed(b: Rows<'a>, precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self(Form::InPlace(b, true)),
            Precision::Bf16 => Self::packed_transposed(b, Kernel::best(precision)),
        }
    }

    fn packed(b: Rows<'_>, kernel: Kernel) -> Self {
        Self(Form::Packed(PackedMatrix::transposed(b, kernel)))
    }

    fn packed_transposed(b: Rows<'_>, kernel: Kernel) -> Self {
        Self(Form::Packed(PackedMatrix::with_kernel(b, kernel)))
    }

    /// `n`
    pub fn columns(&self) -> usize {
        match &self.0 {
            Form::InPlace(b, false) => b.columns,
            Form::InPlace(b, true) => b.rows,
            Form::Packed(b) => b.outputs(),
        }
    }

    /// `a b`, or `a b + residual`: `[m, depth] -> [m, n]`.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn product(&self, a: Rows<'_>, residual: Option<Rows<'_>>) -> Vec<f32> {
        let columns = self.columns();
        match &self.0 {
            Form::InPlace(b, transposed) => {
                let b = if *transposed { Side::transpose(*b) } else { Side::new(*b) };
                let Some(residual) = residual else { return in_place(Side::new(a), b) };
                assert_eq!((residual.rows, residual.columns), (a.rows, columns), "a row for each row");
                let mut out = Vec::with_capacity(a.rows * columns);
                (0..a.rows).for_each(|row| out.extend_from_slice(residual.row(row)));
                // SAFETY: all of it was written just now.
                unsafe { product_to(Side::new(a), b, true, out.as_mut_ptr(), out.len()) };
                out
            }
            Form::Packed(b) => {
                let mut out = Box::new_uninit_slice(a.rows * columns);
                let target = Target::unwritten(&mut out, columns);
                match residual {
                    None => linear_to(a, b, None, target),
                    Some(residual) => linear_residual_to(a, b, None, residual, None, target),
                }
                // SAFETY: a product writes all of its target.
                unsafe { out.assume_init() }.into_vec()
            }
        }
    }
}

/// `a^T b`, `[depth, m]`, `[depth, n] -> [m, n]`: the gradient of weights, `depth` being the rows of a batch.
///
/// # Panics
/// If shapes do not fit.
pub fn transposed_times(a: Rows<'_>, b: Rows<'_>, precision: Precision) -> Vec<f32> {
    match precision {
        Precision::F32 => {
            let mut out = vec![0.0; a.columns * b.columns];
            add_by_depths(a, b, &mut out);
            out
        }
        Precision::Bf16 => packed_transposed_times(a, b, Kernel::best(precision)),
    }
}

/// `out += a^T b`, as [`transposed_times`]: a gradient that comes in parts.
///
/// # Panics
/// If shapes do not fit.
pub fn add_transposed_times(a: Rows<'_>, b: Rows<'_>, precision: Precision, out: &mut [f32]) {
    assert_eq!(out.len(), a.columns * b.columns, "out has another shape");
    match precision {
        Precision::F32 => add_by_depths(a, b, out),
        Precision::Bf16 => {
            let part = packed_transposed_times(a, b, Kernel::best(precision));
            let rows = out.par_chunks_mut(b.columns.max(1)).zip(part.par_chunks(b.columns.max(1)));
            rows.for_each(|(sums, part)| sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x));
        }
    }
}

/// `out += a^T b` in f32: the micro-kernel reads both sides depth by depth, as they lie.
fn add_by_depths(a: Rows<'_>, b: Rows<'_>, out: &mut [f32]) {
    /// Rows of the result that a job takes, at most, and depths at a time: what fits into the cache of a core.
    const ROWS: usize = 384;
    const DEPTH: usize = 128;
    assert_eq!(a.rows, b.rows, "as many rows on both sides");
    if out.is_empty() {
        return;
    }
    // As many jobs for each thread, and few: each reads all of the other side. A sum does not depend on its job. Tiles of the
    // micro-kernel have twelve rows, or six.
    let threads = rayon::current_num_threads();
    let rows = a.columns.div_ceil(threads * a.columns.div_ceil(threads * ROWS)).next_multiple_of(12);
    let jobs = out.par_chunks_mut(rows * b.columns).enumerate();
    jobs.for_each_init(Aligned::default, |left, (job, out)| {
        let columns = job * rows..a.columns.min((job + 1) * rows);
        for first in (0..a.rows).step_by(DEPTH) {
            let depths = first..a.rows.min(first + DEPTH);
            // Columns that lie far apart fall into few sets of the cache.
            left.resize(depths.len() * columns.len());
            for (left, depth) in left.chunks_exact_mut(columns.len()).zip(depths.clone()) {
                left.copy_from_slice(&a.row(depth)[columns.clone()]);
            }
            let left = Rows::packed(left, depths.len(), columns.len());
            product::add_transposed(out, left, b.slice(depths));
        }
    });
}

/// A matrix with the distances of its rows and of its columns.
#[derive(Clone, Copy)]
struct Side<'a> {
    x: Rows<'a>,
    rows: (usize, usize),
    columns: (usize, usize),
}

impl<'a> Side<'a> {
    fn new(x: Rows<'a>) -> Self {
        Self { x, rows: (x.rows, x.stride), columns: (x.columns, 1) }
    }

    fn transpose(x: Rows<'a>) -> Self {
        Self { x, rows: (x.columns, 1), columns: (x.rows, x.stride) }
    }
}

/// `a b`
fn in_place(a: Side<'_>, b: Side<'_>) -> Vec<f32> {
    let mut out = Box::<[f32]>::new_uninit_slice(a.rows.0 * b.columns.0);
    // SAFETY: what is not added to is not read; all of it is written.
    unsafe {
        product_to(a, b, false, out.as_mut_ptr().cast(), out.len());
        out.assume_init().into_vec()
    }
}

/// `out (+)= a b`. A sum is taken by one thread, in the order of the depth, whatever the number of threads.
///
/// # Safety
/// `out` is `len` numbers that nobody else uses; if they are added to, they have been written.
unsafe fn product_to(a: Side<'_>, b: Side<'_>, add: bool, out: *mut f32, len: usize) {
    let (m, depth, n) = (a.rows.0, a.columns.0, b.columns.0);
    assert_eq!((b.rows.0, len), (depth, m * n), "as deep on both sides");
    for Side { x, .. } in [&a, &b] {
        x.check();
    }
    let distance = |(_, stride): (usize, usize)| stride as isize;
    // SAFETY: every element of the sides lies in its slice, by the assertions; the target by the caller's word.
    unsafe {
        gemm::gemm(
            m,
            n,
            depth,
            out,
            1,
            n as isize,
            add,
            a.x.data.as_ptr(),
            distance(a.columns),
            distance(a.rows),
            b.x.data.as_ptr(),
            distance(b.columns),
            distance(b.rows),
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}

/// [`transposed_times`] by packing.
fn packed_transposed_times(a: Rows<'_>, b: Rows<'_>, kernel: Kernel) -> Vec<f32> {
    assert_eq!(a.rows, b.rows, "as many rows on both sides");
    // The narrower side is turned: the other is packed as it lies.
    if a.columns > b.columns {
        let turned = packed_transposed_times(b, a, kernel);
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
        precision: Precision,
    ) {
        assert_eq!(out.len(), m * n);
        let tolerance = if precision == Precision::F32 { 1e-5 } else { 1.0 / 128.0 };
        for i in 0..m {
            for j in 0..n {
                let terms = (0..depth).map(|k| f64::from(a(i, k)) * f64::from(b(k, j)));
                let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
                let off = (f64::from(out[i * n + j]) - sum).abs();
                assert!(off <= tolerance * size + 1e-6, "{precision:?}: {i}, {j} is {off} off");
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
            let [plain_a, plain_b] = [Rows::new(&a, depth), Rows::new(&b, n)];
            let [turned_a, turned_b] = [Rows::new(&a_turned, m), Rows::new(&b_turned, depth)];
            let one = |out: &[f32], precision| {
                check(out, [m, depth, n], |i, k| at(&a, depth, i, k), |k, j| at(&b, n, k, j), precision);
            };
            for precision in [Precision::F32, Precision::Bf16] {
                one(&Factor::new(plain_b, precision).product(plain_a, None), precision);
                one(&Factor::transposed(turned_b, precision).product(plain_a, None), precision);
                one(&transposed_times(turned_a, plain_b, precision), precision);
                let mut sum = vec![2.5; m * n];
                add_transposed_times(turned_a, plain_b, precision, &mut sum);
                one(&sum.into_iter().map(|x| x - 2.5).collect::<Vec<_>>(), precision);
                let residual = vec![2.5; m * n];
                let sum = Factor::new(plain_b, precision).product(plain_a, Some(Rows::new(&residual, n)));
                one(&sum.into_iter().map(|x| x - 2.5).collect::<Vec<_>>(), precision);
            }
            // The packed forms, by every micro-kernel.
            for &kernel in Kernel::all(Precision::F32).iter().chain(Kernel::all(Precision::Bf16)) {
                one(&Factor::packed(plain_b, kernel).product(plain_a, None), kernel.precision());
                one(&Factor::packed_transposed(turned_b, kernel).product(plain_a, None), kernel.precision());
                one(&packed_transposed_times(turned_a, plain_b, kernel), kernel.precision());
            }
        }
    }
}
