//! Matrix products of attention and of gradients, on row-major slices as they lie, by the micro-kernel.

use super::rows::Rows;
use crate::aligned::Aligned;
use crate::micro::{Left, multiply_add};
use crate::transpose::transpose;
use pulp::{Arch, Simd, WithSimd};
use std::cell::RefCell;
use std::ops::Range;

/// Rows laid out as the columns of a product, for several products.
#[derive(Debug, Default)]
pub(crate) struct Panels {
    /// `[ceil(rows / width)][depth][width]`
    data: Aligned<f32>,
    rows: usize,
    depth: usize,
    width: usize,
}

impl Panels {
    /// Takes over the rows of a matrix.
    pub(crate) fn load(&mut self, b: Rows<'_>) {
        b.check();
        let width = panel_columns(Arch::new());
        (self.rows, self.depth, self.width) = (b.rows, b.columns, width);
        self.data.resize(b.rows.div_ceil(width) * width * b.columns);
        for (n, panel) in self.data.chunks_exact_mut((width * b.columns).max(1)).enumerate() {
            let rows = n * width..b.rows.min((n + 1) * width);
            if rows.len() < width {
                panel.fill(0.0);
            }
            transpose(&b.data[rows.start * b.stride..], b.stride, rows.len(), b.columns, panel, width);
        }
    }
}

/// Columns of the widest tile on a vector unit.
fn panel_columns(arch: Arch) -> usize {
    match arch {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => 64,
        _ => crate::micro::columns(arch),
    }
}

/// `out = a b^T` of the transpose of `a` and the first rows of `b`, packed `[a's rows, columns]`.
pub(crate) fn scores(out: &mut [f32], a: Rows<'_>, b: &Panels, columns: usize) {
    assert_eq!(a.rows, b.depth, "rows of one size");
    assert!(columns <= b.rows, "{columns} of {} rows", b.rows);
    assert_eq!(out.len(), a.columns * columns, "out has another shape");
    let left = Strided { matrix: a, transposed: true };
    run(Product { out, n: columns, depth: b.depth, left, right: Right::Panels(b), accumulate: false });
}

/// `out += a b`, packed `[a.rows, b.columns]`.
pub(crate) fn add(out: &mut [f32], a: Rows<'_>, b: Rows<'_>) {
    assert_eq!(a.columns, b.rows, "as many columns as rows");
    assert_eq!(out.len(), a.rows * b.columns, "out has another shape");
    let left = Strided { matrix: a, transposed: false };
    run(Product { out, n: b.columns, depth: b.rows, left, right: Right::Columns(b), accumulate: true });
}

/// `out += a^T b`, packed `[a.columns, b.columns]`.
pub(crate) fn add_transposed(out: &mut [f32], a: Rows<'_>, b: Rows<'_>) {
    assert_eq!(a.rows, b.rows, "as many rows");
    assert_eq!(out.len(), a.columns * b.columns, "out has another shape");
    let left = Strided { matrix: a, transposed: true };
    run(Product { out, n: b.columns, depth: b.rows, left, right: Right::Columns(b), accumulate: true });
}

fn run(product: Product<'_>) {
    product.left.matrix.check();
    if let Right::Columns(right) = product.right {
        right.check();
    }
    if product.depth == 0 && !product.accumulate {
        product.out.fill(0.0);
    }
    if product.depth == 0 || product.out.is_empty() {
        return;
    }
    Arch::new().dispatch(product);
}

/// A left operand and which way it is read.
#[derive(Clone, Copy)]
struct Strided<'a> {
    matrix: Rows<'a>,
    transposed: bool,
}

impl Strided<'_> {
    fn rows(self) -> usize {
        if self.transposed { self.matrix.columns } else { self.matrix.rows }
    }

    /// From a row on. The pointer may be read for the rows that are there.
    fn from(self, row: usize) -> Left {
        let Rows { data, stride, .. } = self.matrix;
        if self.transposed {
            Left::Depths(data[row.min(data.len())..].as_ptr(), stride)
        } else {
            Left::Rows(data[(row * stride).min(data.len())..].as_ptr(), stride)
        }
    }
}

struct Product<'a> {
    /// `[left rows, n]`
    out: &'a mut [f32],
    n: usize,
    depth: usize,
    left: Strided<'a>,
    right: Right<'a>,
    accumulate: bool,
}

