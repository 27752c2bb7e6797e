//! Trust in contexts, learned along a sequence for eight classes at a time.

#![allow(
    clippy::inline_always,
    reason = "a call between code for different instruction sets would cost more than the work"
)]

use super::counts::{Found, LANES};
use super::lanes::Lanes;

/// No trust falls below this, so that a context can win it back.
const LEAST: f32 = 1e-6;
const UNSEEN: f32 = 0.25;

/// Weights of all contexts for eight classes.
#[derive(Clone, Debug)]
pub(super) struct Mixer {
    weights: Vec<Lanes>,
    predictions: Vec<Lanes>,
    decay: f32,
}

/// The base that came, and which classes are looked at: eight from `first` on, in rows of `width`.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) base: u8,
    pub(super) first: usize,
    pub(super) width: usize,
}

impl Mixer {
    /// All contexts are trusted alike.
    pub(super) fn new(contexts: usize, decay: f64) -> Self {
        let equal = Lanes::all(1.0 / contexts as f32);
        Self {
            weights: vec![equal; contexts],
            predictions: vec![Lanes::all(0.0); contexts],
            decay: decay as f32,
        }
    }

    /// Bits of the base in the classes, after which trust goes to the contexts that gave it a high probability.
    #[inline]
    pub(super) fn step(&mut self, found: &[Found], priors: &[f32], at: At) -> [f32; LANES] {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the instructions that the copy was compiled for.
            return unsafe { self.step_avx2(found, priors, at) };
        }
        self.step_any(found, priors, at)
    }

    /// The same arithmetic in wider registers; without fused operations, so that the bits are the same.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn step_avx2(&mut self, found: &[Found], priors: &[f32], at: At) -> [f32; LANES] {
        self.step_any(found, priors, at)
    }

    #[inline(always)]
    fn step_any(&mut self, found: &[Found], priors: &[f32], at: At) -> [f32; LANES] {
        let mut mixed = Lanes::all(0.0);
        let mut trust = Lanes::all(0.0);
        let contexts = found.iter().zip(priors).zip(&self.weights).zip(&mut self.predictions);
        for (((found, &prior), &weight), prediction) in contexts {
            *prediction = predict(found, prior, at);
            mixed = mixed + weight * *prediction;
            trust = trust + weight;
        }
        let mut total = Lanes::all(0.0);
        for (weight, &prediction) in self.weights.iter_mut().zip(&self.predictions) {
            *weight = weight.power(self.decay) * prediction;
            total = total + *weight;
        }
        let scale = Lanes::all(1.0) / total;
        for weight in &mut self.weights {
            *weight = (*weight * scale).at_least(LEAST);
        }
        (Lanes::all(0.0) - (mixed / trust).log2()).0
    }
}

#[inline(always)]
fn predict(found: &Found, prior: f32, At { base, first, width }: At) -> Lanes {
    match *found {
        Found::Nothing => Lanes::all(UNSEEN),
        Found::One { base: only, class, count } => {
            let mut lanes = Lanes::all(UNSEEN);
            if let Some(lane) = usize::from(class).checked_sub(first).and_then(|lane| lanes.0.get_mut(lane)) {
                let count = f32::from(count);
                let own = if only == base { count } else { 0.0 };
                *lane = (own + prior) / (count + 4.0 * prior);
            }
            lanes
        }
        Found::Row(row) => {
            let lanes = |base: usize| -> Lanes {
                let counts = &row[base * width + first..][..LANES];
                let mut lanes = [0.0; LANES];
                for (lane, &count) in lanes.iter_mut().zip(counts) {
                    *lane = f32::from(count);
                }
                Lanes(lanes)
            };
            let total = (lanes(0) + lanes(1)) + (lanes(2) + lanes(3));
            (lanes(usize::from(base & 3)) + Lanes::all(prior)) / (total + Lanes::all(4.0 * prior))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_that_is_right_wins_trust() {
        let mut mixer = Mixer::new(2, 0.8);
        let mut right = [0_u16; 32];
        right[..8].fill(100); // A in all classes
        let mut wrong = [0_u16; 32];
        wrong[24..].fill(100); // T
        let found = [Found::Row(&right), Found::Row(&wrong)];
        let at = At { base: 0, first: 0, width: 8 };
        let first = mixer.step(&found, &[1.0, 1.0], at)[0];
        let mut last = first;
        for _ in 0..20 {
            last = mixer.step(&found, &[1.0, 1.0], at)[0];
        }
        let mean = f32::midpoint(101.0 / 104.0, 1.0 / 104.0);
        assert!((first + mean.log2()).abs() < 1e-5);
        assert!(last < 0.06);
    }
}
