//! Random weights: for benchmarks, tests, and the start of a training run.

use crate::checkpoint::{Expected, NamedTensor, Presence};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand_distr::{Distribution, Normal};
use std::borrow::Cow;

/// A tensor whose numbers are drawn when they are asked for.
pub struct RandomTensor {
    name: String,
    shape: Vec<usize>,
    seed: u64,
}

/// The required ones of `expected` with weights drawn as the references initialise them: matrices normal with deviation
/// 0.02, biases 0, normalisation weights 1.
///
/// A tensor depends on the seed and its name only, so the order of writing does not matter.
pub fn random(expected: Vec<Expected>, seed: u64) -> Vec<RandomTensor> {
    expected
        .into_iter()
        .filter(|tensor| tensor.presence == Presence::Required)
        .map(|Expected { name, shape, .. }| RandomTensor { name, shape, seed })
        .collect()
}

impl RandomTensor {
    /// Numbers in the tensor.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl NamedTensor for RandomTensor {
    fn name(&self) -> &str {
        &self.name
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn values(&self) -> Result<Cow<'_, [f32]>, Box<dyn std::error::Error + Send + Sync>> {
        let count = self.len();
        let (layer, kind) = self.name.rsplit_once('.').unwrap_or_default();
        let norm = layer.to_ascii_lowercase().ends_with("norm");
        match kind {
            "bias" => return Ok(vec![0.0; count].into()),
            "weight" if norm => return Ok(vec![1.0; count].into()),
            _ => {}
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(fnv1a(self.name.as_bytes()));
        let normal = Normal::new(0.0_f32, 0.02).expect("a finite deviation");
        Ok(normal.sample_iter(&mut rng).take(count).collect::<Vec<f32>>().into())
    }
}

/// 64-bit FNV-1a: a stream number that stays the same across versions of the standard library.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
