//! Trees from distances, as Newick and as pictures.

mod join;
mod newick;
mod svg;
mod upgma;

pub use join::neighbour_joining;
pub use upgma::upgma;

use super::matrix::Matrix;

/// A tree: leaves first, in the order of the matrix, then inner nodes, each after its children.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    names: Vec<String>,
    nodes: Vec<Node>,
    is_rooted: bool,
}

/// A place in a tree.
#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    children: Vec<usize>,
    /// Length of the branch above.
    length: f64,
}

impl Tree {
    fn new(matrix: &Matrix, is_rooted: bool) -> Self {
        Self { names: matrix.names().to_vec(), nodes: vec![Node::default(); matrix.len()], is_rooted }
    }

    /// The node that all others are below: the last one. None in a tree of nothing.
    fn root(&self) -> Option<usize> {
        self.nodes.len().checked_sub(1)
    }

    /// Joins nodes below a new one, each with the length of its branch.
    fn join(&mut self, children: &[(usize, f64)]) -> usize {
        for &(child, length) in children {
            self.nodes[child].length = length;
        }
        let children = children.iter().map(|&(child, _)| child).collect();
        self.nodes.push(Node { children, length: 0.0 });
        self.nodes.len() - 1
    }

    /// Leaves.
    pub fn leaves(&self) -> usize {
        self.names.len()
    }

    /// Whether the last node is a root, and not only where an unrooted tree is held.
    pub fn is_rooted(&self) -> bool {
        self.is_rooted
    }

    /// Length of the path between two leaves.
    pub fn path(&self, a: usize, b: usize) -> f64 {
        let mut parents = vec![None; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            for &child in &node.children {
                parents[child] = Some(at);
            }
        }
        let up = |leaf: usize| {
            std::iter::successors(Some((leaf, 0.0)), |&(at, sum)| {
                Some((parents[at]?, sum + self.nodes[at].length))
            })
        };
        let from_a: Vec<(usize, f64)> = up(a).collect();
        up(b)
            .find_map(|(node, sum)| {
                from_a.iter().find(|&&(other, _)| other == node).map(|&(_, other)| sum + other)
            })
            .unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same bits are what is asked for")]
mod tests;
