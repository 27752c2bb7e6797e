//! Small dense matrices.

/// A row-major matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    columns: usize,
    data: Vec<f64>,
}

impl Matrix {
    /// Takes elements row by row.
    ///
    /// # Panics
    /// If they are not whole rows.
    pub fn new(columns: usize, data: Vec<f64>) -> Self {
        assert!(
            columns > 0 && data.len().is_multiple_of(columns),
            "{} elements in {columns} columns",
            data.len()
        );
        Self { columns, data }
    }

    /// Element `(i, j)` is `element(i, j)`.
    pub fn from_fn(rows: usize, columns: usize, element: impl Fn(usize, usize) -> f64) -> Self {
        Self::new(columns, (0..rows * columns).map(|at| element(at / columns, at % columns)).collect())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.data.len() / self.columns
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The elements, row by row.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    pub(super) fn row(&self, i: usize) -> &[f64] {
        &self.data[i * self.columns..][..self.columns]
    }

    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f64]> {
        self.data.chunks_exact_mut(self.columns)
    }

    /// `self x`
    pub(super) fn apply(&self, x: &[f64]) -> Vec<f64> {
        self.data.chunks_exact(self.columns).map(|row| dot(row, x)).collect()
    }

    /// `selfᵀ x`
    pub(super) fn apply_transposed(&self, x: &[f64]) -> Vec<f64> {
        let mut y = vec![0.0; self.columns];
        for (row, x) in self.data.chunks_exact(self.columns).zip(x) {
            y.iter_mut().zip(row).for_each(|(y, a)| *y += a * x);
        }
        y
    }

    /// `self += scale * left rightᵀ`
    pub(super) fn add_outer(&mut self, scale: f64, left: &[f64], right: &[f64]) {
        for (row, l) in self.data.chunks_exact_mut(self.columns).zip(left) {
            row.iter_mut().zip(right).for_each(|(a, r)| *a += scale * l * r);
        }
    }

    /// `self other`
    pub(super) fn multiply(&self, other: &Self) -> Self {
        let rows = self.data.chunks_exact(self.columns);
        Self::new(other.columns, rows.flat_map(|row| other.apply_transposed(row)).collect())
    }

    /// `self⁻¹ other` by Gauss elimination with the largest pivot of each column; `self` is square and regular.
    pub(super) fn solve(mut self, mut other: Self) -> Self {
        let n = self.columns;
        for column in 0..n {
            let size = |row: &usize| self.data[row * n + column].abs();
            let pivot = (column..n).max_by(|a, b| size(a).total_cmp(&size(b))).expect("a row");
            self.swap_rows(pivot, column);
            other.swap_rows(pivot, column);
            let scale = 1.0 / self.data[column * n + column];
            for row in (0..n).filter(|&row| row != column) {
                let factor = self.data[row * n + column] * scale;
                self.subtract_row(row, column, factor);
                other.subtract_row(row, column, factor);
            }
        }
        for (i, row) in other.rows_mut().enumerate() {
            for x in row {
                *x /= self.data[i * n + i];
            }
        }
        other
    }

    /// `exp(self)` by scaling and squaring.
    pub(super) fn exp(&self) -> Self {
        let n = self.columns;
        let norm = self.data.chunks_exact(n).map(|row| row.iter().map(|x| x.abs()).sum::<f64>());
        let halvings = norm.fold(0.0, f64::max).log2().ceil().max(0.0) as i32 + 1;
        let identity = Self::from_fn(n, n, |i, j| f64::from(u8::from(i == j)));
        // The norm is at most 1/2 now: 18 terms leave less than rounding.
        let small = Self::new(n, self.data.iter().map(|x| x * f64::from(-halvings).exp2()).collect());
        let mut sum = (1..=18).rev().fold(identity.clone(), |sum, k| {
            let next = small.multiply(&sum);
            Self::from_fn(n, n, |i, j| identity.row(i)[j] + next.row(i)[j] / f64::from(k))
        });
        for _ in 0..halvings {
            sum = sum.multiply(&sum);
        }
        sum
    }

    fn swap_rows(&mut self, a: usize, b: usize) {
        for j in 0..self.columns {
            self.data.swap(a * self.columns + j, b * self.columns + j);
        }
    }

    fn subtract_row(&mut self, from: usize, row: usize, factor: f64) {
        for j in 0..self.columns {
            self.data[from * self.columns + j] -= factor * self.data[row * self.columns + j];
        }
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solving_undoes_multiplying() {
        let a = Matrix::new(3, vec![0.0, 2.0, 1.0, -1.0, 0.5, 3.0, 4.0, 0.0, -2.0]);
        let x = Matrix::new(2, vec![1.0, -2.0, 0.25, 3.0, -5.0, 0.0]);
        let ours = a.clone().solve(a.multiply(&x));
        assert!(ours.data.iter().zip(&x.data).all(|(a, b)| (a - b).abs() < 1e-14));
    }

    #[test]
    fn exponential_of_a_rotation_and_of_a_large_number() {
        let turn = Matrix::new(2, vec![0.0, -3.0, 3.0, 0.0]).exp();
        let expected = [3.0_f64.cos(), -3.0_f64.sin(), 3.0_f64.sin(), 3.0_f64.cos()];
        assert!(turn.data.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14));
        assert!((Matrix::new(1, vec![40.0]).exp().data[0] / 40.0_f64.exp() - 1.0).abs() < 1e-13);
    }
}
