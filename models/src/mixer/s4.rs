//! S4 (Gu et al. 2022): a long convolution that is a linear state space.

use super::matrix::dot;
use super::state_space::{Continuous, Discrete};
use super::{Mixer, convolution};

/// One channel: `y_t = c x_t`.
#[derive(Clone, Debug, PartialEq)]
pub struct S4 {
    system: Discrete,
    c: Vec<f64>,
}

impl S4 {
    /// HiPPO-LegS with as many states as `c` has weights, in bilinear steps.
    pub fn legs(c: Vec<f64>, step: f64) -> Self {
        Self { system: Continuous::legs(c.len()).bilinear(step), c }
    }

    /// Outputs of a whole sequence at once, as a convolution by FFT.
    pub fn convolve(&self, u: &[f64]) -> Vec<f64> {
        convolution::causal(&self.system.response(&self.c, u.len()), u)
    }
}

impl Mixer for S4 {
    type Input<'a> = &'a [f64];
    type State = Vec<f64>;

    fn start(&self) -> Vec<f64> {
        vec![0.0; self.c.len()]
    }

    fn forward_chunk(&self, input: &[f64], mut state: Vec<f64>) -> (Vec<f64>, Vec<f64>) {
        let output = input.iter().map(|&u| {
            self.system.step(&mut state, u);
            dot(&self.c, &state)
        });
        (output.collect(), state)
    }
}
