//! Gated feed-forward layers.

pub use super::activation::Activation;
use super::dispatch::multiply;
use super::linear::{blocks, for_blocks, linear_residual, normalise, product, whole_rows};
use super::norm::LayerNorm;
use super::packed::PackedMatrix;
use super::rows::{Rows, Target};
use rayon::prelude::*;
use std::cell::RefCell;
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
    thread_local!(static INTERMEDIATE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) });
    let width = layer.gated.outputs() / 2;
    assert_eq!(layer.down.depth(), width, "as many intermediate numbers in as out");
    assert_eq!((out.len(), residual.rows), (x.rows * layer.down.outputs(), x.rows), "as many rows in as out");
    assert_eq!(residual.columns, layer.down.outputs(), "residual as wide as the result");
    if !whole_rows(x.rows) {
        let mut intermediate = vec![0.0; x.rows * width];
        let target = Target::new(&mut intermediate, width);
        for_blocks(x.rows, layer.gated.panels(), |rows, panels| {
            gate(layer, x.slice(rows.clone()), rows, panels, target);
        });
        let (bias, norm) = (layer.bias.as_deref(), layer.norm.as_ref());
        return linear_residual(Rows::new(&intermediate, width), &layer.down, bias, residual, norm, out);
    }
    let out = Target::new(out, layer.down.outputs());
    blocks(x.rows).into_par_iter().for_each(|rows| {
        let mut buffer = INTERMEDIATE.take();
        buffer.resize(rows.len() * width, 0.0);
        let target = Target::new(&mut buffer, width);
        gate(layer, x.slice(rows.clone()), 0..rows.len(), 0..layer.gated.panels(), target);
        down(layer, Rows::new(&buffer, width), residual, rows, out);
        INTERMEDIATE.set(buffer);
    });
}

/// The second product of one block of rows, and the normalisation.
fn down(layer: &GatedMlp, intermediate: Rows<'_>, residual: Rows<'_>, rows: Range<usize>, out: Target<'_>) {
    let part = out.rows_from(rows.start);
    let bias = layer.bias.as_deref();
    let residual = residual.slice(rows.clone());
    product(intermediate, &layer.down, bias, Some(residual), 0..rows.len(), 0..layer.down.panels(), part);
    normalise(layer.norm.as_ref(), 0..rows.len(), part);
}

/// Activated intermediate numbers of some rows; `x` starts at the first of them.
fn gate(layer: &GatedMlp, x: Rows<'_>, rows: Range<usize>, panels: Range<usize>, out: Target<'_>) {
    // Chosen outside of the loop over numbers.
    match layer.activation {
        Activation::Gelu => gate_by(|x| Activation::Gelu.apply(x), layer, x, rows, panels, out),
        Activation::Silu => gate_by(|x| Activation::Silu.apply(x), layer, x, rows, panels, out),
    }
}

/// Half of the widest tile.
const HALF: usize = 16;

fn gate_by(
    activation: impl Fn(f32) -> f32,
    layer: &GatedMlp,
    x: Rows<'_>,
    rows: Range<usize>,
    panels: Range<usize>,
    out: Target<'_>,
) {
    multiply(
        x,
        &layer.gated,
        panels,
        #[inline(always)]
        |tile| {
            let half = tile.stride / 2;
            let columns = tile.column / 2..out.columns().min(tile.column / 2 + half);
            for (i, values) in tile.values.chunks_exact(tile.stride).take(tile.rows).enumerate() {
                let (gates, ups) = values.split_at(half);
                let mut activated = [0.0; HALF];
                for ((activated, &gate), &up) in activated.iter_mut().zip(gates).zip(ups) {
                    *activated = activation(gate) * up;
                }
                // SAFETY: jobs have disjoint rows or panels, and a job finishes a tile once.
                let target = unsafe { out.part(rows.start + tile.row + i, columns.clone()) };
                if let (Ok(target), Some(values)) =
                    (<&mut [f32; 8]>::try_from(&mut *target), activated.first_chunk())
                {
                    *target = *values;
                } else {
                    target.copy_from_slice(&activated[..target.len()]);
                }
            }
        },
    );
}
