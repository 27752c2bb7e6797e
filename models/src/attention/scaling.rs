//! Rotary frequencies for sequences beyond the length that a model was trained on.
//!
//! Every method is a change of the table `f_c = theta^(-2c / dim)`, `c = 0..dim / 2`, in f64; YaRN also multiplies cosine and
//! sine. What reads the table (`kilobase_kernels::rotary`) knows none of them.

use kilobase_kernels::rotary::{RopeStyle, Rotary};
use serde::Deserialize;
use std::f64::consts::TAU;

/// How the frequencies are changed. Names and fields are those of `rope_parameters` (before transformers 5:
/// `rope_scaling`, whose `type` is an older name of `rope_type`) in Hugging Face configurations, as far as it has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// Not at all.
    #[default]
    Default,
    /// Position interpolation (Chen et al. 2023): `f / factor`.
    Linear {
        /// Times the training length.
        factor: f64,
    },
    /// NTK-aware: `theta` times `factor^(dim / (dim - 2))`, so that the slowest frequency is divided by `factor` and the
    /// fastest stays.
    Ntk {
        /// Times the training length.
        factor: f64,
    },
    /// NTK-aware with a factor that grows with the sequence, `factor * tokens / trained - (factor - 1)`. Cached keys must
    /// be raw: their rotation changes while the sequence grows.
    Dynamic {
        /// Growth of the factor.
        factor: f64,
        /// Length that the model was trained on, in tokens; up to it nothing changes.
        #[serde(rename = "original_max_position_embeddings")]
        trained: usize,
    },
    /// Peng et al. 2023.
    Yarn(Yarn),
    /// Giraffe (Pal et al. 2023): frequencies from `high` up stay, those from `low` up become `constant`, the rest 0.
    Truncated {
        /// Below it a frequency becomes 0.
        low: f64,
        /// From here on frequencies stay.
        high: f64,
        /// What those between become.
        constant: f64,
    },
    /// Giraffe: `f * (1 - 2c / dim)^exponent`.
    Power {
        /// 0 changes nothing.
        exponent: f64,
    },
}

/// YaRN, as transformers computes it: frequencies that turn more than `beta_fast` times within the training length stay,
/// those that turn less than `beta_slow` times are divided by `factor`, and a ramp over `c` lies between.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Yarn {
    /// Times the training length.
    pub factor: f64,
    /// Length that the model was trained on, in tokens.
    #[serde(rename = "original_max_position_embeddings")]
    pub trained: usize,
    /// Turns from which on a frequency stays.
    #[serde(default = "beta_fast")]
    pub beta_fast: f64,
    /// Turns below which it is divided.
    #[serde(default = "beta_slow")]
    pub beta_slow: f64,
    /// Factor on cosine and sine; `0.1 ln(factor) + 1` if not given.
    #[serde(default)]
    pub attention_factor: Option<f64>,
    /// Whether the ends of the ramp are moved outwards to whole `c`.
    #[serde(default = "truncate")]
    pub truncate: bool,
}

fn beta_fast() -> f64 {
    32.0
}

fn beta_slow() -> f64 {
    1.0
}

fn truncate() -> bool {
    true
}

impl RopeScaling {
    /// Giraffe's truncation as its authors set it for a model trained on `trained` tokens: what does not turn once stays
    /// only down to an eighth of a turn, as a sixteenth.
    pub fn truncated(trained: usize) -> Self {
        let turn = TAU / trained as f64;
        Self::Truncated { low: turn / 8.0, high: turn, constant: turn / 16.0 }
    }

    /// The table for heads of `dim` and a sequence of `tokens`; only [`RopeScaling::Dynamic`] looks at the latter.
    pub fn rotary(&self, theta: f64, dim: usize, style: RopeStyle, tokens: usize) -> Rotary {
        let plain = |theta: f64| Rotary::plain(theta, dim, style);
        let ntk = |factor: f64| plain(theta * factor.powf(dim as f64 / (dim as f64 - 2.0)));
        let each = |change: &dyn Fn(usize, f64) -> f64| {
            let table = plain(theta);
            let changed = table.frequencies().iter().enumerate().map(|(c, &f)| change(c, f)).collect();
            Rotary::new(changed, style)
        };
        match *self {
            Self::Default => plain(theta),
            Self::Linear { factor } => each(&|_, f| f / factor),
            Self::Ntk { factor } => ntk(factor),
            Self::Dynamic { factor, trained } => {
                ntk(factor * tokens.max(trained) as f64 / trained as f64 - (factor - 1.0))
            }
            Self::Yarn(yarn) => {
                let ramp = yarn.ramp(theta, dim);
                each(&|c, f| f * (1.0 - ramp(c)) + f / yarn.factor * ramp(c))
                    .with_factor(yarn.cosine_factor())
            }
            Self::Truncated { low, high, constant } => each(&|_, f| match f {
                f if f >= high => f,
                f if f >= low => constant,
                _ => 0.0,
            }),
            Self::Power { exponent } => each(&|c, f| f * (1.0 - 2.0 * c as f64 / dim as f64).powf(exponent)),
        }
    }
}

