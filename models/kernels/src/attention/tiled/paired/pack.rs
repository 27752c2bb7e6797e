//! Queries, keys and values in the orders in which tiles are loaded.

use crate::aligned::Aligned;
use crate::amx::{COLUMNS, ROWS, STEP};
use crate::bf16;
use crate::matmul::Rows;
use crate::transpose::transpose;
use pulp::bytemuck::cast_slice_mut;
use std::arch::x86_64::{
    __m256i, _mm512_cvtepu16_epi32, _mm512_cvtneps_pbh, _mm512_loadu_ps, _mm512_or_si512, _mm512_slli_epi32,
    _mm512_storeu_si512,
};

/// Some rows of `dim` numbers times a factor, `[depth / STEP][ROWS][STEP]`.
pub(super) fn queries(rows: &[f32], dim: usize, depth: usize, factor: f32) -> Aligned<u16> {
    let mut out = Aligned::zeroed(ROWS * depth);
    for (i, row) in rows.chunks_exact(dim.max(1)).enumerate() {
        for (step, numbers) in row.chunks(STEP).enumerate() {
            let target = &mut out[(step * ROWS + i) * STEP..];
            for (target, &number) in target.iter_mut().zip(numbers) {
                *target = bf16::round(factor * number);
            }
        }
    }
    out
}

/// `[slots / COLUMNS][depth / 2][COLUMNS]` pairs of neighbouring depths; `rounded` is working space.
///
/// # Safety
/// The processor has AVX-512 and its bf16 conversions.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn keys(rows: Rows<'_>, slots: usize, depth: usize, rounded: &mut [u32], out: &mut [u32]) {
    let pairs = depth / 2;
    let rounded = &mut rounded[..slots * pairs];
    for (j, target) in cast_slice_mut::<u32, u16>(rounded).chunks_exact_mut(depth.max(1)).enumerate() {
        let filled = if j < rows.rows {
            bf16::convert(&rows.data[j * rows.stride..][..rows.columns], &mut target[..rows.columns]);
            rows.columns
        } else {
            0
        };
        target[filled..].fill(0);
    }
    let panels = out.chunks_exact_mut((COLUMNS * pairs).max(1));
    for (panel, rows) in panels.zip(rounded.chunks_exact((COLUMNS * pairs).max(1))) {
        transpose(rows, pairs, COLUMNS, pairs, panel, COLUMNS);
    }
}

/// `[width / COLUMNS][slots / 2][COLUMNS]` pairs of neighbouring slots.
///
/// # Safety
/// The processor has AVX-512 and its bf16 conversions.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn values(rows: Rows<'_>, slots: usize, width: usize, out: &mut [u32]) {
    let row = |slot: usize| {
        if slot < rows.rows { &rows.data[slot * rows.stride..][..rows.columns] } else { &[] }
    };
    for pair in 0..slots / 2 {
        let (first, second) = (row(2 * pair), row(2 * pair + 1));
        for column in (0..width).step_by(16) {
            let at = (column / COLUMNS * slots / 2 + pair) * COLUMNS + column % COLUMNS;
            let target = &mut out[at..at + 16];
            if column + 16 <= first.len() && column + 16 <= second.len() {
                // SAFETY: 16 numbers lie in both rows and in the target.
                unsafe {
                    let wide = |row: &[f32]| {
                        let rounded: __m256i =
                            std::mem::transmute(_mm512_cvtneps_pbh(_mm512_loadu_ps(row[column..].as_ptr())));
                        _mm512_cvtepu16_epi32(rounded)
                    };
                    let both = _mm512_or_si512(wide(first), _mm512_slli_epi32::<16>(wide(second)));
                    _mm512_storeu_si512(target.as_mut_ptr().cast(), both);
                }
                continue;
            }
            for (j, target) in target.iter_mut().enumerate() {
                let number = |row: &[f32]| u32::from(row.get(column + j).map_or(0, |&x| bf16::round(x)));
                *target = number(first) | number(second) << 16;
            }
        }
    }
}
