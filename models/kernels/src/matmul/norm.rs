//! Normalisation of rows.

use super::rows::Rows;
use crate::vectorize::vectorize;
use rayon::prelude::*;

/// Layer normalisation (Ba et al. 2016): `(x - mean) / sqrt(variance + epsilon) * gamma + beta` over each row.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// Factors, one a column.
    pub gamma: Vec<f32>,
    /// Summands, one a column.
    pub beta: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl LayerNorm {
    /// Normalises one row in place.
    #[inline(always)]
    pub(super) fn apply(&self, row: &mut [f32]) {
        let n = row.len() as f32;
        let mean = sum(row, |x| x) / n;
        let variance = sum(row, |x| (x - mean) * (x - mean)) / n;
        let factor = 1.0 / (variance + self.epsilon).sqrt();
        for ((x, gamma), beta) in row.iter_mut().zip(&self.gamma).zip(&self.beta) {
            *x = ((*x - mean) * factor).mul_add(*gamma, *beta);
        }
    }
}

/// Root mean square normalisation (Zhang & Sennrich 2019): `x / sqrt(mean(x^2) + epsilon) * gamma` over each row.
///
/// # Panics
/// If shapes do not fit.
pub fn rms_norm(x: Rows<'_>, gamma: &[f32], epsilon: f32, out: &mut [f32]) {
    let columns = x.columns;
    assert_eq!((gamma.len(), out.len()), (columns, x.rows * columns), "rows as wide as the norm");
    // Enough numbers to be worth a task.
    let rows_a_task = (1_usize << 14).div_ceil(columns);
    out.par_chunks_mut(columns * rows_a_task).enumerate().for_each(|(task, out)| {
        vectorize(
            #[inline(always)]
            || {
                for (i, out) in out.chunks_exact_mut(columns).enumerate() {
                    let row = x.row(task * rows_a_task + i);
                    let factor = 1.0 / (sum(row, |x| x * x) / columns as f32 + epsilon).sqrt();
                    for ((out, &x), &gamma) in out.iter_mut().zip(row).zip(gamma) {
                        *out = x * factor * gamma;
                    }
                }
            },
        );
    });
}

/// Sum in 16 independent lanes: an order that vector units can follow and that never changes.
#[inline(always)]
fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    lanes.into_iter().sum::<f32>() + rest.iter().map(|&x| f(x)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_mean_square_agrees_with_f64_for_any_number_of_rows() {
        let (rows, columns) = (1500, 75);
        let x: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 0.37).sin() * 3.0 + 1.0).collect();
        let gamma: Vec<f32> = (0..columns).map(|i| 1.0 + i as f32 / 75.0).collect();
        let mut out = vec![0.0; x.len()];
        rms_norm(Rows::new(&x, columns), &gamma, 1e-5, &mut out);
        for (row, out) in x.chunks_exact(columns).zip(out.chunks_exact(columns)) {
            let square = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / columns as f64;
            for ((&x, &gamma), &out) in row.iter().zip(&gamma).zip(out) {
                let expected = f64::from(x) / (square + 1e-5).sqrt() * f64::from(gamma);
                assert!((f64::from(out) - expected).abs() < 1e-5, "{out} instead of {expected}");
            }
        }
    }

    #[test]
    fn agrees_with_f64() {
        let row: Vec<f32> = (0..77).map(|i| (i as f32 * 0.37).sin() * 3.0 + 5.0).collect();
        let norm = LayerNorm {
            gamma: (0..77).map(|i| 1.0 + i as f32 / 77.0).collect(),
            beta: (0..77).map(|i| i as f32 / 10.0).collect(),
            epsilon: 1e-12,
        };
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / 77.0;
        let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 77.0;
        let mut ours = row.clone();
        norm.apply(&mut ours);
        for (i, x) in ours.into_iter().enumerate() {
            let expected = (f64::from(row[i]) - mean) / variance.sqrt() * f64::from(norm.gamma[i])
                + f64::from(norm.beta[i]);
            assert!((f64::from(x) - expected).abs() < 1e-5, "{i}: {x} instead of {expected}");
        }
    }
}
