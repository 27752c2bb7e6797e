//! One tile of keys and values, copied together and rotated.

use super::Call;
use super::queries::unit;
use super::sight::Bounds;
use crate::attention::{KeyForm, KvView, Normalizer, PosRule};
use crate::rotary::{Angles, Rotary};
use std::ops::Range;

/// Buffers of a tile of keys, used again for each tile.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) count: usize,
    pub(super) positions: Vec<u32>,
    /// `[count, key_dim]`, rotated.
    pub(super) near: Vec<f32>,
    /// The same as stored, if there is a distance cap.
    pub(super) raw: Vec<f32>,
    /// `[count, value_dim]`
    pub(super) values: Vec<f32>,
    angles: Angles,
}

impl Keys {
    /// Reads keys and their positions.
    pub(super) fn load(&mut self, call: &Call<'_>, kv: &dyn KvView, head: usize, pieces: &[Range<usize>]) {
        let (positions, dim) = (kv.positions(head), kv.key_dim());
        self.positions.clear();
        for piece in pieces {
            self.positions.extend_from_slice(&positions[piece.clone()]);
        }
        self.count = self.positions.len();
        read(&mut self.near, self.count, dim, pieces, |slots, out| kv.keys(head, slots, out));
        let unit_length = call.spec.norm != Normalizer::Softmax;
        if unit_length {
            unit(&mut self.near, dim);
        }
        if let PosRule::Rope { rotary, cap } = &call.spec.pos {
            if cap.is_some() {
                self.raw.clone_from(&self.near);
            }
            if kv.key_form() == KeyForm::Raw {
                rotary.angles(self.positions.iter().map(|&p| i64::from(p)), &mut self.angles);
                rotary.turn(&mut self.near, &self.angles);
                if unit_length {
                    unit(&mut self.near, dim);
                }
            }
        }
    }

    /// Reads values.
    pub(super) fn load_values(&mut self, kv: &dyn KvView, head: usize, pieces: &[Range<usize>]) {
        let count = pieces.iter().map(Range::len).sum();
        read(&mut self.values, count, kv.value_dim(), pieces, |slots, out| kv.values(head, slots, out));
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds::of(&self.positions)
    }

    /// Turns a gradient of the rotated keys into one of the stored keys.
    pub(super) fn turn_back(&self, rotary: &Rotary, d_near: &mut [f32]) {
        rotary.turn_back(d_near, &self.angles);
    }
}

fn read(
    buffer: &mut Vec<f32>,
    count: usize,
    dim: usize,
    pieces: &[Range<usize>],
    fill: impl Fn(Range<usize>, &mut [f32]),
) {
    buffer.resize(count * dim, 0.0);
    let mut rest = &mut buffer[..];
    for piece in pieces {
        let (these, others) = rest.split_at_mut(piece.len() * dim);
        fill(piece.clone(), these);
        rest = others;
    }
}
