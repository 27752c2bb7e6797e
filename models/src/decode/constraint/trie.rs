//! The texts of all tokens, so that what they begin with in common is read once.

use super::super::base::Base;
use super::super::vocabulary::Vocabulary;

/// A tree of bases, each node behind its parent: going through them in order is going through the tree.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    ids: Vec<u32>,
    depth: usize,
}

/// What a token, or several, begin with.
#[derive(Debug)]
pub(super) struct Node {
    /// Its last base.
    pub(super) base: Base,
    /// Number of its bases.
    pub(super) depth: usize,
    /// The first node that does not begin with it.
    pub(super) skip: usize,
    tokens: std::ops::Range<usize>,
}

impl Trie {
    pub(super) fn new(vocabulary: &Vocabulary) -> Self {
        let mut tokens: Vec<(&[Base], u32)> = vocabulary.iter().map(|(id, bases)| (bases, id)).collect();
        tokens.sort_unstable();
        let mut trie = Self { nodes: Vec::new(), ids: Vec::with_capacity(tokens.len()), depth: 0 };
        // The nodes on the way to the last token.
        let mut way: Vec<usize> = Vec::new();
        let mut before: &[Base] = &[];
        for (bases, id) in tokens {
            let shared = bases.iter().zip(before).take_while(|(a, b)| a == b).count();
            trie.close(way.drain(shared..));
            for depth in shared + 1..=bases.len() {
                way.push(trie.nodes.len());
                let tokens = trie.ids.len()..trie.ids.len();
                trie.nodes.push(Node { base: bases[depth - 1], depth, skip: 0, tokens });
            }
            trie.ids.push(id);
            if let Some(&last) = way.last() {
                trie.nodes[last].tokens.end = trie.ids.len();
            }
            trie.depth = trie.depth.max(bases.len());
            before = bases;
        }
        trie.close(way.drain(..));
        trie
    }

    fn close(&mut self, nodes: impl Iterator<Item = usize>) {
        let end = self.nodes.len();
        nodes.for_each(|node| self.nodes[node].skip = end);
    }

    pub(super) fn node(&self, number: usize) -> Option<&Node> {
        self.nodes.get(number)
    }

    /// The tokens whose text is all of the node's bases.
    pub(super) fn tokens(&self, node: &Node) -> &[u32] {
        &self.ids[node.tokens.clone()]
    }

    /// Bases of the longest token.
    pub(super) const fn depth(&self) -> usize {
        self.depth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_at_the_end_of_its_own_bases() {
        let texts = ["<s>", "GATTA", "G", "GA", "ACG", "T", "GATC", "GA"];
        let vocabulary = Vocabulary::new(texts.map(Some));
        let trie = Trie::new(&vocabulary);
        let mut found = Vec::new();
        let mut bases = Vec::new();
        let mut number = 0;
        while let Some(node) = trie.node(number) {
            bases.truncate(node.depth - 1);
            bases.push(node.base);
            for &id in trie.tokens(node) {
                assert_eq!(vocabulary.bases(id), Some(bases.as_slice()));
                found.push(id);
            }
            let next = trie.node(node.skip);
            assert!(node.skip > number && next.is_none_or(|next| next.depth <= node.depth));
            number += 1;
        }
        found.sort_unstable();
        assert_eq!((found, number, trie.depth()), ((1..8).collect(), 10, 5));
    }
}
