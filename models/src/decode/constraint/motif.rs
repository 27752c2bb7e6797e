//! Forbidden motifs.

use std::collections::HashMap;

use super::super::base::{Base, Motif};
use super::{Automaton, Error};

/// Most states of the automaton of all motifs.
const LIMIT: usize = 1 << 18;

/// None of these motifs occurs, on either strand.
///
/// One automaton looks for all motifs at once, as that of Aho & Corasick (1975) does for words. It comes from the parallel
/// search of Baeza-Yates & Gonnet (1992), whose states are the sets of beginnings that the sequence ends with: for words
/// without ambiguous letters the automaton is the same, and others need not be written out into all their words.
#[derive(Clone)]
pub struct Motifs {
    name: String,
    /// For each state and base the next state, with [`FOUND`] if a motif ends there.
    next: Vec<[u32; 4]>,
}

const FOUND: u32 = 1 << 31;

impl Motifs {
    /// For these motifs, each with a name for messages; the other strand is added.
    pub fn new<'a>(motifs: impl IntoIterator<Item = (String, &'a Motif)>) -> Result<Self, Error> {
        let (mut names, mut strands) = (Vec::new(), Vec::new());
        for (name, motif) in motifs {
            names.push(name);
            for strand in [motif.clone(), motif.reverse_complement()] {
                if !strands.contains(&strand) {
                    strands.push(strand);
                }
            }
        }
        let next = Search::new(&strands).states(strands.len())?;
        Ok(Self { name: format!("no {}", names.join(", no ")), next })
    }
}

impl std::fmt::Debug for Motifs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Motifs").field("name", &self.name).field("states", &self.next.len()).finish()
    }
}

impl Automaton for Motifs {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn start(&self) -> u64 {
        0
    }

    fn observe(&self, state: u64, base: Option<Base>) -> u64 {
        base.map_or(0, |base| u64::from(self.next[state as usize][base as usize] & !FOUND))
    }

    fn step(&self, state: u64, base: Base) -> Option<u64> {
        let next = self.next[state as usize][base as usize];
        (next & FOUND == 0).then_some(u64::from(next))
    }
}

/// Sets of places in the motifs, which lie one behind the other: bit `i` is set if the sequence ends with the beginning of a
/// motif up to place `i`.
struct Search {
    starts: Vec<u64>,
    ends: Vec<u64>,
    allowed: [Vec<u64>; 4],
}

impl Search {
    fn new(motifs: &[Motif]) -> Self {
        let places: usize = motifs.iter().map(Motif::len).sum();
        let empty = vec![0; places.div_ceil(64)];
        let mut search = Self {
            starts: empty.clone(),
            ends: empty.clone(),
            allowed: std::array::from_fn(|_| empty.clone()),
        };
        let mut first = 0;
        for motif in motifs {
            set(&mut search.starts, first);
            set(&mut search.ends, first + motif.len() - 1);
            for at in 0..motif.len() {
                for base in Base::ALL.into_iter().filter(|&base| motif.allows(at, base)) {
                    set(&mut search.allowed[base as usize], first + at);
                }
            }
            first += motif.len();
        }
        search
    }

    /// The set after one more base, without the ends of motifs, and whether one was there.
    fn step(&self, places: &[u64], base: Base) -> (Vec<u64>, bool) {
        let mut next = Vec::with_capacity(places.len());
        let (mut carry, mut found) = (0, false);
        for (i, &word) in places.iter().enumerate() {
            let moved = (word << 1 | carry | self.starts[i]) & self.allowed[base as usize][i];
            carry = word >> 63;
            found |= moved & self.ends[i] != 0;
            next.push(moved & !self.ends[i]);
        }
        (next, found)
    }

    /// All sets that can be reached.
    fn states(&self, motifs: usize) -> Result<Vec<[u32; 4]>, Error> {
        let mut sets = vec![vec![0; self.starts.len()]];
        let mut numbers = HashMap::from([(sets[0].clone(), 0)]);
        let mut next = Vec::new();
        while next.len() < sets.len() {
            let mut row = [0; 4];
            for base in Base::ALL {
                let (set, found) = self.step(&sets[next.len()], base);
                let number = *numbers.entry(set).or_insert_with_key(|set| {
                    sets.push(set.clone());
                    sets.len() as u32 - 1
                });
                row[base as usize] = if found { number | FOUND } else { number };
            }
            next.push(row);
            if sets.len() > LIMIT {
                return Err(Error::TooManyMotifStates { motifs, limit: LIMIT });
            }
        }
        Ok(next)
    }
}

fn set(words: &mut [u64], bit: usize) {
    words[bit / 64] |= 1 << (bit % 64);
}
