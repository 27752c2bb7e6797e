//! AdamW with decoupled weight decay (Loshchilov & Hutter 2019), on the masters in f32.
//!
//! Masters and moments lie on the host whatever device computes the gradients, so that a state that was written and
//! read again goes on with the same bits.

use super::{Error, Named, Parameters};
use crate::checkpoint::{Precision, Weights, write_safetensors};
use kilobase_kernels::adamw::Update;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Settings of the optimiser; the learning rate comes with each step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// Decay of the means of gradients and of their squares.
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Share of a weight, times the learning rate, that each step takes off.
    pub weight_decay: f64,
    /// Whether factors of normalisations and biases decay as well.
    pub decay_all: bool,
}

impl Default for AdamW {
    fn default() -> Self {
        Self { betas: [0.9, 0.95], epsilon: 1e-8, weight_decay: 0.1, decay_all: false }
    }
}

/// Means of gradients (`first`) and of their squares (`second`), by the names of the parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Means of the gradients.
    pub first: Parameters,
    /// Means of their squares.
    pub second: Parameters,
}

impl Moments {
    /// Zeros for these parameters.
    pub fn new(parameters: &Parameters) -> Self {
        Self { first: parameters.zeros(), second: parameters.zeros() }
    }
}

impl Moments {
    /// Reads what [`Self::write`] wrote, for these parameters.
    pub fn read(path: &Path, parameters: &Parameters) -> Result<Self, Error> {
        let weights = Weights::open_file(path)?;
        let read = |kind: &str| -> Result<Parameters, Error> {
            let read = parameters.read(&weights, kind)?;
            match read.not_finite() {
                Some(name) => {
                    let reason = format!("{kind}{name} holds something else than finite numbers");
                    Err(Error::Damaged { path: path.to_owned(), reason })
                }
                None => Ok(read),
            }
        };
        Ok(Self { first: read(FIRST)?, second: read(SECOND)? })
    }

    /// Writes the moments as safetensors.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let tensors = self.first.tensors(FIRST).chain(self.second.tensors(SECOND));
        Ok(write_safetensors(path, tensors, Precision::F32)?)
    }
}

/// Names of the moments are those that PyTorch gives them, before the parameter's.
const FIRST: &str = "exp_avg.";
const SECOND: &str = "exp_avg_sq.";

impl AdamW {
    /// Changes `parameters` by `gradients`, of which `scale` times is taken (what clipping leaves). `step` counts from 1.
    ///
    /// # Panics
    /// If the moments or gradients are of other parameters.
    pub fn step(
        &self,
        step: u64,
        learning_rate: f64,
        parameters: &mut Parameters,
        gradients: &Parameters,
        scale: f64,
        moments: &mut Moments,
    ) {
        let exponent = i32::try_from(step).unwrap_or(i32::MAX);
        let correct = self.betas.map(|beta| 1.0 - beta.powi(exponent));
        let size = learning_rate / correct[0];
        for (name, values) in parameters.iter_mut() {
            let decays = self.decay_all || is_matrix(values);
            let keep = if decays { 1.0 - learning_rate * self.weight_decay } else { 1.0 };
            let update = Update {
                betas: self.betas.map(|beta| beta as f32),
                rest: self.betas.map(|beta| (1.0 - beta) as f32),
                keep: keep as f32,
                size: size as f32,
                root: (1.0 / correct[1].sqrt()) as f32,
                epsilon: self.epsilon as f32,
                scale: scale as f32,
            };
            let gradient = &gradients.get(name).expect("a gradient for each parameter").values;
            let first = moments.first.get_mut(name).expect("moments for each parameter");
            let second = moments.second.get_mut(name).expect("moments for each parameter");
            update.apply(&mut values.values, gradient, &mut first.values, &mut second.values);
        }
    }
}

/// Vectors are factors of normalisations and biases.
fn is_matrix(named: &Named) -> bool {
    named.shape.len() > 1
}

/// What clipping to a norm leaves of gradients of norm `norm`.
pub fn clip(norm: f64, largest: Option<f64>) -> f64 {
    match largest {
        Some(largest) if norm > largest => largest / norm,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_step_moves_by_the_learning_rate_against_the_sign() {
        let mut parameters = Parameters::from_iter([("w", vec![1, 2], vec![1.0, -1.0])]);
        let gradients = Parameters::from_iter([("w", vec![1, 2], vec![0.5, -20.0])]);
        let mut moments = Moments::new(&parameters);
        let settings = AdamW { weight_decay: 0.5, ..AdamW::default() };
        settings.step(1, 0.1, &mut parameters, &gradients, 1.0, &mut moments);
        // Decay is apart from the gradient: 1 - 0.1 * 0.5, then the step of 0.1.
        let expected = [0.95 - 0.1, -0.95 + 0.1];
        for (value, expected) in parameters.get("w").unwrap().values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-6, "{value} instead of {expected}");
        }
    }

    #[test]
    fn vectors_do_not_decay_unless_asked_to() {
        for (decay_all, expected) in [(false, 1.0), (true, 0.9)] {
            let mut parameters = Parameters::from_iter([("norm", vec![1], vec![1.0])]);
            let gradients = parameters.zeros();
            let mut moments = Moments::new(&parameters);
            let settings = AdamW { weight_decay: 1.0, decay_all, ..AdamW::default() };
            settings.step(1, 0.1, &mut parameters, &gradients, 1.0, &mut moments);
            assert!((parameters.get("norm").unwrap().values[0] - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn clipping_scales_to_the_norm_and_no_further() {
        assert!((clip(4.0, Some(1.0)) - 0.25).abs() < 1e-12);
        assert!((clip(0.5, Some(1.0)) - 1.0).abs() < 1e-12);
        assert!((clip(4.0, None) - 1.0).abs() < 1e-12);
    }
}
