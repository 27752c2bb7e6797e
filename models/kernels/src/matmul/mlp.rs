//! Gated feed-forward layers.

pub use super::activation::Activation;
use super::block::{self, Element, Finished, Scratch, Tile};
use super::dispatch::{Job, dispatch, multiply};
use super::linear::{Store, blocks, for_blocks, linear_residual, normalise, whole_rows};
use super::norm::LayerNorm;
use super::packed::PackedMatrix;
use super::rows::Rows;
use crate::target::Target;
use rayon::prelude::*;
use std::ops::Range;

/// `norm((act(x * g^T) . (x * u^T)) * w^T + bias + residual)`: a gated layer with its residual and, in models that normalise
/// afterwards, the normalisation.
#[derive(Debug)]
pub struct GatedMlp {
    /// `g` and `u` by [`PackedMatrix::gated`].
    pub gated: PackedMatrix,
    /// `w`, `[hidden, intermediate]`.
    pub down: PackedMatrix,
    /// Summands of the result.
    pub bias: Option<Vec<f32>>,
    /// What is applied to the gate.
    pub activation: Activation,
    /// Normalisation of the sum with the residual.
    pub norm: Option<LayerNorm>,
}

/// The layer over `x` and `residual`, both `[m, hidden]`. The intermediate numbers of a block of rows exist while it is worked on, never those
/// of all rows.
///
/// # Panics
/// If shapes do not fit.
pub fn gated_mlp(layer: &GatedMlp, x: Rows<'_>, residual: Rows<'_>, out: &mut [f32]) {
    let width = layer.gated.outputs() / 2;
    assert_eq!(layer.down.depth(), width, "as many intermediate numbers in as out");
    assert_eq!((out.len(), residual.rows), (x.rows * layer.down.outputs(), x.rows), "as many rows in as out");
    assert_eq!(residual.columns, layer.down.outputs(), "residual as wide as the result");
    if !whole_rows(x.rows, &layer.gated) {
        let mut intermediate = vec![0.0; x.rows * width];
        let target = Target::new(&mut intermediate, width);
        for_blocks(x.rows, &layer.gated, |rows, panels| {
            let x = x.slice(rows.clone());
            by_activation(layer.activation, Gate { layer, x, rows, panels, out: target });
        });
        let (bias, norm) = (layer.bias.as_deref(), layer.norm.as_ref());
        return linear_residual(Rows::new(&intermediate, width), &layer.down, bias, residual, norm, out);
    }
    let out = Target::new(out, layer.down.outputs());
    assert!(layer.gated.kernel().layout() == layer.down.kernel().layout(), "both packed for one kernel");
    blocks(x.rows, &layer.gated).into_par_iter().for_each(|rows| {
        let part = out.rows_from(rows.start);
        let (x, residual) = (x.slice(rows.clone()), residual.slice(rows.clone()));
        by_activation(layer.activation, OfBlock { layer, x, residual, out: part });
        normalise(layer.norm.as_ref(), 0..rows.len(), part);
    });
}

/// What is done with the activation of a layer, compiled for each.
trait ByActivation {
    fn with(self, activation: impl Fn(f32) -> f32);
}

/// Chosen outside of the loop over numbers.
fn by_activation(activation: Activation, job: impl ByActivation) {
    match activation {
        Activation::Gelu => job.with(
            #[inline(always)]
            |x| Activation::Gelu.apply(x),
        ),
        Activation::Silu => job.with(
            #[inline(always)]
            |x| Activation::Silu.apply(x),
        ),
    }
}

/// Half of the widest tile.
const HALF: usize = 16;

/// The activated numbers of one row of a tile: gates in its first half, values in its second.
#[inline(always)]
fn activate(row: &[f32], activation: &impl Fn(f32) -> f32) -> [f32; HALF] {
    let (gates, values) = row.split_at(row.len() / 2);
    let mut activated = [0.0; HALF];
    for ((activated, &gate), &value) in activated.iter_mut().zip(gates).zip(values) {
        *activated = activation(gate) * value;
    }
    activated
}

/// Some intermediate numbers of some rows, for a product of their own. `x` starts at the first of the rows.
struct Gate<'a> {
    layer: &'a GatedMlp,
    x: Rows<'a>,
    rows: Range<usize>,
    panels: Range<usize>,
    out: Target<'a>,
}

impl ByActivation for Gate<'_> {
    fn with(self, activation: impl Fn(f32) -> f32) {
        let Self { layer, x, rows, panels, out } = self;
        multiply(
            x,
            &layer.gated,
            panels,
            #[inline(always)]
            |tile: Finished<'_>| {
                let first = tile.column / 2;
                let columns = first..out.columns().min(first + tile.stride / 2);
                for (i, row) in tile.values.chunks_exact(tile.stride).take(tile.rows).enumerate() {
                    let activated = activate(row, &activation);
                    // SAFETY: jobs have disjoint rows or panels, and a job finishes a tile once.
                    let target = unsafe { out.part(rows.start + tile.row + i, columns.clone()) };
                    target.copy_from_slice(&activated[..target.len()]);
                }
            },
        );
    }
}

/// Both products of one block of rows: intermediate numbers go from the tile where they are computed to where the second
/// product reads them.
struct OfBlock<'a> {
    layer: &'a GatedMlp,
    x: Rows<'a>,
    residual: Rows<'a>,
    out: Target<'a>,
}

impl ByActivation for OfBlock<'_> {
    fn with(self, activation: impl Fn(f32) -> f32) {
        assert_eq!(self.x.columns, self.layer.gated.depth(), "rows as long as the weights are deep");
        dispatch(self.layer.down.kernel(), Activated { block: self, activation });
    }
}

struct Activated<'a, A> {
    block: OfBlock<'a>,
    activation: A,
}

impl<A: Fn(f32) -> f32> Job for Activated<'_, A> {
    #[inline(always)]
    fn run<T: Tile>(self, tile: T, scratch: &mut Scratch) {
        let Self { block: OfBlock { layer, x, residual, out }, activation } = self;
        let GatedMlp { gated, down, bias, .. } = layer;
        let (width, depth) = (down.depth(), down.padded_depth());
        let left = block::pack(tile, x, gated.padded_depth(), &mut scratch.left);
        let between = T::Left::buffer(&mut scratch.between);
        if depth > width {
            // What lies beyond the last column meets weights of zero, and must be a number.
            between.clear();
        }
        between.resize(block::packed_len::<T>(x.rows, depth));
        block::multiply(
            tile,
            left,
            x.rows,
            gated,
            0..gated.panels(),
            &mut scratch.tiles,
            #[inline(always)]
            |sums: Finished<'_>| {
                let first = sums.column / 2;
                let count = (sums.stride / 2).min(width - first);
                for (i, row) in sums.values.chunks_exact(sums.stride).take(sums.rows).enumerate() {
                    let activated = activate(row, &activation);
                    tile.put(between, depth, sums.row + i, first, &activated[..count]);
                }
            },
        );
        let store = Store { bias: bias.as_deref(), residual: Some(residual), first: 0, out };
        block::multiply(tile, between, x.rows, down, 0..down.panels(), &mut scratch.tiles, store);
    }
}
