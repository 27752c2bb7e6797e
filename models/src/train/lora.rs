//! Low-rank adaptation (Hu et al. 2021): `W = W0 + alpha / r * B A`, of which only `A` and `B` are trained.
//!
//! The model computes with the merged weights and gives their gradient `dW`; those of the factors follow from it,
//! `dA = alpha / r * B^T dW` and `dB = alpha / r * dW A^T`. So no layer knows of it, and a merged model is always at hand. What this
//! form cannot do is dropout on the adapter's input.

use super::order::stream;
use super::store::write_file;
use super::{Error, Named, Parameters};
use crate::checkpoint::{Precision, write_safetensors};
use rand_distr::{Distribution, Uniform};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;

/// PEFT's file of the factors.
pub const FACTORS: &str = "adapter_model.safetensors";
/// What PEFT puts before the name of a parameter.
pub const PREFIX: &str = "base_model.model.";

/// Which matrices are adapted, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Columns of the factors.
    pub rank: usize,
    /// Numerator of the scale; the rank is its denominator.
    pub alpha: f64,
    /// Ends of the names of the modules that are adapted, as `q_proj`.
    pub targets: Vec<String>,
}

impl Lora {
    /// The matrices that published recipes adapt: in decoders the projections of queries and values, in DNABERT-2 all of attention.
    pub fn usual_targets(decoder: bool) -> Vec<String> {
        let names: &[&str] =
            if decoder { &["q_proj", "v_proj"] } else { &["Wqkv", "attention.output.dense"] };
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
    }

