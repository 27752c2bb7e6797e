//! Cosines and sines of `position * frequency`, without a call to either for each position.

use super::RopeStyle;
use crate::vectorize::vectorize;

/// Digits of a position in base 1024: three cover a billion positions.
const BITS: u32 = 10;
const LEVELS: usize = 3;

/// Cosines and sines of every digit. A position is the sum of its digits, so its rotation is their complex product.
#[derive(Debug)]
pub(super) struct Tables {
    half: usize,
    /// `[levels, 1024]` rows of `half` cosines and `half` sines.
    rows: Vec<f64>,
}

impl Tables {
    pub(super) fn new(frequencies: &[f64]) -> Self {
        let mut rows = Vec::with_capacity((LEVELS << BITS) * 2 * frequencies.len());
        for level in 0..LEVELS as u32 {
            for digit in 0..1_u64 << BITS {
                let position = (digit << (level * BITS)) as f64;
                rows.extend(frequencies.iter().map(|f| (position * f).cos()));
                rows.extend(frequencies.iter().map(|f| (position * f).sin()));
            }
        }
        Self { half: frequencies.len(), rows }
    }

    /// Cosines and sines of one digit.
    fn digit(&self, level: u32, position: u64) -> (&[f64], &[f64]) {
        let digit = (position >> (level * BITS)) as usize & ((1 << BITS) - 1);
        let row = ((level as usize) << BITS) + digit;
        self.rows[row * 2 * self.half..][..2 * self.half].split_at(self.half)
    }

    /// Appends the row of one position.
    #[inline(always)]
    pub(super) fn push(&self, frequencies: &[f64], position: i64, factor: f64, angles: &mut Angles) {
        let (start, magnitude) = (angles.cos.len(), position.unsigned_abs());
        angles.cos.resize(start + self.half, 0.0);
        angles.sin.resize(start + self.half, 0.0);
        let (cos, sin) = (&mut angles.cos[start..], &mut angles.sin[start..]);
        let sign = if position < 0 { -factor } else { factor };
        if magnitude >> (LEVELS as u32 * BITS) != 0 {
            for (c, frequency) in frequencies.iter().enumerate() {
                let (s, k) = (magnitude as f64 * frequency).sin_cos();
                (cos[c], sin[c]) = ((k * factor) as f32, (s * sign) as f32);
            }
            return;
        }
        let (low, mut middle) = (self.digit(0, magnitude), self.digit(1, magnitude));
        let upper: (Vec<f64>, Vec<f64>);
        if magnitude >> (2 * BITS) != 0 {
            let high = self.digit(2, magnitude);
            let pairs = middle.0.iter().zip(middle.1).zip(high.0.iter().zip(high.1));
            upper = pairs.map(|((a, b), (c, d))| product((*a, *b), (*c, *d))).unzip();
            middle = (&upper.0, &upper.1);
        }
        let digits = low.0.iter().zip(low.1).zip(middle.0.iter().zip(middle.1));
        for ((cos, sin), ((a, b), (c, d))) in cos.iter_mut().zip(sin).zip(digits) {
            let z = product((*a, *b), (*c, *d));
            (*cos, *sin) = ((z.0 * factor) as f32, (z.1 * sign) as f32);
        }
    }
}

#[inline(always)]
fn product(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

/// Rotations of some rows: made by [`Rotary::angles`](super::Rotary::angles), used for every head and in both directions.
#[derive(Clone, Debug, Default)]
pub struct Angles {
    half: usize,
    /// `[rows, half]`, times the factor.
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Angles {
    pub(super) fn clear(&mut self, half: usize) {
        self.half = half;
        self.cos.clear();
        self.sin.clear();
    }

    /// Cosines and sines of one row, `D/2` each.
    pub fn row(&self, row: usize) -> (&[f32], &[f32]) {
        let range = row * self.half..(row + 1) * self.half;
        (&self.cos[range.clone()], &self.sin[range])
    }

    /// Rotates rows of `2 * half` numbers; `sign` is -1 to rotate back.
    pub(super) fn turn(&self, style: RopeStyle, sign: f32, vectors: &mut [f32]) {
        if self.half == 0 {
            return;
        }
        let angles = self.cos.chunks_exact(self.half).zip(self.sin.chunks_exact(self.half));
        let mut rows = vectors.chunks_exact_mut(2 * self.half).zip(angles);
        vectorize(
            #[inline(always)]
            || {
                for (vector, (cos, sin)) in rows.by_ref() {
                    match style {
                        RopeStyle::Half => turn_halves(vector, cos, sin, sign),
                        RopeStyle::Interleaved => turn_pairs(vector, cos, sin, sign),
                    }
                }
            },
        );
    }
}

#[inline(always)]
fn turn_halves(vector: &mut [f32], cos: &[f32], sin: &[f32], sign: f32) {
    let (first, second) = vector.split_at_mut(cos.len());
    for (((x, y), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        let (a, b, sin) = (*x, *y, sign * sin);
        *x = a * cos - b * sin;
        *y = a * sin + b * cos;
    }
}

#[inline(always)]
fn turn_pairs(vector: &mut [f32], cos: &[f32], sin: &[f32], sign: f32) {
    for ((pair, cos), sin) in vector.chunks_exact_mut(2).zip(cos).zip(sin) {
        let (a, b, sin) = (pair[0], pair[1], sign * sin);
        pair[0] = a * cos - b * sin;
        pair[1] = a * sin + b * cos;
    }
}