impl Yarn {
    /// How much of `f / factor` is in frequency `c`: 0 for fast frequencies, 1 for slow ones.
    fn ramp(&self, theta: f64, dim: usize) -> impl Fn(usize) -> f64 {
        // The (fractional) c whose frequency turns so many times within the training length.
        let place = |turns: f64| dim as f64 * (self.trained as f64 / (turns * TAU)).ln() / (2.0 * theta.ln());
        let (mut low, mut high) = (place(self.beta_fast), place(self.beta_slow));
        if self.truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        (low, high) = (low.max(0.0), high.min(dim as f64 - 1.0));
        if (high - low).abs() < 1e-9 {
            high += 0.001;
        }
        move |c| ((c as f64 - low) / (high - low)).clamp(0.0, 1.0)
    }

    fn cosine_factor(&self) -> f64 {
        let inferred = if self.factor > 1.0 { 0.1 * self.factor.ln() + 1.0 } else { 1.0 };
        self.attention_factor.unwrap_or(inferred)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequencies(scaling: RopeScaling, dim: usize, tokens: usize) -> Vec<f64> {
        scaling.rotary(500_000.0, dim, RopeStyle::Half, tokens).frequencies().to_vec()
    }

    fn yarn(json: &str) -> RopeScaling {
        serde_json::from_str(json).expect("a scaling")
    }

    fn assert_close(ours: &[f64], expected: &[f64]) {
        for (a, b) in ours.iter().zip(expected) {
            assert!((a / b - 1.0).abs() < 1e-12, "{ours:?} instead of {expected:?}");
        }
    }

    #[test]
    fn yarn_of_the_decoder_at_six_times_its_length() {
        let scaling = yarn(
            r#"{"rope_type": "yarn", "factor": 6.0, "original_max_position_embeddings": 16384, "rope_theta": 5e5}"#,
        );
        let plain = frequencies(RopeScaling::Default, 64, 0);
        // Turns within the training length: c = 10 has 43.4, c = 11 has 28.8, c = 19 has 1.08, c = 20 has 0.72. So the
        // first below 32 is 11 and the first below 1 is 20: the ramp runs from 10 to 20.
        let turns = |c: usize| 16384.0 * plain[c] / TAU;
        assert!(turns(10) > 32.0 && turns(11) < 32.0 && turns(19) > 1.0 && turns(20) < 1.0);
        let mut expected = plain.clone();
        for (c, f) in expected.iter_mut().enumerate().skip(10) {
            let kept = (20.0 - c as f64).max(0.0) / 10.0;
            *f *= kept + (1.0 - kept) / 6.0;
        }
        assert_close(&frequencies(scaling, 64, 98_304), &expected);
    }

    #[test]
    fn yarn_of_the_small_decoder_fixture() {
        let scaling = yarn(r#"{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}"#);
        // 32 tokens hold 5 turns of the fastest frequency and 0.57 of the next, so only the first stays.
        let mut expected = frequencies(RopeScaling::Default, 12, 0);
        expected[1..].iter_mut().for_each(|f| *f /= 4.0);
        assert_close(&frequencies(scaling, 12, 100), &expected);
        // Cosine of position 0 is the factor: 0.1 ln 4 + 1.
        let mut x = [1.0, 0.0];
        scaling.rotary(10.0, 2, RopeStyle::Half, 0).rotate(&mut x, &[0]);
        assert!((x[0] - 1.138_629_4).abs() < 1e-6);
    }

    #[test]
    fn what_changes_nothing_gives_the_plain_table() {
        let plain = frequencies(RopeScaling::Default, 16, 0);
        let same = [
            yarn(r#"{"rope_type": "default", "rope_theta": 500000.0}"#),
            RopeScaling::Linear { factor: 1.0 },
            RopeScaling::Ntk { factor: 1.0 },
            RopeScaling::Dynamic { factor: 4.0, trained: 100 },
            yarn(r#"{"rope_type": "yarn", "factor": 1.0, "original_max_position_embeddings": 64}"#),
            RopeScaling::Truncated { low: 0.0, high: 0.0, constant: 1.0 },
            RopeScaling::Power { exponent: 0.0 },
        ];
        for scaling in same {
            assert_close(&frequencies(scaling, 16, 100), &plain);
        }
    }

    #[test]
    fn dynamic_is_ntk_of_the_length_reached() {
        let dynamic = RopeScaling::Dynamic { factor: 2.0, trained: 100 };
        assert_close(&frequencies(dynamic, 16, 300), &frequencies(RopeScaling::Ntk { factor: 5.0 }, 16, 0));
    }

    #[test]
    fn truncation_leaves_whole_turns_and_stops_the_slowest() {
        let plain = frequencies(RopeScaling::Default, 64, 0);
        let ours = frequencies(RopeScaling::truncated(2048), 64, 0);
        for (&f, &changed) in plain.iter().zip(&ours) {
            let turns = 2048.0 * f / TAU;
            let expected = if turns >= 1.0 {
                f
            } else if turns >= 0.125 {
                TAU / 32768.0
            } else {
                0.0
            };
            assert!((changed - expected).abs() < 1e-15);
        }
        assert!(ours[31] == 0.0 && ours.iter().any(|f| (f - TAU / 32768.0).abs() < 1e-15));
    }
}
