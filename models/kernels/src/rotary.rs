//! Rotary position embeddings: frequencies, exact angles, and the rotation itself.

mod angles;

pub use angles::Angles;

use crate::vectorize::vectorize;
use angles::Tables;
use std::sync::Arc;

/// Which coordinates form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RopeStyle {
    /// `(c, c + D/2)`: Llama and GENERator in Hugging Face layout.
    Half,
    /// `(2c, 2c + 1)`: the original paper.
    Interleaved,
}

/// Frequencies `f[D/2]` and how they rotate. Angles are `position * f` in f64 before cosine and sine: an f32 angle is off
/// by 4e-2 at a million positions.
#[derive(Clone, Debug)]
pub struct Rotary {
    frequencies: Vec<f64>,
    style: RopeStyle,
    /// Factor on cosine and sine (YaRN's attention factor); 1 otherwise.
    factor: f64,
    tables: Arc<Tables>,
}

impl Rotary {
    /// One frequency a pair of coordinates.
    pub fn new(frequencies: Vec<f64>, style: RopeStyle) -> Self {
        let tables = Arc::new(Tables::new(&frequencies));
        Self { frequencies, style, factor: 1.0, tables }
    }

    /// `theta^(-2c / dim)`, the plain table.
    pub fn plain(theta: f64, dim: usize, style: RopeStyle) -> Self {
        Self::new((0..dim / 2).map(|c| theta.powf(-2.0 * c as f64 / dim as f64)).collect(), style)
    }

    /// The same with cosine and sine multiplied by `factor`.
    #[must_use]
    pub fn with_factor(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// The frequencies.
    pub fn frequencies(&self) -> &[f64] {
        &self.frequencies
    }

    /// Which coordinates form a pair.
    pub fn style(&self) -> RopeStyle {
        self.style
    }

    /// The factor on cosine and sine.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Cosines and sines of some positions, for rotations that are used again. Replaces what `angles` held.
    pub fn angles(&self, positions: impl IntoIterator<Item = i64>, angles: &mut Angles) {
        angles.clear(self.frequencies.len());
        let mut positions = positions.into_iter();
        vectorize(
            #[inline(always)]
            || {
                for position in positions.by_ref() {
                    self.tables.push(&self.frequencies, position, self.factor, angles);
                }
            },
        );
    }

    /// Rotates `rows` vectors of `2 * frequencies` numbers in place, each by its row of angles.
    pub fn turn(&self, vectors: &mut [f32], angles: &Angles) {
        angles.turn(self.style, 1.0, vectors);
    }

    /// The transpose of [`Rotary::turn`]: rotates back (and multiplies by the factor again), as gradients need.
    pub fn turn_back(&self, vectors: &mut [f32], angles: &Angles) {
        angles.turn(self.style, -1.0, vectors);
    }

    /// Rotates `rows` vectors of `2 * frequencies` numbers in place, each by its position; negative positions rotate back.
    pub fn rotate(&self, vectors: &mut [f32], positions: &[i64]) {
        let mut angles = Angles::default();
        self.angles(positions.iter().copied(), &mut angles);
        self.turn(vectors, &angles);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn angles_are_exact_at_a_million_positions_and_beyond() {
        let rotary = Rotary::plain(10_000.0, 64, RopeStyle::Half);
        let mut angles = Angles::default();
        let far = [1_i64 << 20, 3_000_017, 98_304_123, (1 << 30) - 1, 1 << 30, i64::from(u32::MAX)];
        let positions: Vec<i64> = (0..1_100_000).step_by(371).chain(far).flat_map(|p| [p, -p]).collect();
        rotary.angles(positions.iter().copied(), &mut angles);
        for (row, &position) in positions.iter().enumerate() {
            let (cos, sin) = angles.row(row);
            for (c, frequency) in rotary.frequencies().iter().enumerate() {
                let (s, k) = (position as f64 * frequency).sin_cos();
                let error = (f64::from(cos[c]) - k).abs().max((f64::from(sin[c]) - s).abs());
                assert!(error <= 1e-7, "position {position}, pair {c}: error {error:e}");
            }
        }
    }

    proptest! {
        #[test]
        fn rotation_follows_its_definition_and_turns_back(
            half in 1usize..9, position in -2_000_000i64..2_000_000, interleaved: bool, factor in 0.5f64..2.0,
        ) {
            let style = if interleaved { RopeStyle::Interleaved } else { RopeStyle::Half };
            let rotary = Rotary::plain(500.0, 2 * half, style).with_factor(factor);
            let x: Vec<f32> = (0..2 * half).map(|i| (i as f32 * 1.3).sin()).collect();
            let mut y = x.clone();
            rotary.rotate(&mut y, &[position]);
            for c in 0..half {
                let (a, b) = if interleaved { (2 * c, 2 * c + 1) } else { (c, c + half) };
                let (sin, cos) = (position as f64 * rotary.frequencies()[c]).sin_cos();
                let (p, q) = (f64::from(x[a]), f64::from(x[b]));
                prop_assert!((f64::from(y[a]) - factor * (p * cos - q * sin)).abs() < 1e-6);
                prop_assert!((f64::from(y[b]) - factor * (p * sin + q * cos)).abs() < 1e-6);
            }
            let mut angles = Angles::default();
            rotary.angles([position], &mut angles);
            rotary.turn_back(&mut y, &angles);
            for (x, y) in x.iter().zip(&y) {
                prop_assert!((f64::from(*y) / factor.powi(2) - f64::from(*x)).abs() < 1e-6);
            }
        }
    }
}
