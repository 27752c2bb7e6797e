//! Rotary position embeddings: frequencies, exact angles, and the rotation itself.

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
}

impl Rotary {
    /// One frequency a pair of coordinates.
    pub fn new(frequencies: Vec<f64>, style: RopeStyle) -> Self {
        Self { frequencies, style, factor: 1.0 }
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

    /// Rotates `rows` vectors of `2 * frequencies` numbers in place, each by its position; negative positions rotate back.
    pub fn rotate(&self, vectors: &mut [f32], positions: &[i64]) {
        let dim = 2 * self.frequencies.len();
        for (vector, &position) in vectors.chunks_exact_mut(dim).zip(positions) {
            for (c, frequency) in self.frequencies.iter().enumerate() {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                let (cos, sin) = ((cos * self.factor) as f32, (sin * self.factor) as f32);
                let (a, b) = match self.style {
                    RopeStyle::Half => (c, c + dim / 2),
                    RopeStyle::Interleaved => (2 * c, 2 * c + 1),
                };
                let (x, y) = (vector[a], vector[b]);
                vector[a] = x * cos - y * sin;
                vector[b] = x * sin + y * cos;
            }
        }
    }
}
