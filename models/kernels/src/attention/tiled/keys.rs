//! One tile of keys and values, copied together and rotated.

use super::Call;
use super::queries::Reach;
use super::rows::unit;
use super::sight::Bounds;
use super::softmax::Strip;
use crate::aligned::Aligned;
use crate::attention::{Heads, KeyForm, KvView, Normalizer, PosRule};
use crate::matmul::Rows;
use crate::matmul::product::Panels;
use crate::rotary::{Angles, Rotary};
use std::ops::Range;

/// A tile of keys and values: buffers that are used again for each tile, or rows where they lie.
#[derive(Default)]
pub(super) struct Loaded<'a> {
    pub(super) count: usize,
    pub(super) positions: Vec<u32>,
    /// `[count, key_dim]`, rotated.
    near: Aligned<f32>,
    /// The same as stored, if there is a distance cap.
    raw: Aligned<f32>,
    /// `[count, value_dim]`
    values: Aligned<f32>,
    /// Keys as the products read them.
    near_panels: Panels,
    raw_panels: Panels,
    lent_keys: Option<Heads<'a>>,
    lent_values: Option<Heads<'a>>,
    /// What the stored keys were rotated with, if they were.
    rotary: Option<&'a Rotary>,
    angles: Angles,
}

impl<'a> Loaded<'a> {
    /// Reads keys and their positions.
    pub(super) fn load(&mut self, call: &Call<'a>, kv: &'a dyn KvView, head: usize, pieces: &[Range<usize>]) {
        let (positions, dim) = (kv.positions(head), kv.key_dim());
        self.positions.clear();
        for piece in pieces {
            self.positions.extend_from_slice(&positions[piece.clone()]);
        }
        self.count = self.positions.len();
        let unit_length = call.spec.norm != Normalizer::Softmax;
        let rope = match &call.spec.pos {
            PosRule::Rope { rotary, cap } if kv.key_form() == KeyForm::Raw => Some((&**rotary, cap)),
            _ => None,
        };
        self.rotary = rope.map(|(rotary, _)| rotary);
        self.lent_keys = match pieces {
            [piece] if !unit_length && rope.is_none() => kv.lend_keys(head, piece.clone()),
            _ => None,
        };
        if self.lent_keys.is_some() {
            return;
        }
        read(&mut self.near, self.count, dim, pieces, |slots, out| kv.keys(head, slots, out));
        if unit_length {
            unit(&mut self.near, dim);
        }
        if let Some((rotary, cap)) = rope {
            if cap.is_some() {
                self.raw.clone_from(&self.near);
            }
            rotary.angles(self.positions.iter().map(|&p| i64::from(p)), &mut self.angles);
            rotary.turn(&mut self.near, &self.angles);
            if unit_length {
                unit(&mut self.near, dim);
            }
        }
    }

    /// Reads the keys and values of a tile that some strips visit, and returns their slots: what one of the strips sees, the
    /// others seeing that or its beginning.
    pub(super) fn load_both<'b>(
        &mut self,
        call: &Call<'a>,
        kv_head: usize,
        strips: &'b [Strip<'_>],
        visit: &[(usize, usize)],
    ) -> &'b [Range<usize>] {
        let kv = call.sequences[strips[0].queries.tile.sequence].kv;
        let tiles = visit.iter().map(|&(strip, n)| strips[strip].cover.tile(n));
        let pieces = tiles.max_by_key(|tile| tile.slots()).expect("a strip").pieces;
        self.load(call, kv, kv_head, pieces);
        self.load_values(kv, kv_head, pieces);
        pieces
    }

    /// Lays the keys out for products; [`Self::load`] comes first.
    pub(super) fn pack(&mut self, call: &Call<'a>) {
        let mut panels = std::mem::take(&mut self.near_panels);
        panels.load(self.of(Reach::Near));
        self.near_panels = panels;
        if matches!(call.spec.pos, PosRule::Rope { cap: Some(_), .. }) {
            let mut panels = std::mem::take(&mut self.raw_panels);
            panels.load(self.of(Reach::Past));
            self.raw_panels = panels;
        }
    }

    /// The keys that queries of a reach meet, as [`Self::pack`] laid them out.
    pub(super) fn panels(&self, reach: Reach) -> &Panels {
        if reach == Reach::Near { &self.near_panels } else { &self.raw_panels }
    }

    /// Reads values.
    pub(super) fn load_values(&mut self, kv: &'a dyn KvView, head: usize, pieces: &[Range<usize>]) {
        self.lent_values = if let [piece] = pieces { kv.lend_values(head, piece.clone()) } else { None };
        // Rows that lie a page apart would be looked up in the page table each time that they are read.
        self.lent_values = self.lent_values.filter(|values| values.row_stride <= 4 * values.dim);
        if self.lent_values.is_none() {
            let fill = |slots, out: &mut [f32]| kv.values(head, slots, out);
            read(&mut self.values, self.count, kv.value_dim(), pieces, fill);
        }
    }

    /// The keys that queries of a reach meet, `[count, key_dim]`.
    pub(super) fn of(&self, reach: Reach) -> Rows<'_> {
        let own = if reach == Reach::Near { &self.near } else { &self.raw };
        self.rows(self.lent_keys, own)
    }

    /// `[count, value_dim]`
    pub(super) fn values(&self) -> Rows<'_> {
        self.rows(self.lent_values, &self.values)
    }

    fn rows<'b>(&self, lent: Option<Heads<'b>>, own: &'b [f32]) -> Rows<'b> {
        lent.map_or_else(|| Rows::packed(own, self.count, own.len() / self.count.max(1)), rows_of)
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds::of(&self.positions)
    }

    /// Whether these are the keys as stored.
    pub(super) fn as_stored(&self) -> bool {
        self.rotary.is_none()
    }

    /// Turns a gradient of the rotated keys into one of the stored keys.
    pub(super) fn turn_back(&self, d_near: &mut [f32]) {
        if let Some(rotary) = self.rotary {
            rotary.turn_back(d_near, &self.angles);
        }
    }
}

/// The rows of one head.
fn rows_of(Heads { data, rows, dim, row_stride, .. }: Heads<'_>) -> Rows<'_> {
    Rows { data, rows, columns: dim, stride: row_stride }
}

fn read(
    buffer: &mut Aligned<f32>,
    count: usize,
    dim: usize,
    pieces: &[Range<usize>],
    fill: impl Fn(Range<usize>, &mut [f32]),
) {
    buffer.resize(count * dim);
    let mut rest = &mut buffer[..];
    for piece in pieces {
        let (these, others) = rest.split_at_mut(piece.len() * dim);
        fill(piece.clone(), these);
        rest = others;
    }
}
