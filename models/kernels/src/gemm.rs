//! A safe face on the `gemm` crate: one thread, strided operands, bounds checked once per call.

/// A matrix inside a slice: element `(i, j)` is `data[i * row_stride + j]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
}

impl Matrix<'_> {
    fn fits(&self) -> bool {
        span(self.rows, self.columns, self.row_stride) <= self.data.len()
    }
}

/// Elements from the first to one past the last of a strided matrix.
fn span(rows: usize, columns: usize, row_stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + columns }
}

/// `out = alpha * a * b^T`, `a` being `[m, k]`, `b` `[n, k]`, `out` `[m, n]` with rows `n` apart.
pub(crate) fn multiply_transposed(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>, alpha: f32) {
    assert!(a.columns == b.columns && a.fits() && b.fits() && a.rows * b.rows <= out.len());
    let (a_stride, b_stride) = (a.row_stride as isize, b.row_stride as isize);
    // SAFETY: the assertion above puts every element that the strides reach inside `a`, `b` and `out`; `out` is
    // borrowed mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            a.rows,
            b.rows,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.rows as isize,
            false,
            a.data.as_ptr(),
            1,
            a_stride,
            b.data.as_ptr(),
            b_stride,
            1,
            0.0,
            alpha,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// `out += a * b`, `a` being `[m, k]`, `b` `[k, n]`, `out` `[m, n]` with rows `n` apart.
pub(crate) fn multiply_add(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert!(a.columns == b.rows && a.fits() && b.fits() && a.rows * b.columns <= out.len());
    let (a_stride, b_stride) = (a.row_stride as isize, b.row_stride as isize);
    // SAFETY: as in `multiply_transposed`.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            true,
            a.data.as_ptr(),
            1,
            a_stride,
            b.data.as_ptr(),
            1,
            b_stride,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// `out += a^T * b`, `a` being `[k, m]`, `b` `[k, n]`, `out` `[m, n]` with rows `n` apart.
pub(crate) fn multiply_add_transposed(out: &mut [f32], a: Matrix<'_>, b: Matrix<'_>) {
    assert!(a.rows == b.rows && a.fits() && b.fits() && a.columns * b.columns <= out.len());
    let (a_stride, b_stride) = (a.row_stride as isize, b.row_stride as isize);
    // SAFETY: as in `multiply_transposed`.
    unsafe {
        gemm::gemm(
            a.columns,
            b.columns,
            a.rows,
            out.as_mut_ptr(),
            1,
            b.columns as isize,
            true,
            a.data.as_ptr(),
            a_stride,
            1,
            b.data.as_ptr(),
            1,
            b_stride,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_the_definition_on_strided_operands() {
        let (m, n, k) = (5, 7, 3);
        let a: Vec<f32> = (0..m * 10).map(|i| (i as f32 * 0.7).sin()).collect();
        let b: Vec<f32> = (0..n * 10).map(|i| (i as f32 * 0.3).cos()).collect();
        let mut out = vec![f32::NAN; m * n];
        multiply_transposed(
            &mut out,
            Matrix { data: &a, rows: m, columns: k, row_stride: 10 },
            Matrix { data: &b, rows: n, columns: k, row_stride: 10 },
            0.5,
        );
        for i in 0..m {
            for j in 0..n {
                let expected: f32 = (0..k).map(|l| 0.5 * a[i * 10 + l] * b[j * 10 + l]).sum();
                assert!((out[i * n + j] - expected).abs() < 1e-5);
            }
        }
        let mut sum = vec![1.0; m * 3];
        multiply_add(
            &mut sum,
            Matrix { data: &out, rows: m, columns: n, row_stride: n },
            Matrix { data: &b, rows: n, columns: 3, row_stride: 10 },
        );
        for i in 0..m {
            for j in 0..3 {
                let expected: f32 = (0..n).map(|l| out[i * n + l] * b[l * 10 + j]).sum();
                assert!((sum[i * 3 + j] - 1.0 - expected).abs() < 1e-5);
            }
        }
        let mut sum = vec![1.0; n * k];
        multiply_add_transposed(
            &mut sum,
            Matrix { data: &out, rows: m, columns: n, row_stride: n },
            Matrix { data: &a, rows: m, columns: k, row_stride: 10 },
        );
        for i in 0..n {
            for j in 0..k {
                let expected: f32 = (0..m).map(|l| out[l * n + i] * a[l * 10 + j]).sum();
                assert!((sum[i * k + j] - 1.0 - expected).abs() < 1e-5);
            }
        }
    }
}
