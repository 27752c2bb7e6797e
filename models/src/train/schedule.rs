//! How the learning rate goes over a run.

use serde::{Deserialize, Serialize};

/// What follows the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Stays.
    Constant,
    /// Falls in a straight line.
    Linear,
    /// Falls as half a cosine (Loshchilov & Hutter 2017).
    #[default]
    Cosine,
    /// Stays until the held-out loss has not improved `patience` times, then is multiplied by `factor`.
    Plateau,
}

/// A schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Steps in all.
    pub steps: u64,
    /// What follows the warm-up.
    #[serde(default)]
    pub shape: Shape,
    /// Steps over which the rate rises from 0 in a straight line.
    #[serde(default)]
    pub warmup: u64,
    /// Where linear and cosine end, and the least that a plateau leaves, as a share of the full rate.
    #[serde(default)]
    pub floor: f64,
    /// Held-out losses without improvement that a plateau waits for.
    #[serde(default = "one")]
    pub patience: u64,
    /// What a plateau multiplies the rate by.
    #[serde(default = "half")]
    pub factor: f64,
}

fn one() -> u64 {
    1
}

fn half() -> f64 {
    0.5
}

/// What a plateau remembers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// The best held-out loss so far.
    pub best: Option<f64>,
    /// Held-out losses since then.
    pub waited: u64,
    /// Product of all factors so far.
    pub share: f64,
}

impl Default for Plateau {
    fn default() -> Self {
        Self { best: None, waited: 0, share: 1.0 }
    }
}

impl Schedule {
    /// The share of the full rate for a step, which count from 1.
    pub fn share(&self, step: u64, plateau: &Plateau) -> f64 {
        if step <= self.warmup {
            return step as f64 / self.warmup as f64;
        }
        let span = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let part = ((step - self.warmup) as f64 / span).min(1.0);
        match self.shape {
            Shape::Constant => 1.0,
            Shape::Linear => self.floor + (1.0 - self.floor) * (1.0 - part),
            Shape::Cosine => {
                self.floor + (1.0 - self.floor) * 0.5 * (1.0 + (std::f64::consts::PI * part).cos())
            }
            Shape::Plateau => plateau.share.max(self.floor),
        }
    }

    /// Tells a plateau of a held-out loss.
    pub fn observe(&self, loss: f64, plateau: &mut Plateau) {
        if plateau.best.is_none_or(|best| loss < best) {
            plateau.best = Some(loss);
            plateau.waited = 0;
            return;
        }
        plateau.waited += 1;
        if plateau.waited > self.patience {
            plateau.waited = 0;
            plateau.share *= self.factor;
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "powers of two are exact")]
mod tests {
    use super::*;

    fn schedule(shape: Shape) -> Schedule {
        Schedule { steps: 110, shape, warmup: 10, floor: 0.1, patience: 1, factor: 0.5 }
    }

    #[test]
    fn rates_rise_and_end_at_the_floor() {
        let none = Plateau::default();
        for (shape, middle) in [(Shape::Linear, 0.55), (Shape::Cosine, 0.55), (Shape::Constant, 1.0)] {
            let schedule = schedule(shape);
            assert!((schedule.share(1, &none) - 0.1).abs() < 1e-12);
            assert!((schedule.share(10, &none) - 1.0).abs() < 1e-12);
            assert!((schedule.share(60, &none) - middle).abs() < 1e-12, "{shape:?}");
            let end = if shape == Shape::Constant { 1.0 } else { 0.1 };
            assert!((schedule.share(110, &none) - end).abs() < 1e-12, "{shape:?}");
            assert!((schedule.share(999, &none) - end).abs() < 1e-12, "{shape:?}");
        }
    }

    #[test]
    fn plateau_waits_and_then_halves() {
        let (schedule, mut plateau) = (schedule(Shape::Plateau), Plateau::default());
        let mut shares = Vec::new();
        for loss in [3.0, 2.0, 2.5, 2.4, 1.0, 1.1, 1.2, 1.3, 1.4] {
            schedule.observe(loss, &mut plateau);
            shares.push(schedule.share(50, &plateau));
        }
        assert_eq!(shares, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]);
    }
}
