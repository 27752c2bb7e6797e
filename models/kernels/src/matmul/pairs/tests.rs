//! The layouts of both operands, read as the instructions read them: checked on processors that lack these too.

use crate::bf16;
use crate::matmul::Rows;
use crate::matmul::packed::panels;

const COLUMNS: usize = 32;
const OUTPUTS: usize = 45;
const ROWS: usize = 21;
const DEPTH: usize = 70;
const PADDED: usize = 96;

/// One sum of `tdpbf16ps`: 16 pairs of a row of the left tile, and of the pairs of one column of the right tile, whose rows
/// are 128 bytes apart. `vdpbf16ps` reads one of these pairs a step.
fn dot(left: &[u16], right: &[u16]) -> f32 {
    let number = |bits: u16| f64::from(bf16::widen(bits));
    let pair = |j: usize| {
        let (a, b) = (&left[2 * j..][..2], &right[j * COLUMNS * 2..][..2]);
        number(a[0]) * number(b[0]) + number(a[1]) * number(b[1])
    };
    (0..16).map(pair).sum::<f64>() as f32
}

#[test]
#[allow(clippy::float_cmp, reason = "sums of whole numbers are exact")]
fn pairs_meet_their_partners() {
    // Small whole numbers: products and sums are exact in any order.
    let whole = |n: usize, step: usize| (0..n).map(|i| (i * step % 17) as f32 - 8.0).collect::<Vec<_>>();
    let (x, w) = (whole(ROWS * DEPTH, 5), whole(OUTPUTS * DEPTH, 7));
    let weights = Rows::new(&w, DEPTH);
    let packed = panels(OUTPUTS, COLUMNS, PADDED, 2, |output| weights.row(output), bf16::round);
    for tile_rows in [12, 32] {
        let strips = ROWS.div_ceil(tile_rows);
        let mut left = vec![u16::MAX; strips * tile_rows * PADDED];
        super::pack(Rows::new(&x, DEPTH), PADDED, &mut left);
        for row in 0..strips * tile_rows {
            for column in 0..OUTPUTS.next_multiple_of(COLUMNS) {
                let panel = &packed.as_slice()[column / COLUMNS * COLUMNS * PADDED..][..COLUMNS * PADDED];
                let steps = (0..PADDED).step_by(32).map(|k| {
                    dot(&left[row * PADDED + k..][..32], &panel[k * COLUMNS + column % COLUMNS * 2..])
                });
                let there = row < ROWS && column < OUTPUTS;
                let product = |k: usize| x[row * DEPTH + k] * w[column * DEPTH + k];
                let expected: f32 = if there { (0..DEPTH).map(product).sum() } else { 0.0 };
                assert_eq!(steps.sum::<f32>(), expected, "row {row}, column {column}");
            }
        }
    }
}
