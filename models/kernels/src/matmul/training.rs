//! What follows and precedes products in a layer that is trained, forward and backward, in one pass over the numbers each.

use super::Activation;
use super::rows::Rows;
use crate::vectorize::vectorize;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Rows of a task. Sums over rows are taken task by task, and the tasks' in their order, so no thread changes them.
const TASK: usize = 64;

/// Gradients of [`super::rms_norm`], given that of its result (`[rows, columns]`): that of `x`, and that of the factors.
///
/// # Panics
/// If shapes do not fit.
pub fn rms_norm_backward(x: Rows<'_>, gamma: &[f32], epsilon: f32, d: Rows<'_>) -> (Vec<f32>, Vec<f32>) {
    let columns = x.columns;
    assert!((d.rows, d.columns, gamma.len()) == (x.rows, columns, columns), "a gradient of the result");
    let mut d_x = Box::new_uninit_slice(x.rows * columns);
    let part = |(task, d_x): (usize, &mut [MaybeUninit<f32>])| {
        let mut d_gamma = vec![0.0_f32; columns];
        vectorize(
            #[inline(always)]
            || {
                for (i, d_x) in d_x.chunks_exact_mut(columns).enumerate() {
                    let (x, d) = (x.row(task * TASK + i), d.row(task * TASK + i));
                    let square = sum(x.iter().map(|x| x * x));
                    let factor = 1.0 / (square / columns as f32 + epsilon).sqrt();
                    let dot = sum(x.iter().zip(d).zip(gamma).map(|((x, d), gamma)| x * d * gamma));
                    let pull = dot * factor * factor * factor / columns as f32;
                    let inputs = x.iter().zip(d).zip(gamma);
                    for ((d_x, d_gamma), ((x, d), gamma)) in d_x.iter_mut().zip(&mut d_gamma).zip(inputs) {
                        d_x.write(factor * gamma * d - pull * x);
                        *d_gamma += factor * x * d;
                    }
                }
            },
        );
        d_gamma
    };
    let parts: Vec<Vec<f32>> = d_x.par_chunks_mut(TASK * columns).enumerate().map(part).collect();
    let mut d_gamma = vec![0.0_f32; columns];
    for part in parts {
        d_gamma.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    // SAFETY: the tasks have written every row.
    (unsafe { d_x.assume_init() }.into_vec(), d_gamma)
}

/// `act(gate) * value` of rows `[gate, value]`, `[rows, 2 * inner] -> [rows, inner]`.
///
/// # Panics
/// If rows are of an odd number of columns.
pub fn gated(both: Rows<'_>, activation: Activation) -> Vec<f32> {
    let inner = both.columns / 2;
    assert_eq!(both.columns, 2 * inner, "gates and values");
    let mut out = Box::new_uninit_slice(both.rows * inner);
    out.par_chunks_mut(TASK * inner).enumerate().for_each(|(task, out)| {
        vectorize(
            #[inline(always)]
            || {
                for (i, out) in out.chunks_exact_mut(inner).enumerate() {
                    let (gate, value) = both.row(task * TASK + i).split_at(inner);
                    for ((out, &gate), value) in out.iter_mut().zip(gate).zip(value) {
                        out.write(activation.apply(gate) * value);
                    }
                }
            },
        );
    });
    // SAFETY: the tasks have written every row.
    unsafe { out.assume_init() }.into_vec()
}

/// The gradient of [`gated`], given that of its result (`[rows, inner]`).
///
/// # Panics
/// If shapes do not fit.
pub fn gated_backward(both: Rows<'_>, activation: Activation, d: Rows<'_>) -> Vec<f32> {
    let inner = both.columns / 2;
    assert_eq!((both.columns, both.rows, inner), (2 * inner, d.rows, d.columns), "a gradient of the result");
    let mut out = Box::new_uninit_slice(both.rows * both.columns);
    out.par_chunks_mut(TASK * both.columns).enumerate().for_each(|(task, out)| {
        vectorize(
            #[inline(always)]
            || {
                for (i, out) in out.chunks_exact_mut(2 * inner).enumerate() {
                    let (gate, value) = both.row(task * TASK + i).split_at(inner);
                    let (d_gate, d_value) = out.split_at_mut(inner);
                    let d = d.row(task * TASK + i);
                    let inputs = gate.iter().zip(value).zip(d);
                    for ((d_gate, d_value), ((&gate, value), d)) in d_gate.iter_mut().zip(d_value).zip(inputs)
                    {
                        d_gate.write(activation.slope(gate) * value * d);
                        d_value.write(activation.apply(gate) * d);
                    }
                }
            },
        );
    });
    // SAFETY: the tasks have written every row.
    unsafe { out.assume_init() }.into_vec()
}

/// In 16 independent lanes: an order that vector units can follow and that never changes.
#[inline(always)]
fn sum(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let mut lanes = [0.0_f32; 16];
    for (i, x) in values.enumerate() {
        lanes[i % 16] += x;
    }
    lanes.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * seed).sin() * 2.0).collect()
    }

    /// Differences of `loss` in each of `values`.
    fn differences(values: &[f32], loss: impl Fn(&[f32]) -> f64) -> Vec<f64> {
        let at = |i: usize, step: f32| {
            let mut moved = values.to_vec();
            moved[i] += step;
            loss(&moved)
        };
        (0..values.len()).map(|i| (at(i, 0.01) - at(i, -0.01)) / 0.02).collect()
    }

    fn close(ours: &[f32], expected: &[f64]) {
        for (i, (a, b)) in ours.iter().zip(expected).enumerate() {
            assert!((f64::from(*a) - b).abs() < 2e-3 * b.abs().max(1.0), "{i}: {a} instead of {b}");
        }
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn gradients_of_the_norm_are_differences() {
        let columns = 19;
        let (x, gamma, d) = (numbers(70 * columns, 0.37), numbers(columns, 0.9), numbers(70 * columns, 0.71));
        let loss = |x: &[f32], gamma: &[f32]| {
            let mut out = vec![0.0; x.len()];
            super::super::rms_norm(Rows::new(x, columns), gamma, 1e-5, &mut out);
            dot(&out, &d)
        };
        let (d_x, d_gamma) = rms_norm_backward(Rows::new(&x, columns), &gamma, 1e-5, Rows::new(&d, columns));
        close(&d_x[..100], &differences(&x, |x| loss(x, &gamma))[..100]);
        close(&d_gamma, &differences(&gamma, |gamma| loss(&x, gamma)));
    }

    #[test]
    fn gradients_of_gates_are_differences() {
        for activation in [Activation::Silu, Activation::Gelu] {
            let (both, d) = (numbers(3 * 34, 0.37), numbers(3 * 17, 0.71));
            let loss = |both: &[f32]| dot(&gated(Rows::new(both, 34), activation), &d);
            let ours = gated_backward(Rows::new(&both, 34), activation, Rows::new(&d, 17));
            close(&ours, &differences(&both, loss));
        }
    }
}