    fn adapts(&self, name: &str) -> bool {
        let Some(module) = name.strip_suffix(".weight") else { return false };
        self.targets.iter().any(|target| {
            module.strip_suffix(target.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

/// Frozen weights, their factors, and the parameters that are trained whole beside them.
#[derive(Clone, Debug)]
pub struct Adapter {
    lora: Lora,
    /// `W0` of each adapted matrix.
    base: Parameters,
    /// `{module}.lora_A.weight` `[r, in]`, `{module}.lora_B.weight` `[out, r]`, and what is trained whole.
    pub trained: Parameters,
}

impl Adapter {
    /// Adapts the matrices of the targets; `whole` says which parameters are trained as they are (heads), all others stay.
    /// `A` is drawn as PyTorch's linear layers are, `B` is 0.
    pub fn new(
        lora: Lora,
        parameters: &Parameters,
        whole: impl Fn(&str) -> bool,
        seed: u64,
    ) -> Result<Self, Error> {
        if lora.rank == 0 {
            return Err(Error::recipe("lora.rank", "0; at least 1"));
        }
        let (mut base, mut trained) = (Parameters::default(), Parameters::default());
        let mut number = 0;
        for (name, named) in parameters.iter() {
            if lora.adapts(name) && named.shape.len() == 2 {
                let [out, input] = [named.shape[0], named.shape[1]];
                // Kaiming's uniform law with a of the root of 5.
                let bound = 1.0 / (input as f32).sqrt();
                let law = Uniform::new_inclusive(-bound, bound).expect("a bound above 0");
                let mut rng = stream(seed, 4, number);
                let a: Vec<f32> = law.sample_iter(&mut rng).take(lora.rank * input).collect();
                let [a_name, b_name] = factors(name);
                trained.insert(a_name, Named { shape: vec![lora.rank, input], values: a });
                trained.insert(
                    b_name,
                    Named { shape: vec![out, lora.rank], values: vec![0.0; out * lora.rank] },
                );
                base.insert(name, named.clone());
                number += 1;
            } else if whole(name) {
                trained.insert(name, named.clone());
            }
        }
        if base.is_empty() {
            let known = parameters.iter().filter(|(_, named)| named.shape.len() == 2).map(|(name, _)| name);
            let known = known.collect::<Vec<_>>().join(", ");
            let reason = format!("no module ends in {}; there are {known}", lora.targets.join(" or "));
            return Err(Error::recipe("lora.targets", reason));
        }
        Ok(Self { lora, base, trained })
    }

    /// Puts the present weights, `W0 + scale B A`, into `parameters`.
    pub fn merge(&self, parameters: &mut Parameters) {
        for (name, w0) in self.base.iter() {
            let [a, b] = factors(name).map(|name| self.trained.get(&name).expect("a factor"));
            let (rank, input, scale) = (self.lora.rank, w0.shape[1], self.lora.scale());
            let w = parameters.get_mut(name).expect("an adapted matrix");
            let rows = w.values.par_chunks_mut(input).zip(w0.values.par_chunks(input));
            rows.zip(b.values.par_chunks(rank)).for_each(|((row, w0), b)| {
                row.copy_from_slice(w0);
                for (factor, a) in b.iter().zip(a.values.chunks_exact(input)) {
                    row.iter_mut().zip(a).for_each(|(w, a)| *w += scale * factor * a);
                }
            });
        }
        for (name, named) in self.trained.iter() {
            if let Some(whole) = parameters.get_mut(name) {
                whole.values.copy_from_slice(&named.values);
            }
        }
    }

    /// Gradients of what is trained, from those of the weights.
    pub fn gradients(&self, of_weights: &Parameters) -> Parameters {
        let mut all = self.trained.zeros();
        for (name, w0) in self.base.iter() {
            let d = &of_weights.get(name).expect("a gradient for each parameter").values;
            let [a_name, b_name] = factors(name);
            let (rank, input, scale) = (self.lora.rank, w0.shape[1], self.lora.scale());
            let (a, b) =
                (self.trained.get(&a_name).expect("a factor"), self.trained.get(&b_name).expect("a factor"));
            let d_b = all.get_mut(&b_name).expect("a factor");
            d_b.values.par_chunks_mut(rank).zip(d.par_chunks(input)).for_each(|(d_b, d)| {
                for (sum, a) in d_b.iter_mut().zip(a.values.chunks_exact(input)) {
                    *sum = scale * d.iter().zip(a).map(|(d, a)| d * a).sum::<f32>();
                }
            });
            let d_a = all.get_mut(&a_name).expect("a factor");
            d_a.values.par_chunks_mut(input).enumerate().for_each(|(r, d_a)| {
                for (b, d) in b.values.chunks_exact(rank).zip(d.chunks_exact(input)) {
                    let factor = scale * b[r];
                    d_a.iter_mut().zip(d).for_each(|(sum, d)| *sum += factor * d);
                }
            });
        }
        for (name, named) in all.iter_mut() {
            if let Some(whole) = of_weights.get(name) {
                named.values.copy_from_slice(&whole.values);
            }
        }
        all
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT does.
    pub fn write(&self, folder: &Path, model: &str) -> Result<(), Error> {
        let whole = self.trained.iter().filter(|(name, _)| !name.contains(".lora_"));
        let mut heads: Vec<&str> = whole.filter_map(|(name, _)| name.split('.').rev().nth(1)).collect();
        heads.dedup();
        let config = json!({
            "peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": model,
            "r": self.lora.rank, "lora_alpha": self.lora.alpha, "lora_dropout": 0.0, "bias": "none",
            "target_modules": self.lora.targets, "modules_to_save": heads, "inference_mode": true,
            "fan_in_fan_out": false,
        });
        write_file(&folder.join("adapter_config.json"), format!("{config:#}\n").as_bytes())?;
        Ok(write_safetensors(&folder.join(FACTORS), self.trained.tensors(PREFIX), Precision::F32)?)
    }
}

/// Names of `A` and `B` of a weight.
fn factors(name: &str) -> [String; 2] {
    let module = name.strip_suffix(".weight").expect("a matrix's name");
    ["A", "B"].map(|factor| format!("{module}.lora_{factor}.weight"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Parameters {
        let values = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin()).collect();
        Parameters::from_iter([
            ("layers.0.q_proj.weight", vec![3, 4], values(12)),
            ("layers.0.k_proj.weight", vec![3, 4], values(12)),
            ("score.weight", vec![2, 4], values(8)),
        ])
    }

    fn adapter() -> Adapter {
        let lora = Lora { rank: 2, alpha: 6.0, targets: vec!["q_proj".into()] };
        Adapter::new(lora, &parameters(), |name| name.starts_with("score"), 1).unwrap()
    }

    #[test]
    fn a_new_adapter_changes_nothing_and_leaves_the_rest_frozen() {
        let adapter = adapter();
        let mut merged = parameters();
        adapter.merge(&mut merged);
        assert_eq!(merged, parameters());
        let names: Vec<&str> = adapter.trained.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["layers.0.q_proj.lora_A.weight", "layers.0.q_proj.lora_B.weight", "score.weight"]);
    }

    #[test]
    fn gradients_of_factors_are_differences_of_the_loss() {
        let mut adapter = adapter();
        for (_, named) in adapter.trained.iter_mut() {
            named.values.iter_mut().enumerate().for_each(|(i, x)| *x += (i as f32 * 1.3).cos());
        }
        // A loss that is linear in the weights: its gradient is `slope`.
        let mut slope = parameters().zeros();
        for (_, named) in slope.iter_mut() {
            named.values.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.9).cos());
        }
        let loss = |adapter: &Adapter| -> f64 {
            let mut weights = parameters();
            adapter.merge(&mut weights);
            let each = weights.iter().zip(slope.iter());
            each.flat_map(|((_, w), (_, s))| w.values.iter().zip(&s.values))
                .map(|(w, s)| f64::from(w * s))
                .sum()
        };
        let gradients = adapter.gradients(&slope);
        let names: Vec<(String, usize)> =
            adapter.trained.iter().map(|(name, named)| (name.to_owned(), named.values.len())).collect();
        for (name, count) in names {
            for i in 0..count {
                let at = |step: f32| {
                    let mut moved = adapter.clone();
                    moved.trained.get_mut(&name).unwrap().values[i] += step;
                    loss(&moved)
                };
                let difference = (at(0.05) - at(-0.05)) / 0.1;
                let gradient = f64::from(gradients.get(&name).unwrap().values[i]);
                assert!(
                    (difference - gradient).abs() < 1e-3,
                    "{name}[{i}]: {gradient} instead of {difference}"
                );
            }
        }
    }

    #[test]
    fn targets_that_do_not_exist_are_told_with_those_that_do() {
        let lora = Lora { rank: 2, alpha: 4.0, targets: vec!["query".into()] };
        let error = Adapter::new(lora, &parameters(), |_| false, 1).unwrap_err().to_string();
        assert!(error.contains("no module ends in query; there are layers.0.k_proj.weight"), "{error}");
    }
}
