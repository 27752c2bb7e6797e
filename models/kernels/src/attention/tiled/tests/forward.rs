//! Forward: the definition, threads, batches, order of slots, merging.

use super::case::{Case, Noise, Shape, shapes};
use crate::attention::{AttnSpec, Heads, KeyForm, Selection, Sequence, Strided, forward, merge};
use crate::matmul::Precision;
use proptest::prelude::*;

/// Largest difference, relative for numbers above 1; infinite where one is not a number. Minus infinity equals itself only.
pub(super) fn worst(ours: &[f32], exact: &[f64]) -> f64 {
    assert_eq!(ours.len(), exact.len());
    let difference = |(&a, &b): (&f32, &f64)| {
        let difference = (f64::from(a) - b).abs() / b.abs().max(1.0);
        if f64::from(a) == b {
            0.0
        } else if difference.is_nan() {
            f64::INFINITY
        } else {
            difference
        }
    };
    ours.iter().zip(exact).map(difference).fold(0.0, f64::max)
}

/// Errors of `out` and `lse`.
fn error(case: &Case) -> f64 {
    let ((out, lse), (exact, exact_lse)) = (case.forward(), case.dense());
    worst(&out, &exact).max(worst(&lse, &exact_lse))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn tiled_equals_dense(shape in shapes(330)) {
        let error = error(&Case::new(&shape));
        // Without a cap, scores of ALiBi lie at -100 and below, where an f32 is rounded by 4e-6.
        let tolerance = if shape.pos == 5 { 3e-5 } else { 1e-5 };
        prop_assert!(error < tolerance, "error {error:e}");
    }

    /// On processors that do not multiply bf16 these are f32 products.
    #[test]
    fn products_of_bf16_are_off_by_their_rounding(shape in shapes(330)) {
        let mut case = Case::new(&shape);
        case.spec.precision = Precision::Bf16;
        let error = error(&case);
        prop_assert!(error < 2e-2, "error {error:e}");
    }

    #[test]
    fn softplus_equals_dense(shape in shapes(200), norm in 1usize..3) {
        // Without a cap, ALiBi takes whole rows below the smallest f32, which plain sums do not hold.
        let pos = if shape.pos == 5 { 6 } else { shape.pos };
        let error = error(&Case::new(&Shape { pos, norm, ..shape }));
        // A cubed difference of nearly equal numbers.
        prop_assert!(error < 1e-4, "error {error:e}");
    }

    #[test]
    fn a_batch_equals_each_sequence_alone(shape in shapes(330), bf16: bool) {
        let shape = Shape { mask: shape.mask % 3, selected: false, ..shape };
        let mut together = Case::new(&shape);
        together.spec.precision = if bf16 { Precision::Bf16 } else { Precision::F32 };
        let (out, lse) = together.forward();
        for (rows, view) in together.spans.iter().zip(&together.views) {
            let (width, dim) = (together.heads * together.dim, together.value_dim());
            let alone = Case {
                q: together.q[rows.start * width..rows.end * width].to_vec(),
                rows: rows.len(),
                positions: together.positions[rows.clone()].to_vec(),
                spans: vec![0..rows.len()],
                views: vec![view.clone()],
                spec: together.spec.clone(),
                selection: None,
                ..together
            };
            let (out_alone, lse_alone) = alone.forward();
            let at = rows.start * together.heads;
            prop_assert!(out[at * dim..][..out_alone.len()] == out_alone[..]);
            prop_assert!(lse[at..][..lse_alone.len()] == lse_alone[..]);
        }
    }

    #[test]
    fn parts_over_disjoint_slots_merge_to_the_whole(shape in shapes(330), split in 0.0f64..1.0) {
        let mut shape = Shape { mask: shape.mask % 3, selected: true, even: true, ..shape };
        shape.lengths.truncate(1);
        let mut case = Case::new(&shape);
        let slots = case.views[0].heads[0].positions.len();
        let at = (slots as f64 * split) as usize;
        let mut part = |range: std::ops::Range<usize>| {
            let slots = vec![vec![vec![range]]; shape.kv_heads];
            case.selection = Some(Selection { query_block: 1 << 20, slots });
            case.forward()
        };
        let ((mut out, mut lse), (out_b, lse_b)) = (part(0..at), part(at..slots));
        merge(&mut out, &mut lse, &out_b, &lse_b, shape.value_dim);
        case.selection = None;
        let (exact, exact_lse) = case.dense();
        let error = worst(&out, &exact).max(worst(&lse, &exact_lse));
        prop_assert!(error < 1e-5, "error {error:e}");
    }
}