/// A right operand.
#[derive(Clone, Copy)]
enum Right<'a> {
    /// Its columns are read in place.
    Columns(Rows<'a>),
    Panels(&'a Panels),
}

/// What does not fill a tile, filled up with zeros.
#[derive(Default)]
struct Edges {
    right: Aligned<f32>,
    tile: Aligned<f32>,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Shapes as in `matmul::dispatch`, and a wider one: six rows of four vectors take 10 loads where twelve of two take 14.
        // The branches that are not taken are removed.
        match S::F32_LANES {
            16 => self.tiles::<S, 6, 4, 12, 2>(simd),
            8 => self.tiles::<S, 6, 2, 6, 2>(simd),
            4 => self.tiles::<S, 6, 4, 6, 4>(simd),
            _ => self.tiles::<S, 4, 16, 4, 16>(simd),
        }
    }
}

impl Product<'_> {
    /// By tiles of `MR` rows and `NV` vectors, which panels are made for, and lower or `NARROW` ones for what is left.
    #[inline(always)]
    fn tiles<S: Simd, const MR: usize, const NV: usize, const NARROW_MR: usize, const NARROW: usize>(
        mut self,
        simd: S,
    ) {
        thread_local!(static EDGES: RefCell<Edges> = RefCell::default());
        let mut edges = EDGES.take();
        let mut column = 0;
        while column < self.n {
            column += if NV == NARROW || self.n - column >= NV * S::F32_LANES {
                self.columns::<S, MR, NV>(simd, column, &mut edges)
            } else {
                self.columns::<S, NARROW_MR, NARROW>(simd, column, &mut edges)
            };
        }
        EDGES.set(edges);
    }

    /// All rows of `NV` vectors of columns from one on, or of those that are left; returns how many.
    #[inline(always)]
    fn columns<S: Simd, const MR: usize, const NV: usize>(
        &mut self,
        simd: S,
        column: usize,
        edges: &mut Edges,
    ) -> usize {
        let Self { n, depth, left, right, accumulate, .. } = *self;
        let (m, columns) = (left.rows(), NV * S::F32_LANES);
        let width = columns.min(n - column);
        let panel = match right {
            Right::Panels(panels) => {
                let within = column % panels.width;
                assert!(within + columns <= panels.width, "a tile within a panel");
                (panels.data[(column - within) * depth + within..].as_ptr(), panels.width)
            }
            Right::Columns(right) if width < columns => {
                pack_columns(right, column..column + width, columns, &mut edges.right);
                (edges.right.as_ptr(), columns)
            }
            Right::Columns(right) => (right.data[column..].as_ptr(), right.stride),
        };
        let mut strips = Strips {
            out: &mut *self.out,
            n,
            depth,
            left,
            columns: column..column + width,
            panel,
            accumulate,
            edge: &mut edges.tile,
        };
        // Lower tiles for the rows that are left: how a sum is made does not depend on its tile.
        let mut row = 0;
        while row < m {
            row += match m - row {
                // SAFETY: the panel has `columns` columns of `depth` numbers each, by the checks of shapes and strides before
                // or by how it was packed.
                rows if rows >= MR => unsafe { strips.multiply::<S, MR, NV>(simd, row) },
                // SAFETY: as above.
                4.. => unsafe { strips.multiply::<S, 4, NV>(simd, row) },
                // SAFETY: as above.
                2.. => unsafe { strips.multiply::<S, 2, NV>(simd, row) },
                // SAFETY: as above.
                _ => unsafe { strips.multiply::<S, 1, NV>(simd, row) },
            };
        }
        width
    }
}

/// Some columns of a product, strip by strip of its rows.
struct Strips<'a, 'b> {
    /// `[left rows, n]`
    out: &'b mut [f32],
    n: usize,
    depth: usize,
    left: Strided<'a>,
    columns: Range<usize>,
    /// Of the right operand, and the distance of its rows.
    panel: (*const f32, usize),
    accumulate: bool,
    /// A tile that is wider than the columns that are left.
    edge: &'b mut Aligned<f32>,
}

