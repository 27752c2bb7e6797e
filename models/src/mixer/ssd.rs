//! State-space duality, the mixer of Mamba-2 (Dao and Gu 2024): `h_t = a_t h_{t-1} + B_t x_tᵀ`, `y_t = C_t h_t`.

use super::Mixer;
use super::matrix::dot;

/// One head with a state `[states, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssd {
    /// Rows of the state.
    pub states: usize,
    /// Numbers a token.
    pub width: usize,
    /// Tokens that are computed by a masked product; the state passes between them.
    pub chunk: usize,
}

/// What the tokens bring: all of it depends on the data.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// `a` `[tokens]`, what stays of the state: `exp(-step e^A)`.
    pub decay: &'a [f64],
    /// `B` `[tokens, states]`
    pub b: &'a [f64],
    /// `C` `[tokens, states]`
    pub c: &'a [f64],
    /// `x` `[tokens, width]`
    pub x: &'a [f64],
}

impl Ssd {
    /// One token after the other, the definition.
    ///
    /// # Panics
    /// If the lists of the input are of different numbers of tokens.
    pub fn recurrent(&self, input: Input<'_>, mut state: Vec<f64>) -> (Vec<f64>, Vec<f64>) {
        self.check(&input);
        let mut y = Vec::with_capacity(input.x.len());
        for (t, &decay) in input.decay.iter().enumerate() {
            scale(&mut state, decay);
            self.write(&input, t, 1.0, &mut state);
            y.extend(self.read(&input, t, &state));
        }
        (y, state)
    }

    /// One chunk: `y = (L ∘ C Bᵀ) x` within it, where `L[t, s]` is what stays at `t` of token `s`, and what is left
    /// of the state before it.
    fn masked_product(
        &self,
        input: &Input<'_>,
        tokens: std::ops::Range<usize>,
        state: &mut [f64],
        y: &mut Vec<f64>,
    ) {
        let first = tokens.start;
        let (mut left, mut left_of_state) = (Vec::with_capacity(tokens.len()), 1.0);
        for t in tokens {
            scale(&mut left, input.decay[t]);
            left.push(1.0);
            left_of_state *= input.decay[t];
            let mut row: Vec<f64> = self.read(input, t, state).map(|y| y * left_of_state).collect();
            for (s, left) in (first..).zip(&left) {
                let weight = left * dot(self.states_of(input.c, t), self.states_of(input.b, s));
                row.iter_mut().zip(self.x(input, s)).for_each(|(y, x)| *y += weight * x);
            }
            y.append(&mut row);
        }
        scale(state, left_of_state);
        for (s, &left) in (first..).zip(&left) {
            self.write(input, s, left, state);
        }
    }

    /// `state += scale * B_t x_tᵀ`
    fn write(&self, input: &Input<'_>, t: usize, scale: f64, state: &mut [f64]) {
        for (row, b) in state.chunks_exact_mut(self.width).zip(self.states_of(input.b, t)) {
            row.iter_mut().zip(self.x(input, t)).for_each(|(h, x)| *h += scale * b * x);
        }
    }

    /// `C_t state`
    fn read<'a>(&self, input: &Input<'a>, t: usize, state: &'a [f64]) -> impl Iterator<Item = f64> + use<'a> {
        let (c, width) = (self.states_of(input.c, t), self.width);
        (0..width).map(move |p| c.iter().zip(state[p..].iter().step_by(width)).map(|(c, h)| c * h).sum())
    }

    fn states_of<'a>(&self, list: &'a [f64], t: usize) -> &'a [f64] {
        &list[t * self.states..][..self.states]
    }

    fn x<'a>(&self, input: &Input<'a>, t: usize) -> &'a [f64] {
        &input.x[t * self.width..][..self.width]
    }

    fn check(&self, input: &Input<'_>) {
        let tokens = input.decay.len();
        assert!(input.b.len() == tokens * self.states && input.c.len() == tokens * self.states, "B and C");
        assert_eq!(input.x.len(), tokens * self.width, "x");
    }
}

impl Mixer for Ssd {
    type Input<'a> = Input<'a>;
    type State = Vec<f64>;

    fn start(&self) -> Vec<f64> {
        vec![0.0; self.states * self.width]
    }

    /// # Panics
    /// If the lists of the input are of different numbers of tokens, or the chunk is 0.
    fn forward_chunk(&self, input: Input<'_>, mut state: Vec<f64>) -> (Vec<f64>, Vec<f64>) {
        self.check(&input);
        let tokens = input.decay.len();
        let mut y = Vec::with_capacity(input.x.len());
        for first in (0..tokens).step_by(self.chunk) {
            self.masked_product(&input, first..tokens.min(first + self.chunk), &mut state, &mut y);
        }
        (y, state)
    }
}

/// The state of the last tokens alone: `now - decay * before`, where `before` is the state before them and `decay` the
/// product of their decays. Forgetting that a model has not learnt (Stuffed Mamba, Chen et al. 2024).
///
/// What is left of the large old state is rounding: use it with f64 states only.
///
/// # Panics
/// If the states differ in size.
pub fn window_state(now: &[f64], before: &[f64], decay: f64) -> Vec<f64> {
    assert_eq!(now.len(), before.len(), "states of one size");
    now.iter().zip(before).map(|(now, before)| now - decay * before).collect()
}

fn scale(x: &mut [f64], factor: f64) {
    for x in x {
        *x *= factor;
    }
}