#[test]
fn a_query_that_sees_no_key_gives_zero_and_minus_infinity() {
    let one = |x| Heads::contiguous(x, 1, 1, 1);
    let kv = Strided { k: one(&[1.0]), v: one(&[5.0]), positions: &[4], form: KeyForm::Raw };
    let spec = AttnSpec { causal: true, ..AttnSpec::new(1.0) };
    let (mut out, mut lse) = ([f32::NAN], [f32::NAN]);
    forward(one(&[1.0]), &[3], &[Sequence { rows: 0..1, kv: &kv }], &spec, None, &mut out, &mut lse);
    assert_eq!((out[0].to_bits(), lse[0]), (0, f32::NEG_INFINITY));
}

/// One query over many keys is split over jobs; a long prompt is not.
#[test]
fn the_same_bits_for_any_number_of_threads() {
    for (queries, slots) in [(1, 9000), (3, 20_000), (900, 1000)] {
        let shape = Shape {
            lengths: vec![(queries, slots), (2, 300)],
            kv_heads: 2,
            group: 3,
            half_dim: 4,
            value_dim: 8,
            seed: 9,
            causal: true,
            pos: 1,
            mask: 1,
            selected: false,
            softcap: false,
            norm: 0,
            even: false,
        };
        let mut case = Case::new(&shape);
        case.spec.mask = crate::attention::MaskRule::Full;
        for precision in [Precision::F32, Precision::Bf16] {
            case.spec.precision = precision;
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                pool.install(|| case.forward())
            };
            assert!(run(1) == run(4), "{queries} queries, {precision:?}");
        }
    }
}

/// A decode step over a cache long enough to be split agrees with the definition.
#[test]
fn a_split_of_the_keys_changes_nothing() {
    let (slots, dim) = (5000, 6);
    let mut noise = Noise::new(3);
    let (q, k, v) = (noise.floats(4 * dim), noise.floats(slots * 2 * dim), noise.floats(slots * 2 * dim));
    let positions: Vec<u32> = (0..slots as u32).rev().collect();
    let kv = Strided {
        k: Heads::contiguous(&k, slots, 2, dim),
        v: Heads::contiguous(&v, slots, 2, dim),
        positions: &positions,
        form: KeyForm::Rotated,
    };
    let (q, sequences) = (Heads::contiguous(&q, 1, 4, dim), [Sequence { rows: 0..1, kv: &kv }]);
    let spec = AttnSpec { causal: true, ..AttnSpec::new(0.4) };
    let (mut out, mut lse) = (vec![0.0; 4 * dim], vec![0.0; 4]);
    forward(q, &[4900], &sequences, &spec, None, &mut out, &mut lse);
    let (exact, exact_lse) = crate::attention::dense::forward(q, &[4900], &sequences, &spec, None);
    assert!(worst(&out, &exact).max(worst(&lse, &exact_lse)) < 1e-5);
}

#[test]
fn a_query_that_is_no_number_gives_none() {
    for precision in [Precision::F32, Precision::Bf16] {
        let shape = Shape {
            lengths: vec![(20, 150)],
            kv_heads: 1,
            group: 2,
            half_dim: 3,
            value_dim: 5,
            seed: 3,
            causal: false,
            pos: 1,
            mask: 0,
            selected: false,
            softcap: false,
            norm: 0,
            even: true,
        };
        let mut case = Case::new(&shape);
        case.spec.precision = precision;
        case.q[0] = f32::NAN;
        let (out, lse) = case.forward();
        assert!(out[..case.value_dim()].iter().all(|x| x.is_nan()) && lse[0].is_nan());
        assert!(out[case.heads * case.value_dim()..].iter().all(|x| x.is_finite()));
    }
}