impl Strips<'_, '_> {
    /// The tile of `MR` rows from `row` on; returns `MR`.
    ///
    /// # Safety
    /// The panel is readable for `depth` rows of `NV` vectors.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const MR: usize, const NV: usize>(&mut self, simd: S, row: usize) -> usize {
        let (n, width, columns) = (self.n, self.columns.len(), NV * S::F32_LANES);
        let out = &mut self.out[row * n + self.columns.start..];
        let whole = width == columns;
        self.edge.resize(MR * columns);
        if !whole && self.accumulate {
            copy(out, n, self.edge, columns, MR, width);
        }
        let (tile, stride) = if whole { (&mut *out, n) } else { (&mut self.edge[..], columns) };
        assert!((MR - 1) * stride + columns <= tile.len());
        assert!(row + MR <= self.left.rows());
        let left = self.left.from(row);
        // SAFETY: there are MR rows, and the tile was checked, both just now; the panel by the caller's word.
        unsafe {
            let tile = (tile.as_mut_ptr(), stride);
            tile_of::<S, MR, NV>(simd, self.depth, left, self.panel, tile, self.accumulate);
        }
        if !whole {
            copy(self.edge, columns, out, n, MR, width);
        }
        MR
    }
}

/// One tile of the product; pairs are a pointer and the distance of rows.
#[inline(always)]
unsafe fn tile_of<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    depth: usize,
    left: Left,
    (right, right_stride): (*const f32, usize),
    (tile, stride): (*mut f32, usize),
    accumulate: bool,
) {
    let mut sums = [[simd.splat_f32s(0.0); NV]; MR];
    let at = |i: usize, j: usize| tile.wrapping_add(i * stride + j * S::F32_LANES).cast::<S::f32s>();
    // SAFETY: the caller vouches for all three operands.
    unsafe {
        if accumulate {
            for (i, row) in sums.iter_mut().enumerate() {
                for (j, sum) in row.iter_mut().enumerate() {
                    *sum = at(i, j).read_unaligned();
                }
            }
        }
        multiply_add::<S, MR, NV>(simd, depth, left, right, right_stride, &mut sums);
        for (i, row) in sums.iter().enumerate() {
            for (j, &sum) in row.iter().enumerate() {
                at(i, j).write_unaligned(sum);
            }
        }
    }
}

/// Some columns of `right`, `[depth, width]`, with zeros for those that are not there.
#[inline(always)]
fn pack_columns(right: Rows<'_>, columns: Range<usize>, width: usize, out: &mut Aligned<f32>) {
    out.clear();
    out.resize(right.rows * width);
    for (k, out) in out.chunks_exact_mut(width).enumerate() {
        out[..columns.len()].copy_from_slice(&right.data[k * right.stride..][columns.clone()]);
    }
}

/// `[height, width]` from one matrix to another.
#[inline(always)]
fn copy(from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize, height: usize, width: usize) {
    for i in 0..height {
        to[i * to_stride..][..width].copy_from_slice(&from[i * from_stride..][..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn products_agree_with_the_definition(m in 1usize..40, n in 1usize..140, depth in 0usize..30, gap in 0usize..4) {
            let noise = |count: usize, seed: f32| -> Vec<f32> {
                (0..count).map(|i| (i as f32 * 0.7 + seed).sin()).collect()
            };
            let matrix = |data, count, dim| Rows { data, rows: count, columns: dim, stride: dim + gap };
            let (a, b) = (noise(50 * 150, 0.0), noise(50 * 150, 1.0));
            let start = noise(m * n, 2.0);
            let check = |ours: &[f32], a: &dyn Fn(usize, usize) -> f32, b: &dyn Fn(usize, usize) -> f32, plus: f32| {
                for i in 0..m {
                    for j in 0..n {
                        let sum: f64 = (0..depth).map(|k| f64::from(a(i, k)) * f64::from(b(k, j))).sum();
                        let expected = sum + f64::from(plus * start[i * n + j]);
                        assert!((f64::from(ours[i * n + j]) - expected).abs() < 1e-5, "({i}, {j})");
                    }
                }
            };
            let (wide, tall) = (depth + gap, n + gap);
            let mut out = start.clone();
            let mut panels = Panels::default();
            panels.load(matrix(&b, n + gap, depth));
            scores(&mut out, matrix(&a, depth, m), &panels, n);
            check(&out, &|i, k| a[k * (m + gap) + i], &|k, j| b[j * wide + k], 0.0);
            out.clone_from(&start);
            add(&mut out, matrix(&a, m, depth), matrix(&b, depth, n));
            check(&out, &|i, k| a[i * wide + k], &|k, j| b[k * tall + j], 1.0);
            out.clone_from(&start);
            add_transposed(&mut out, matrix(&a, depth, m), matrix(&b, depth, n));
            check(&out, &|i, k| a[k * (m + gap) + i], &|k, j| b[k * tall + j], 1.0);
        }
    }
}
