//! Legendre memory unit (Voelker et al. 2019), the mixer of LMUFormer (Liu et al. 2024).

use super::Mixer;
use super::state_space::{Continuous, Discrete};

/// The last `theta` tokens of one channel as coefficients of Legendre polynomials, an output of `states` numbers a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Lmu {
    system: Discrete,
}

impl Lmu {
    /// A memory of `theta` tokens; an input counts as constant between tokens.
    pub fn new(states: usize, theta: f64) -> Self {
        Self { system: Continuous::delay(states, theta).zero_order_hold(1.0) }
    }
}

impl Mixer for Lmu {
    type Input<'a> = &'a [f64];
    type State = Vec<f64>;

    fn start(&self) -> Vec<f64> {
        vec![0.0; self.system.b.len()]
    }

    fn forward_chunk(&self, input: &[f64], mut state: Vec<f64>) -> (Vec<f64>, Vec<f64>) {
        let mut output = Vec::with_capacity(input.len() * state.len());
        for &u in input {
            self.system.step(&mut state, u);
            output.extend_from_slice(&state);
        }
        (output, state)
    }
}
