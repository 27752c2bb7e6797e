use proptest::prelude::*;

use super::*;

fn named(n: usize, values: Vec<f64>) -> Matrix {
    Matrix::from_values((0..n).map(|at| format!("t{at}")).collect(), values)
}

/// A random tree: leaves hang on one another, and its matrix of paths.
fn additive(lengths: &[f64], joins: &[prop::sample::Index]) -> Matrix {
    let n = lengths.len() / 2 + 1;
    let mut open: Vec<Vec<(usize, f64)>> = (0..n).map(|leaf| vec![(leaf, 0.0)]).collect();
    let mut values = vec![0.0; n * n];
    for (step, pair) in lengths.chunks_exact(2).enumerate() {
        let a = open.remove(joins[2 * step].index(open.len()));
        let b = open.remove(joins[2 * step + 1].index(open.len()));
        let raised = |group: Vec<(usize, f64)>, by: f64| -> Vec<_> {
            group.into_iter().map(|(leaf, depth)| (leaf, depth + by)).collect()
        };
        let (a, b) = (raised(a, pair[0]), raised(b, pair[1]));
        for &(i, depth_i) in &a {
            for &(j, depth_j) in &b {
                values[i * n + j] = depth_i + depth_j;
                values[j * n + i] = depth_i + depth_j;
            }
        }
        open.push([a, b].concat());
    }
    named(n, values)
}

proptest! {
    #[test]
    fn an_additive_matrix_gives_back_its_tree(
        lengths in prop::collection::vec(0.01_f64..2.0, 2..40),
        joins in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let matrix = additive(&lengths[..lengths.len() / 2 * 2], &joins);
        for keep in [false, true] {
            let tree = neighbour_joining(&matrix, keep);
            for i in 0..matrix.len() {
                for j in 0..i {
                    prop_assert!((tree.path(i, j) - matrix.get(i, j)).abs() < 1e-9, "{} {}", i, j);
                }
            }
        }
    }

    #[test]
    fn an_ultrametric_matrix_gives_back_its_tree(heights in prop::collection::vec(0.01_f64..2.0, 1..12)) {
        // A comb: leaf i joins all before it at a height above theirs.
        let n = heights.len() + 1;
        let mut values = vec![0.0; n * n];
        let mut height = 0.0;
        for (at, step) in heights.iter().enumerate() {
            height += step;
            for other in 0..=at {
                values[(at + 1) * n + other] = 2.0 * height;
                values[other * n + at + 1] = 2.0 * height;
            }
        }
        let matrix = named(n, values);
        let tree = upgma(&matrix);
        prop_assert!(tree.is_rooted());
        for i in 0..n {
            for j in 0..i {
                prop_assert!((tree.path(i, j) - matrix.get(i, j)).abs() < 1e-9);
            }
        }
    }
}

#[test]
fn few_leaves_make_trees_too() {
    assert_eq!(neighbour_joining(&named(0, vec![]), false).newick(), ";");
    assert_eq!(neighbour_joining(&named(1, vec![0.0]), false).newick(), "t0;");
    assert_eq!(upgma(&named(1, vec![0.0])).newick(), "t0;");
    let two = named(2, vec![0.0, 0.5, 0.5, 0.0]);
    assert_eq!(neighbour_joining(&two, false).newick(), "(t0:0.250000,t1:0.250000);");
    assert_eq!(upgma(&two).newick(), "(t0:0.250000,t1:0.250000);");
    let three = named(3, vec![0.0, 3.0, 4.0, 3.0, 0.0, 5.0, 4.0, 5.0, 0.0]);
    assert_eq!(neighbour_joining(&three, false).newick(), "(t0:1.000000,t1:2.000000,t2:3.000000);");
}

#[test]
fn negative_branches_are_kept_or_given_to_the_sister() {
    // The first two are nearer to each other than their distances from the rest allow.
    let values = vec![0.0, 0.1, 1.0, 1.0, 0.1, 0.0, 2.0, 2.0, 1.0, 2.0, 0.0, 0.5, 1.0, 2.0, 0.5, 0.0];
    let matrix = named(4, values);
    let shortest = |tree: &Tree| tree.nodes.iter().map(|node| node.length).fold(0.0, f64::min);
    let kept = neighbour_joining(&matrix, true);
    assert!(shortest(&kept) < -0.1);
    let mended = neighbour_joining(&matrix, false);
    assert_eq!(shortest(&mended), 0.0);
    assert!((mended.path(0, 1) - 0.1).abs() < 1e-12, "the path between the sisters stays");
}

#[test]
fn names_are_quoted_and_pictures_escaped() {
    let names = ["plain", "it's (one)", "a<b&c"].map(String::from).to_vec();
    let tree = neighbour_joining(
        &Matrix::from_values(names, vec![0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0]),
        false,
    );
    assert_eq!(tree.newick(), "(plain:0.500000,'it''s (one)':0.500000,'a<b&c':0.500000);");
    let svg = tree.svg();
    assert!(svg.contains("a&lt;b&amp;c</text>"));
    assert_eq!(svg.matches("<text").count(), 4, "three leaves and the bar");
    assert!(svg.ends_with("</svg>\n"));
}

#[test]
fn a_deep_tree_takes_no_deep_stack() {
    let n = 600;
    let values = (0..n * n)
        .map(|at| f64::from((at / n).max(at % n)) * f64::from(u8::from(at / n != at % n)))
        .collect();
    let tree = upgma(&named(n as usize, values));
    assert_eq!(tree.newick().matches('(').count(), n as usize - 1);
    assert!(tree.svg().len() > 1000);
}
