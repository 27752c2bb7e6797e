use super::Tree;
use crate::compress::matrix::Matrix;

/// The unrooted tree of neighbour joining (Saitou and Nei 1987, with the sums of Studier and Keppler 1988), in a time of
/// n³. Of equal pairs the lowest pair of indices is joined, new nodes counting as last.
///
/// A branch may come out negative. Unless `keep_negative`, it is set to 0 and the deficit goes to its sister, so that the path
/// between the two stays.
pub fn neighbour_joining(matrix: &Matrix, keep_negative: bool) -> Tree {
    let mut tree = Tree::new(matrix, false);
    let n = matrix.len();
    match n {
        0 | 1 => return tree,
        2 => {
            let half = mean(matrix, 0, 1) / 2.0;
            tree.join(&[(0, half), (1, half)]);
            return tree;
        }
        _ => {}
    }
    // Distances between what is not joined yet; rows keep their places, and joined ones are left out.
    let mut distances: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| if i == j { 0.0 } else { mean(matrix, i, j) }).collect()).collect();
    let mut nodes: Vec<usize> = (0..n).collect();
    while nodes.len() > 3 {
        let count = nodes.len();
        let sums: Vec<f64> = distances.iter().map(|row| row.iter().sum()).collect();
        let (mut best, mut pair) = (f64::INFINITY, (0, 1));
        for i in 0..count {
            for j in i + 1..count {
                let q = (count - 2) as f64 * distances[i][j] - sums[i] - sums[j];
                if q < best {
                    (best, pair) = (q, (i, j));
                }
            }
        }
        let (i, j) = pair;
        let distance = distances[i][j];
        let first = distance / 2.0 + (sums[i] - sums[j]) / (2.0 * (count - 2) as f64);
        let (first, second) = mended(first, distance - first, keep_negative);
        let joined = tree.join(&[(nodes[i], first), (nodes[j], second)]);
        let to_new: Vec<f64> = (0..count)
            .filter(|&k| k != i && k != j)
            .map(|k| (distances[i][k] + distances[j][k] - distance) / 2.0)
            .collect();
        // The higher index first, so that the lower one stays where it is.
        for gone in [j, i] {
            nodes.remove(gone);
            distances.remove(gone);
            for row in &mut distances {
                row.remove(gone);
            }
        }
        for (row, &distance) in distances.iter_mut().zip(&to_new) {
            row.push(distance);
        }
        nodes.push(joined);
        distances.push(to_new.into_iter().chain([0.0]).collect());
    }
    let [ab, ac, bc] = [distances[0][1], distances[0][2], distances[1][2]];
    let lengths = [(ab + ac - bc) / 2.0, (ab + bc - ac) / 2.0, (ac + bc - ab) / 2.0];
    let lengths = if keep_negative { lengths } else { lengths.map(|length| length.max(0.0)) };
    tree.join(&[(nodes[0], lengths[0]), (nodes[1], lengths[1]), (nodes[2], lengths[2])]);
    tree
}

/// A matrix may hold both orders of a pair; a tree has one distance.
pub(super) fn mean(matrix: &Matrix, i: usize, j: usize) -> f64 {
    f64::midpoint(matrix.get(i, j), matrix.get(j, i))
}

fn mended(first: f64, second: f64, keep: bool) -> (f64, f64) {
    match (first < 0.0, second < 0.0) {
        (true, false) if !keep => (0.0, (first + second).max(0.0)),
        (false, true) if !keep => ((first + second).max(0.0), 0.0),
        (true, true) if !keep => (0.0, 0.0),
        _ => (first, second),
    }
}
