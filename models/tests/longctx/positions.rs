//! Tables of rotary frequencies.

use super::vectors::Vectors;
use kilobase_kernels::rotary::RopeStyle;
use kilobase_models::attention::scaling::RopeScaling;
use std::f64::consts::TAU;

pub(crate) fn check(vectors: &Vectors, case: &str) -> bool {
    if case != "freqs" {
        return false;
    }
    // The file does not say which constants it truncates with. They are the authors' for 2,048 tokens, except that
    // nothing is set to 0 (they do so below an eighth of a turn, where the file keeps the constant).
    let turn = TAU / 2048.0;
    let scalings = [
        ("linear4", RopeScaling::Linear { factor: 4.0 }),
        ("power", RopeScaling::Power { exponent: 0.5 }),
        ("trunc", RopeScaling::Truncated { low: turn / 16.0, high: turn, constant: turn / 16.0 }),
        ("ntk4", RopeScaling::Ntk { factor: 4.0 }),
    ];
    for (key, scaling) in scalings {
        let dim = vectors.spec(case, "D") as usize;
        let rotary = scaling.rotary(vectors.spec(case, "theta"), dim, RopeStyle::Half, 0);
        vectors.close(case, key, rotary.frequencies(), 1e-7);
    }
    true
}
