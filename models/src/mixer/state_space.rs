//! Linear state spaces: `x' = A x + B u` for one channel, and their steps.

use super::Matrix;
use super::matrix::dot;

/// A system in continuous time with `n` states and one input.
#[derive(Clone, Debug, PartialEq)]
pub struct Continuous {
    /// `[n, n]`
    pub a: Matrix,
    /// `[n]`
    pub b: Vec<f64>,
}

/// The same in steps: `x_t = A x_{t-1} + B u_t`.
#[derive(Clone, Debug, PartialEq)]
pub struct Discrete {
    /// `[n, n]`
    pub a: Matrix,
    /// `[n]`
    pub b: Vec<f64>,
}

impl Continuous {
    /// HiPPO-LegS (Gu et al. 2020): the whole past in Legendre polynomials, recent input no finer than old.
    pub fn legs(states: usize) -> Self {
        let root = |n: usize| (2.0 * n as f64 + 1.0).sqrt();
        let a = Matrix::from_fn(states, states, |n, m| match n.cmp(&m) {
            std::cmp::Ordering::Greater => -root(n) * root(m),
            std::cmp::Ordering::Equal => -(n as f64 + 1.0),
            std::cmp::Ordering::Less => 0.0,
        });
        Self { a, b: (0..states).map(root).collect() }
    }

    /// Legendre delay network (Voelker et al. 2019): the last `theta` of time in Legendre polynomials.
    pub fn delay(states: usize, theta: f64) -> Self {
        let scale = |i: usize| (2.0 * i as f64 + 1.0) / theta;
        let sign = |power: usize| if power.is_multiple_of(2) { 1.0 } else { -1.0 };
        let a = Matrix::from_fn(states, states, |i, j| scale(i) * if i < j { -1.0 } else { sign(i - j + 1) });
        Self { a, b: (0..states).map(|i| scale(i) * sign(i)).collect() }
    }

    /// Bilinear (Tustin) steps: `(I - step/2 A)⁻¹ (I + step/2 A)` and `(I - step/2 A)⁻¹ step B`.
    pub fn bilinear(&self, step: f64) -> Discrete {
        let n = self.b.len();
        let shifted =
            |half: f64| Matrix::from_fn(n, n, |i, j| f64::from(u8::from(i == j)) + half * self.a.row(i)[j]);
        let input = Matrix::from_fn(n, 1, |i, _| step * self.b[i]);
        let a = shifted(-step / 2.0).solve(shifted(step / 2.0));
        Discrete { a, b: shifted(-step / 2.0).solve(input).data().to_vec() }
    }

    /// Steps that are exact for an input that is constant between them: `exp(step A)` and `A⁻¹ (exp(step A) - I) B`.
    pub fn zero_order_hold(&self, step: f64) -> Discrete {
        let n = self.b.len();
        // The exponential of [[A, B], [0, 0]] holds both, for a singular A as well.
        let both = Matrix::from_fn(n + 1, n + 1, |i, j| match (i < n, j < n) {
            (true, true) => step * self.a.row(i)[j],
            (true, false) => step * self.b[i],
            _ => 0.0,
        });
        let both = both.exp();
        let b = (0..n).map(|i| both.row(i)[n]).collect();
        Discrete { a: Matrix::from_fn(n, n, |i, j| both.row(i)[j]), b }
    }
}

impl Discrete {
    /// Moves the state on by one input.
    pub fn step(&self, state: &mut Vec<f64>, input: f64) {
        let moved = self.a.apply(state);
        *state = moved.iter().zip(&self.b).map(|(x, b)| x + b * input).collect();
    }

    /// `c A^t B` for `t = 0..tokens`: the response of `c x` to a single 1.
    pub fn response(&self, c: &[f64], tokens: usize) -> Vec<f64> {
        let powers = std::iter::successors(Some(self.b.clone()), |x| Some(self.a.apply(x)));
        powers.take(tokens).map(|x| dot(c, &x)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_steps_of_one_state() {
        let system = Continuous { a: Matrix::new(1, vec![-2.0]), b: vec![3.0] };
        let held = system.zero_order_hold(0.5);
        assert!((held.a.data()[0] - (-1.0_f64).exp()).abs() < 1e-15);
        assert!((held.b[0] - 1.5 * (1.0 - (-1.0_f64).exp())).abs() < 1e-15);
        let bilinear = system.bilinear(0.5);
        assert!((bilinear.a.data()[0] - 0.5 / 1.5).abs() < 1e-15 && (bilinear.b[0] - 1.0).abs() < 1e-15);
    }

    #[test]
    fn small_steps_agree() {
        let system = Continuous::legs(5);
        let (a, b) = (system.bilinear(1e-4), system.zero_order_hold(1e-4));
        assert!(a.a.data().iter().zip(b.a.data()).all(|(x, y)| (x - y).abs() < 1e-9));
    }
}
