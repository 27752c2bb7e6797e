//! Collected sums against the weights of the definition.

use super::case::{Case, Shape, shapes};
use super::forward::worst;
use crate::attention::{Collect, PosRule, collect, dense};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn column_masses_are_sums_of_the_weights(shape in shapes(260), last in prop::option::of(0usize..300)) {
        let case = Case::new(&shape);
        let (sequences, selection) = (case.sequences(), case.selection.as_ref());
        let (_, lse) = case.forward();
        let weights = dense::weights(case.queries(), &case.positions, &sequences, &case.spec, selection);
        let what = Collect::ColumnMass { last };
        let stats = collect(case.queries(), &case.positions, &sequences, &case.spec, selection, &lse, what);
        for ((sequence, stats), weights) in sequences.iter().zip(&stats).zip(&weights) {
            let rows = sequence.rows.len();
            let first = rows.saturating_sub(last.unwrap_or(usize::MAX));
            for kv_head in 0..shape.kv_heads {
                let slots = sequence.kv.positions(kv_head).len();
                let (mut mass, mut seen) = (vec![0.0; slots], vec![0; slots]);
                for head in kv_head * shape.group..(kv_head + 1) * shape.group {
                    for (at, weight) in weights[head].iter().enumerate().skip(first * slots) {
                        mass[at % slots] += weight / shape.group as f64;
                        seen[at % slots] += u32::from(*weight > 0.0 && head % shape.group == 0);
                    }
                }
                prop_assert!(worst(&stats.mass[kv_head], &mass) < 1e-5);
                prop_assert_eq!(&stats.seen[kv_head], &seen);
            }
        }
    }

    #[test]
    fn query_squares_are_of_rotated_queries(shape in shapes(90), last in 1usize..100) {
        let case = Case::new(&Shape { pos: shape.pos % 4, ..shape });
        let sequences = case.sequences();
        let what = Collect::QuerySquares { last };
        let stats = collect(case.queries(), &case.positions, &sequences, &case.spec, case.selection.as_ref(), &[], what);
        let group = case.heads / case.views[0].heads.len();
        for (sequence, stats) in sequences.iter().zip(&stats) {
            let rows = sequence.rows.end.saturating_sub(last).max(sequence.rows.start)..sequence.rows.end;
            for (kv_head, squares) in stats.query_squares.iter().enumerate() {
                let mut sums = vec![0.0_f64; case.dim];
                let voters = rows.clone().flat_map(|r| (0..group).map(move |g| (r, kv_head * group + g)));
                for (row, head) in voters {
                    let mut q = case.queries().row(row, head).to_vec();
                    if let PosRule::Rope { rotary, .. } = &case.spec.pos {
                        rotary.rotate(&mut q, &[i64::from(case.positions[row])]);
                    }
                    sums.iter_mut().zip(q).for_each(|(sum, x)| *sum += f64::from(x).powi(2));
                }
                let count = (rows.len() * group).max(1) as f64;
                let means: Vec<f64> = sums.iter().map(|sum| sum / count).collect();
                prop_assert!(worst(squares, &means) < 1e-5);
            }
        }
    }
}
