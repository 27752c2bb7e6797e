//! Linear layers and what follows them.

use super::block::{Finished, Sink};
use super::dispatch::multiply;
use super::norm::LayerNorm;
use super::packed::PackedMatrix;
use super::rows::Rows;
use crate::target::Target;
use crate::vectorize::vectorize;
use rayon::prelude::*;
use std::ops::Range;

/// `x * w^T + bias`, `[m, depth] -> [m, outputs]`.
///
/// # Panics
/// If shapes do not fit.
pub fn linear(x: Rows<'_>, weights: &PackedMatrix, bias: Option<&[f32]>, out: &mut [f32]) {
    linear_to(x, weights, bias, Target::new(out, weights.outputs()));
}

/// [`linear`] into all of a target.
pub(super) fn linear_to(x: Rows<'_>, weights: &PackedMatrix, bias: Option<&[f32]>, out: Target<'_>) {
    assert_eq!(x.rows, out.rows(), "as many rows in as out");
    for_blocks(x.rows, weights, |rows, panels| {
        product(x, weights, bias, None, rows, panels, out);
    });
}

/// `norm(x * w^T + bias + residual)`, `[m, depth] -> [m, outputs]`; without a norm the sum itself.
///
/// # Panics
/// If shapes do not fit.
pub fn linear_residual(
    x: Rows<'_>,
    weights: &PackedMatrix,
    bias: Option<&[f32]>,
    residual: Rows<'_>,
    norm: Option<&LayerNorm>,
    out: &mut [f32],
) {
    linear_residual_to(x, weights, bias, residual, norm, Target::new(out, weights.outputs()));
}

/// [`linear_residual`] into all of a target.
pub(super) fn linear_residual_to(
    x: Rows<'_>,
    weights: &PackedMatrix,
    bias: Option<&[f32]>,
    residual: Rows<'_>,
    norm: Option<&LayerNorm>,
    out: Target<'_>,
) {
    assert_eq!((x.rows, x.rows), (out.rows(), residual.rows), "as many rows in as out");
    assert_eq!(residual.columns, weights.outputs(), "residual as wide as the result");
    if let Some(norm) = norm {
        let width = out.columns();
        assert_eq!((norm.gamma.len(), norm.beta.len()), (width, width), "norm as wide as the result");
    }
    if whole_rows(x.rows, weights) {
        blocks(x.rows, weights).into_par_iter().for_each(|rows| {
            product(x, weights, bias, Some(residual), rows.clone(), 0..weights.panels(), out);
            normalise(norm, rows, out);
        });
    } else {
        for_blocks(x.rows, weights, |rows, panels| {
            product(x, weights, bias, Some(residual), rows, panels, out);
        });
        if norm.is_some() {
            (0..x.rows).into_par_iter().for_each(|row| normalise(norm, row..row + 1, out));
        }
    }
}

/// Part of a result: some rows, the columns of some panels. Callers write disjoint parts.
fn product(
    x: Rows<'_>,
    weights: &PackedMatrix,
    bias: Option<&[f32]>,
    residual: Option<Rows<'_>>,
    rows: Range<usize>,
    panels: Range<usize>,
    out: Target<'_>,
) {
    let first = rows.start;
    assert!(bias.is_none_or(|bias| bias.len() == out.columns()), "one summand an output");
    multiply(x.slice(rows), weights, panels, Store { bias, residual, first, out });
}

/// Puts finished tiles, with what is added to them, into the result.
pub(super) struct Store<'a> {
    /// One summand an output.
    pub(super) bias: Option<&'a [f32]>,
    pub(super) residual: Option<Rows<'a>>,
    /// The row of the result that is the first of the product.
    pub(super) first: usize,
    /// Callers write disjoint parts.
    pub(super) out: Target<'a>,
}

impl Sink for Store<'_> {
    #[inline(always)]
    fn expect(&mut self, rows: Range<usize>, column: usize, columns: usize) {
        let columns = column..self.out.columns().min(column + columns);
        for row in rows {
            self.out.prefetch(self.first + row, columns.clone());
        }
    }

    #[inline(always)]
    fn finish(&mut self, tile: Finished<'_>) {
        let columns = tile.column..self.out.columns().min(tile.column + tile.stride);
        for (i, values) in tile.values.chunks_exact(tile.stride).take(tile.rows).enumerate() {
            let row = self.first + tile.row + i;
            // SAFETY: jobs have disjoint rows or panels, and a job finishes a tile once.
            let target = unsafe { self.out.part(row, columns.clone()) };
            let bias = self.bias.map(|bias| &bias[columns.clone()]);
            finish(target, values, bias, self.residual.map(|residual| &residual.row(row)[columns.clone()]));
        }
    }
}

/// One loop for each case: short rows are not worth more than one pass.
#[inline(always)]
fn finish(target: &mut [f32], values: &[f32], bias: Option<&[f32]>, residual: Option<&[f32]>) {
    let pairs = target.iter_mut().zip(values);
    match (bias, residual) {
        (None, None) => pairs.for_each(|(target, &value)| *target = value),
        (Some(summand), None) | (None, Some(summand)) => {
            pairs.zip(summand).for_each(|((target, &value), &summand)| *target = value + summand);
        }
        (Some(bias), Some(residual)) => pairs
            .zip(bias.iter().zip(residual))
            .for_each(|((target, &value), (&bias, &residual))| *target = value + bias + residual),
    }
}

pub(super) fn normalise(norm: Option<&LayerNorm>, rows: Range<usize>, out: Target<'_>) {
    let Some(norm) = norm else { return };
    vectorize(
        #[inline(always)]
        || {
            for row in rows.clone() {
                // SAFETY: the job that normalises a row is alone with it.
                norm.apply(unsafe { out.part(row, 0..out.columns()) });
            }
        },
    );
}

/// Whether there are enough blocks of rows to give every thread whole rows.
pub(super) fn whole_rows(rows: usize, weights: &PackedMatrix) -> bool {
    blocks(rows, weights).len() >= 2 * rayon::current_num_threads()
}

/// What one thread works on at a time.
pub(super) fn blocks(rows: usize, weights: &PackedMatrix) -> Vec<Range<usize>> {
    // Four blocks a thread even out what one of them takes longer.
    let (height, most) = (weights.kernel().tile_rows(), weights.kernel().block_rows());
    let share = rows.div_ceil(4 * rayon::current_num_threads()).next_multiple_of(height);
    let step = share.clamp(height.max(24), most);
    (0..rows).step_by(step).map(|first| first..(first + step).min(rows)).collect()
}

/// Runs `job` on blocks of rows and, if these are few, parts of the panels. Which sums a job does, not how, depends on the
/// number of threads.
pub(super) fn for_blocks(
    rows: usize,
    weights: &PackedMatrix,
    job: impl Fn(Range<usize>, Range<usize>) + Sync,
) {
    let (blocks, panels) = (blocks(rows, weights), weights.panels());
    let parts = (4 * rayon::current_num_threads()).div_ceil(blocks.len().max(1)).min(panels.max(1));
    let step = panels.div_ceil(parts).max(1);
    let jobs: Vec<_> = blocks
        .into_iter()
        .flat_map(|rows| (0..panels).step_by(step).map(move |p| (rows.clone(), p..(p + step).min(panels))))
        .collect();
    jobs.into_par_iter().for_each(|(rows, panels)| job(rows, panels));
}
