//! The queries of one group of heads, stacked in one tile: `[group, rows]`, so that the group shares each tile of keys.

use super::rows::unit;
use super::sight::Bounds;
use super::{Call, QueryTile};
use crate::aligned::Aligned;
use crate::attention::{Normalizer, PosRule};
use crate::rotary::{Angles, Rotary};
use std::iter::repeat_n;

/// Which rotation a query takes for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Its own position, against rotated keys. The only one without a distance cap.
    Near,
    /// The cap, against raw keys: for keys farther back than it.
    Past,
    /// Minus the cap, against raw keys: for keys farther ahead than it.
    Future,
}

impl Reach {
    pub(super) fn of(query: u32, key: u32, cap: u32) -> Self {
        if query.saturating_sub(key) > cap {
            Self::Past
        } else if key.saturating_sub(query) > cap {
            Self::Future
        } else {
            Self::Near
        }
    }
}

/// The queries as the keys of one reach meet them: scaled (or of unit length) and rotated.
pub(super) struct Rotated {
    pub(super) reach: Reach,
    /// `[group * rows, dim]`
    pub(super) vectors: Aligned<f32>,
    /// `[dim, group * rows]`: how products with keys read them.
    pub(super) columns: Aligned<f32>,
    angles: Angles,
    factor: f32,
}

/// A stacked tile of queries.
pub(super) struct Queries<'a> {
    /// `group * rows`
    pub(super) count: usize,
    /// Of each row of one head.
    pub(super) positions: &'a [u32],
    pub(super) bounds: Bounds,
    /// First query head of the group.
    pub(super) first_head: usize,
    pub(super) tile: QueryTile,
    pub(super) rotated: Vec<Rotated>,
}

impl<'a> Queries<'a> {
    pub(super) fn new(call: &Call<'a>, tile: &QueryTile, kv_head: usize) -> Self {
        let unit_length = call.spec.norm != Normalizer::Softmax;
        let mut queries = Self::scaled(call, tile, kv_head, if unit_length { 1.0 } else { call.spec.scale });
        for rotated in &mut queries.rotated {
            if unit_length {
                unit(&mut rotated.vectors, call.q.dim);
            }
            rotated.columns = Aligned::transposed(&rotated.vectors, queries.count, call.q.dim);
        }
        queries
    }

    /// Rotated and multiplied by a factor of the caller's, not laid out for products.
    pub(super) fn scaled(call: &Call<'a>, tile: &QueryTile, kv_head: usize, scale: f32) -> Self {
        let first = call.sequences[tile.sequence].rows.start;
        let positions = &call.positions[first + tile.rows.start..first + tile.rows.end];
        let mut vectors = Vec::with_capacity(call.group * tile.rows.len() * call.q.dim);
        for head in kv_head * call.group..(kv_head + 1) * call.group {
            for row in tile.rows.clone() {
                vectors.extend(call.q.row(first + row, head).iter().map(|x| x * scale));
            }
        }
        let mut rotated = vec![Rotated::new(Reach::Near, &vectors, 1.0)];
        if let PosRule::Rope { rotary, cap } = &call.spec.pos {
            if let Some(cap) = *cap {
                let far = |reach, angle| rotated[0].at_cap(rotary, reach, angle, positions.len());
                let past = far(Reach::Past, i64::from(cap));
                let future = (!call.spec.causal).then(|| far(Reach::Future, -i64::from(cap)));
                rotated.extend([Some(past), future].into_iter().flatten());
            }
            rotary.angles(positions.iter().map(|&p| i64::from(p)), &mut rotated[0].angles);
            rotated[0].turn(rotary, positions.len());
        }
        Self {
            count: call.group * tile.rows.len(),
            positions,
            bounds: Bounds::of(positions),
            first_head: kv_head * call.group,
            tile: tile.clone(),
            rotated,
        }
    }

    /// Query head and row within the tile of a stacked row.
    pub(super) fn place(&self, stacked: usize) -> (usize, usize) {
        let rows = self.positions.len();
        (self.first_head + stacked / rows, stacked % rows)
    }
}

impl Rotated {
    /// Not yet rotated.
    fn new(reach: Reach, vectors: &[f32], factor: f32) -> Self {
        let (vectors, columns) = (Aligned::of(vectors), Aligned::default());
        Self { reach, vectors, columns, angles: Angles::default(), factor }
    }

    /// The same, not yet rotated queries as if all keys were at the cap. Raw keys lack the factor, so it is put in here.
    fn at_cap(&self, rotary: &Rotary, reach: Reach, angle: i64, rows: usize) -> Self {
        let factor = rotary.factor() as f32;
        let vectors: Vec<f32> = self.vectors.iter().map(|x| x * factor).collect();
        let mut far = Self::new(reach, &vectors, factor);
        rotary.angles(repeat_n(angle, rows), &mut far.angles);
        far.turn(rotary, rows);
        far
    }

    fn turn(&mut self, rotary: &Rotary, rows: usize) {
        let dim = 2 * rotary.frequencies().len();
        for head in self.vectors.chunks_exact_mut((rows * dim).max(1)) {
            rotary.turn(head, &self.angles);
        }
    }

    /// Adds `scale * d(these vectors)` to the gradient of the queries; both `[group * rows, dim]`. Rotates `d` back.
    pub(super) fn add_gradient(&self, pos: &PosRule, d: &mut [f32], rows: usize, scale: f32, dq: &mut [f32]) {
        if let PosRule::Rope { rotary, .. } = pos {
            let dim = 2 * rotary.frequencies().len();
            for head in d.chunks_exact_mut((rows * dim).max(1)) {
                rotary.turn_back(head, &self.angles);
            }
        }
        for (dq, d) in dq.iter_mut().zip(d.iter()) {
            *dq += scale * self.factor * d;
        }
    }
}
