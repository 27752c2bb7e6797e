//! One legal sequence to the end, by which most others are seen to have one.

use super::super::base::Base;

/// The states along a legal sequence, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Witness {
    /// States of all automata and what is left, place by place.
    nodes: Vec<u64>,
    width: usize,
    /// Which move was made at each place but the last.
    moves: Vec<usize>,
    /// The place by what is left, [`NONE`] where a token reaches over it.
    places: Vec<u32>,
    /// How many G and C come, place by place.
    gc: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Witness {
    /// From the places with the move made at each, and the last place, at which nothing is left.
    pub(super) fn new<'a>(
        way: impl Iterator<Item = (&'a [u64], usize)>,
        last: &[u64],
        moves: &[Box<[Base]>],
    ) -> Self {
        let width = last.len();
        let mut witness =
            Self { nodes: Vec::new(), width, moves: Vec::new(), places: Vec::new(), gc: vec![0] };
        for (node, chosen) in way {
            witness.push(node);
            witness.moves.push(chosen);
        }
        witness.push(last);
        let mut ahead = 0;
        for &chosen in witness.moves.iter().rev() {
            ahead += moves[chosen].iter().filter(|base| base.is_gc()).count() as u32;
            witness.gc.push(ahead);
        }
        witness.gc.reverse();
        witness
    }

    fn push(&mut self, node: &[u64]) {
        let left = node[self.width - 1] as usize;
        if self.places.len() <= left {
            self.places.resize(left + 1, NONE);
        }
        self.places[left] = (self.nodes.len() / self.width) as u32;
        self.nodes.extend_from_slice(node);
    }

    /// What is left at its beginning.
    pub(super) const fn length(&self) -> u64 {
        self.places.len() as u64 - 1
    }

    /// The place with so much left.
    pub(super) fn place(&self, left: u64) -> Option<usize> {
        self.places.get(left as usize).filter(|&&place| place != NONE).map(|&place| place as usize)
    }

    /// The state of an automaton.
    pub(super) fn state(&self, place: usize, automaton: usize) -> u64 {
        self.nodes[place * self.width + automaton]
    }

    /// How many of the bases to come are `G` or `C`.
    pub(super) fn gc_ahead(&self, place: usize) -> usize {
        self.gc[place] as usize
    }

    /// The move that was made; none at the end.
    pub(super) fn chosen(&self, place: usize) -> Option<usize> {
        self.moves.get(place).copied()
    }
}
