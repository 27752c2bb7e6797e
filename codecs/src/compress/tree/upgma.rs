use super::Tree;
use super::join::mean;
use crate::compress::matrix::Matrix;

/// The rooted tree of average linkage (UPGMA, Sokal and Michener 1958). Of equal pairs the lowest pair of indices is joined,
/// new nodes counting as last.
pub fn upgma(matrix: &Matrix) -> Tree {
    let mut tree = Tree::new(matrix, true);
    let n = matrix.len();
    let mut distances: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| if i == j { 0.0 } else { mean(matrix, i, j) }).collect()).collect();
    // Node, leaves below it, and its height.
    let mut groups: Vec<(usize, f64, f64)> = (0..n).map(|leaf| (leaf, 1.0, 0.0)).collect();
    while groups.len() > 1 {
        let count = groups.len();
        let (mut best, mut pair) = (f64::INFINITY, (0, 1));
        for (i, row) in distances.iter().enumerate() {
            for (j, &distance) in row.iter().enumerate().skip(i + 1) {
                if distance < best {
                    (best, pair) = (distance, (i, j));
                }
            }
        }
        let (i, j) = pair;
        let ((a, leaves_a, height_a), (b, leaves_b, height_b)) = (groups[i], groups[j]);
        // Means never fall below what was joined before but for rounding.
        let height = (distances[i][j] / 2.0).max(height_a).max(height_b);
        let joined = tree.join(&[(a, height - height_a), (b, height - height_b)]);
        let leaves = leaves_a + leaves_b;
        let to_new: Vec<f64> = (0..count)
            .filter(|&k| k != i && k != j)
            .map(|k| (leaves_a * distances[i][k] + leaves_b * distances[j][k]) / leaves)
            .collect();
        for gone in [j, i] {
            groups.remove(gone);
            distances.remove(gone);
            for row in &mut distances {
                row.remove(gone);
            }
        }
        for (row, &distance) in distances.iter_mut().zip(&to_new) {
            row.push(distance);
        }
        groups.push((joined, leaves, height));
        distances.push(to_new.into_iter().chain([0.0]).collect());
    }
    tree
}
