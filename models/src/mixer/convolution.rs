//! Long convolutions in `n log n`.

use std::f64::consts::PI;

type Complex = (f64, f64);

/// `y_t = sum over s <= t of kernel_{t-s} u_s`, as long as `u`; the kernel is not longer.
pub(super) fn causal(kernel: &[f64], u: &[f64]) -> Vec<f64> {
    // Room for the part of the full convolution that would otherwise wrap around.
    let size = (kernel.len() + u.len()).next_power_of_two();
    let spectrum = |x: &[f64]| {
        let padded = x.iter().copied().chain(std::iter::repeat(0.0));
        transform(&padded.take(size).map(|x| (x, 0.0)).collect::<Vec<_>>(), -1.0)
    };
    let product: Vec<Complex> =
        spectrum(kernel).into_iter().zip(spectrum(u)).map(|(a, b)| multiply(a, b)).collect();
    transform(&product, 1.0).iter().take(u.len()).map(|x| x.0 / size as f64).collect()
}

/// Discrete Fourier transform of a power of two of numbers, unscaled; `sign` 1 is the inverse.
fn transform(x: &[Complex], sign: f64) -> Vec<Complex> {
    let n = x.len();
    if n == 1 {
        return x.to_vec();
    }
    let half = |first: usize| transform(&x.iter().skip(first).step_by(2).copied().collect::<Vec<_>>(), sign);
    let (even, odd) = (half(0), half(1));
    let turned: Vec<Complex> = odd
        .iter()
        .enumerate()
        .map(|(k, &o)| {
            let (sin, cos) = (sign * 2.0 * PI * k as f64 / n as f64).sin_cos();
            multiply((cos, sin), o)
        })
        .collect();
    let sums = even.iter().zip(&turned).map(|(e, t)| (e.0 + t.0, e.1 + t.1));
    let differences = even.iter().zip(&turned).map(|(e, t)| (e.0 - t.0, e.1 - t.1));
    sums.chain(differences).collect()
}

fn multiply(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_sum_that_it_is() {
        for n in [0, 1, 2, 5, 64, 100] {
            let kernel: Vec<f64> = (0..n).map(|i| f64::from(i).cos()).collect();
            let u: Vec<f64> = (0..n).map(|i| f64::from(i * i).sin()).collect();
            let ours = causal(&kernel, &u);
            assert_eq!(ours.len(), u.len());
            for (t, y) in ours.iter().enumerate() {
                let expected: f64 = (0..=t).map(|s| kernel[t - s] * u[s]).sum();
                assert!((y - expected).abs() < 1e-12, "{n} {t}");
            }
        }
    }
}
