//! LaCT (Zhang et al. 2025): fast weights that are trained on the sequence itself, one step a large chunk.

use super::{Matrix, Mixer};

/// `f(x) = W1 (silu(W0 x) ∘ W2 x)`
#[derive(Clone, Debug, PartialEq)]
pub struct FastWeights {
    /// `W0` `[hidden, keys]`
    pub gate: Matrix,
    /// `W1` `[values, hidden]`
    pub down: Matrix,
    /// `W2` `[hidden, keys]`
    pub up: Matrix,
}

/// What the tokens bring.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// `[tokens, keys]`
    pub queries: &'a [f64],
    /// `[tokens, keys]`
    pub keys: &'a [f64],
    /// `[tokens, values]`
    pub values: &'a [f64],
    /// Learning rates of `gate`, `down` and `up` for each token.
    pub rates: &'a [[f64; 3]],
}

/// The layer: its weights at the start of a sequence, and how many tokens make a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Lact {
    /// Weights before the first token.
    pub weights: FastWeights,
    /// Tokens a step, 2,048 and more in the paper.
    pub chunk: usize,
}

/// Weights as they are, and the tokens that have not made a whole chunk yet.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    weights: FastWeights,
    keys: Vec<f64>,
    values: Vec<f64>,
    rates: Vec<[f64; 3]>,
}

impl State {
    /// The weights that the next token is mixed with.
    pub fn weights(&self) -> &FastWeights {
        &self.weights
    }
}

impl FastWeights {
    /// `f(x)`
    pub fn forward(&self, x: &[f64]) -> Vec<f64> {
        let (gate, up) = (self.gate.apply(x), self.up.apply(x));
        let hidden: Vec<f64> = gate.iter().zip(&up).map(|(&g, u)| g * sigmoid(g) * u).collect();
        self.down.apply(&hidden)
    }

    /// Moves the weights by one step down the loss `sum over tokens of -f(k).v`, each token with its own rates, and
    /// brings every row back to the length that it has in `start`.
    fn train(&mut self, start: &Self, keys: &[f64], values: &[f64], rates: &[[f64; 3]]) {
        let mut moved = self.clone();
        let tokens = keys.chunks_exact(self.gate.columns()).zip(values.chunks_exact(self.down.rows()));
        for ((key, value), rates) in tokens.zip(rates) {
            let (gate, up) = (self.gate.apply(key), self.up.apply(key));
            let silu: Vec<f64> = gate.iter().map(|&g| g * sigmoid(g)).collect();
            let hidden: Vec<f64> = silu.iter().zip(&up).map(|(s, u)| s * u).collect();
            let towards = self.down.apply_transposed(value); // d(f.v) / d hidden
            let slope = |g: f64| sigmoid(g) * (1.0 + g * (1.0 - sigmoid(g)));
            let gate_towards: Vec<f64> =
                gate.iter().zip(&up).zip(&towards).map(|((&g, u), t)| t * u * slope(g)).collect();
            let up_towards: Vec<f64> = silu.iter().zip(&towards).map(|(s, t)| t * s).collect();
            moved.gate.add_outer(rates[0], &gate_towards, key);
            moved.down.add_outer(rates[1], value, &hidden);
            moved.up.add_outer(rates[2], &up_towards, key);
        }
        for (moved, start) in moved.matrices_mut().into_iter().zip(start.matrices()) {
            for (i, row) in moved.rows_mut().enumerate() {
                let scale = norm(start.row(i)) / (norm(row) + 1e-5);
                for weight in row {
                    *weight *= scale;
                }
            }
        }
        *self = moved;
    }

    fn matrices(&self) -> [&Matrix; 3] {
        [&self.gate, &self.down, &self.up]
    }

    fn matrices_mut(&mut self) -> [&mut Matrix; 3] {
        [&mut self.gate, &mut self.down, &mut self.up]
    }
}

impl Mixer for Lact {
    type Input<'a> = Input<'a>;
    type State = State;

    fn start(&self) -> State {
        State { weights: self.weights.clone(), keys: Vec::new(), values: Vec::new(), rates: Vec::new() }
    }

    /// A token is mixed with the weights that the chunks before its own have made: no token sees itself or a later one.
    ///
    /// # Panics
    /// If the lists of the input are of different numbers of tokens.
    fn forward_chunk(&self, input: Input<'_>, mut state: State) -> (Vec<f64>, State) {
        let (width, out) = (self.weights.gate.columns(), self.weights.down.rows());
        let tokens = input.rates.len();
        assert!(
            input.queries.len() == tokens * width && input.keys.len() == tokens * width,
            "queries and keys"
        );
        assert_eq!(input.values.len(), tokens * out, "values");
        let mut y = Vec::with_capacity(input.values.len());
        let tokens = input.queries.chunks_exact(width).zip(input.keys.chunks_exact(width));
        for (((query, key), value), &rates) in tokens.zip(input.values.chunks_exact(out)).zip(input.rates) {
            y.append(&mut state.weights.forward(query));
            state.keys.extend_from_slice(key);
            state.values.extend_from_slice(value);
            state.rates.push(rates);
            if state.rates.len() == self.chunk {
                state.weights.train(&self.weights, &state.keys, &state.values, &state.rates);
                state.keys.clear();
                state.values.clear();
                state.rates.clear();
            }
        }
        (y, state)
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn norm(row: &[f64]) -> f64 {
    row.iter().map(|x| x * x).sum::<f64>().sqrt()
}
