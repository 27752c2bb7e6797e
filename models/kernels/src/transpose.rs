//! Rows to columns, for numbers of four bytes.

use pulp::bytemuck::{Pod, cast_slice, cast_slice_mut};

/// Writes number `k` of row `j` to `to[k * width + j]`; rows are `stride` apart and `depth` long. The rest of `to` stays.
///
/// # Panics
/// If the numbers have another size than four bytes, or do not fit into the slices.
pub(crate) fn transpose<T: Pod>(
    from: &[T],
    stride: usize,
    rows: usize,
    depth: usize,
    to: &mut [T],
    width: usize,
) {
    let (from, to): (&[u32], &mut [u32]) = (cast_slice(from), cast_slice_mut(to));
    assert!(size_of::<T>() == 4 && rows <= width, "{rows} rows in {width} columns");
    if rows == 0 || depth == 0 {
        return;
    }
    assert!((rows - 1) * stride + depth <= from.len() && (depth - 1) * width + rows <= to.len());
    let (mut whole_rows, mut whole_depth) = (0, 0);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        (whole_rows, whole_depth) = (rows / 16 * 16, depth / 16 * 16);
        for j in (0..whole_rows).step_by(16) {
            for k in (0..whole_depth).step_by(16) {
                // SAFETY: 16 x 16 numbers lie inside both slices, by the assertion; the instructions are there.
                unsafe {
                    block(from[j * stride + k..].as_ptr(), stride, to[k * width + j..].as_mut_ptr(), width);
                };
            }
        }
    }
    for j in 0..rows {
        let first = if j < whole_rows { whole_depth } else { 0 };
        let row = &from[j * stride..][..depth];
        for (k, &value) in row.iter().enumerate().skip(first) {
            to[k * width + j] = value;
        }
    }
}

/// 16 x 16 numbers: pairs of rows, pairs of pairs, then quarters of registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn block(from: *const u32, stride: usize, to: *mut u32, width: usize) {
    use std::arch::x86_64::{
        _mm512_loadu_si512, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_storeu_si512,
        _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    };
    // SAFETY: the caller vouches for 16 rows of 16 numbers on both sides.
    unsafe {
        let mut pairs = [_mm512_setzero_si512(); 16];
        for i in 0..8 {
            let upper = _mm512_loadu_si512(from.add(2 * i * stride).cast());
            let lower = _mm512_loadu_si512(from.add((2 * i + 1) * stride).cast());
            pairs[2 * i] = _mm512_unpacklo_epi32(upper, lower);
            pairs[2 * i + 1] = _mm512_unpackhi_epi32(upper, lower);
        }
        // Quarter `l` of `quads[4 * i + c]` is column `4 * l + c` of the rows `4 * i..4 * i + 4`.
        let mut quads = [_mm512_setzero_si512(); 16];
        for i in 0..4 {
            for half in 0..2 {
                let (upper, lower) = (pairs[4 * i + half], pairs[4 * i + half + 2]);
                quads[4 * i + 2 * half] = _mm512_unpacklo_epi64(upper, lower);
                quads[4 * i + 2 * half + 1] = _mm512_unpackhi_epi64(upper, lower);
            }
        }
        for c in 0..4 {
            let [a, b, d, e] = [quads[c], quads[4 + c], quads[8 + c], quads[12 + c]];
            let even = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(d, e));
            let odd = (_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(d, e));
            let store = |column: usize, value| _mm512_storeu_si512(to.add(column * width).cast(), value);
            store(c, _mm512_shuffle_i32x4::<0x88>(even.0, even.1));
            store(4 + c, _mm512_shuffle_i32x4::<0x88>(odd.0, odd.1));
            store(8 + c, _mm512_shuffle_i32x4::<0xdd>(even.0, even.1));
            store(12 + c, _mm512_shuffle_i32x4::<0xdd>(odd.0, odd.1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_number_goes_to_its_place(rows in 0usize..40, depth in 0usize..40, gap in 0usize..3, wider in 0usize..3) {
            let (stride, width) = (depth + gap, rows + wider);
            let from: Vec<u32> = (1..=(rows * stride) as u32).collect();
            let mut to = vec![0; depth * width];
            transpose(&from, stride, rows, depth, &mut to, width);
            for k in 0..depth {
                for j in 0..width {
                    let expected = if j < rows { from[j * stride + k] } else { 0 };
                    assert_eq!(to[k * width + j], expected, "column {k}, row {j}");
                }
            }
        }
    }
}
