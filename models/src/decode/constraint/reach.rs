//! Whether a legal end is in reach.
//!
//! A node is the state of every automaton and what is left, bases or tokens. Which nodes have a way to a legal end is asked for
//! the nodes behind all tokens at every place, and the product of a few automata has more states than fit in memory, so
//! nodes are looked at when they are asked for:
//!
//! 1. A known legal sequence is followed from the node on, each automaton by itself: where all accept it, or come to the state that
//!    they had in it, it is an end for this node too. Nearly all answers come from here, and as automata do not see each
//!    other, one that was asked about the same state before knows.
//! 2. Else a search in depth, which never looks at a node twice. It tells dead ends from ways out exactly.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::super::base::Base;
use super::witness::Witness;
use super::{Automaton, Corridor, Error};

/// Dead ends that are looked at for one answer at most; about 100 bytes each.
const LIMIT: usize = 1 << 20;

/// Dead ends after which a search is not easy.
const EASY: usize = 64;

/// Bases before the end from which on a search that is not easy looks at all demands on G and C at once, in time that grows with
/// them.
const AHEAD: usize = 1 << 9;

/// Answers about single automata that are kept: enough for one place, and little enough for the processor's cache.
const ACCEPTED: usize = 1 << 14;

#[derive(Debug)]
pub(super) struct Reach {
    parts: Vec<Arc<dyn Automaton>>,
    /// What a sequence is made of.
    moves: Arc<[Box<[Base]>]>,
    /// Whether bases are left, or tokens.
    counts_bases: bool,
    witness: Option<Witness>,
    /// Nodes that a search has found to have an end or not.
    verdicts: FxHashMap<Box<[u64]>, bool>,
    /// Whether an automaton accepts the witness from a state on, by automaton, state and what is left.
    accepted: FxHashMap<(usize, u64, u64), bool>,
}

/// A node on the way of a search.
struct Step {
    node: Box<[u64]>,
    tried: usize,
    chosen: usize,
}

impl Reach {
    /// The moves are the four bases in order, or the texts of all tokens.
    pub(super) fn new(parts: Vec<Arc<dyn Automaton>>, moves: Arc<[Box<[Base]>]>, counts_bases: bool) -> Self {
        let (verdicts, accepted) = (FxHashMap::default(), FxHashMap::default());
        Self { parts, moves, counts_bases, witness: None, verdicts, accepted }
    }

    pub(super) fn parts(&self) -> &[Arc<dyn Automaton>] {
        &self.parts
    }

    /// The same question for other automata.
    pub(super) fn with_parts(&self, parts: Vec<Arc<dyn Automaton>>) -> Self {
        Self::new(parts, Arc::clone(&self.moves), self.counts_bases)
    }

    /// The node behind a prompt.
    pub(super) fn start(&self, prompt: &[u8], left: u64) -> Box<[u64]> {
        let behind = |part: &Arc<dyn Automaton>| {
            let letters = prompt.iter().map(|letter| Base::of(letter.to_ascii_uppercase()));
            letters.fold(part.start(), |state, base| part.observe(state, base))
        };
        self.parts.iter().map(behind).chain([left]).collect()
    }

    /// What a move of so many bases takes of what is left.
    pub(super) const fn cost(&self, bases: usize) -> u64 {
        if self.counts_bases { bases as u64 } else { 1 }
    }

    /// The states after one base; false if one of the automata refuses it. What is left is not changed.
    pub(super) fn step(&self, node: &[u64], base: Base, next: &mut [u64]) -> bool {
        for ((part, &state), next) in self.parts.iter().zip(node).zip(next) {
            let Some(state) = part.step(state, base) else { return false };
            *next = state;
        }
        true
    }

    /// Whether a legal end is in reach from where a sequence begins; if so, the way there serves all later answers.
    pub(super) fn begin(&mut self, node: &[u64]) -> Result<bool, Error> {
        let left = node[self.parts.len()];
        if self.witness.as_ref().is_none_or(|witness| witness.length() < left) {
            self.witness = None;
            self.verdicts.clear();
            self.accepted.clear();
        }
        self.is_alive(node)
    }

    /// Whether a legal end is in reach.
    pub(super) fn is_alive(&mut self, node: &[u64]) -> Result<bool, Error> {
        if self.verdicts.len() > LIMIT {
            self.verdicts.clear();
        }
        if self.accepted.len() > ACCEPTED {
            self.accepted.clear();
        }
        match self.known(node) {
            Some(alive) => Ok(alive),
            None => self.search(node),
        }
    }

    /// What can be said of a node without a search.
    fn known(&mut self, node: &[u64]) -> Option<bool> {
        let (&left, states) = node.split_last()?;
        if left == 0 {
            return Some(self.parts.iter().zip(states).all(|(part, &state)| part.accepts(state)));
        }
        if self.counts_bases && !self.viable(states, left as usize, &(0..=left as usize)) {
            return Some(false);
        }
        if let Some(place) = self.witness.as_ref().and_then(|witness| witness.place(left))
            && states.iter().enumerate().all(|(part, &state)| self.accepts_witness(part, state, place, left))
        {
            return Some(true);
        }
        if let Some(&alive) = self.verdicts.get(node) {
            return Some(alive);
        }
        (self.counts_bases && !self.viable_together(states, left as usize)).then_some(false)
    }

    fn viable(&self, states: &[u64], left: usize, gc: &RangeInclusive<usize>) -> bool {
        self.parts.iter().zip(states).all(|(part, &state)| part.viable(state, left, gc.clone()))
    }

    /// Whether the automata agree on how much G and C comes: without this, a search would find out by trying most of the
    /// sequences that a window allows.
    fn viable_together(&self, states: &[u64], left: usize) -> bool {
        let ahead = self.parts.iter().zip(states).map(|(part, &state)| part.gc_ahead(state, left));
        let gc = ahead.fold(0..=left, |a, b| *a.start().max(b.start())..=*a.end().min(b.end()));
        gc.start() <= gc.end() && self.viable(states, left, &gc)
    }

    fn accepts_witness(&mut self, part: usize, state: u64, place: usize, left: u64) -> bool {
        let Some(witness) = &self.witness else { return false };
        if witness.state(place, part) == state {
            return true;
        }
        let (parts, moves) = (&self.parts, &self.moves);
        let answer = || {
            let gc = witness.gc_ahead(place);
            let viable = !self.counts_bases || parts[part].viable(state, left as usize, gc..=gc);
            viable && follow(&*parts[part], state, witness, part, place, moves)
        };
        *self.accepted.entry((part, state, left)).or_insert_with(answer)
    }

    /// Whether the next bases can be of the kinds that all automata demand together, as far as that is looked into.
    fn is_open(&self, node: &[u64]) -> bool {
        let left = node[self.parts.len()] as usize;
        if !self.counts_bases || left > AHEAD {
            return true;
        }
        let mut corridor = Corridor::new(left);
        self.parts.iter().zip(node).for_each(|(part, &state)| part.narrow(state, left, &mut corridor));
        corridor.into_answer()
    }

    fn search(&mut self, node: &[u64]) -> Result<bool, Error> {
        let mut way = vec![Step { node: node.into(), tried: 0, chosen: 0 }];
        let mut next = node.to_vec();
        let mut dead = 0;
        while let Some(last) = way.last_mut() {
            if last.tried == self.moves.len() {
                dead += 1;
                if dead > LIMIT {
                    return Err(Error::TooManyStates { states: dead, limit: LIMIT });
                }
                self.verdicts.extend(way.pop().map(|step| (step.node, false)));
                continue;
            }
            last.chosen = self.preferred(&last.node, last.tried);
            last.tried += 1;
            if !self.make(&last.node, last.chosen, &mut next) {
                continue;
            }
            match self.known(&next) {
                Some(false) => {}
                Some(true) => {
                    self.keep(way, &next);
                    return Ok(true);
                }
                // Where a search is long, it pays to look at all that is known of G and C at once.
                None if dead > EASY && !self.is_open(&next) => {
                    self.verdicts.insert(next.as_slice().into(), false);
                }
                None => way.push(Step { node: next.as_slice().into(), tried: 0, chosen: 0 }),
            }
        }
        Ok(false)
    }

    /// Remembers a way to where the end is known to be in reach.
    fn keep(&mut self, way: Vec<Step>, end: &[u64]) {
        // Without a witness, nothing but an end is known to have one.
        if self.witness.is_none() {
            self.witness =
                Some(Witness::new(way.iter().map(|step| (&*step.node, step.chosen)), end, &self.moves));
        } else {
            self.verdicts.extend(way.into_iter().map(|step| (step.node, true)));
        }
    }

    /// The node after a move; false if it is not legal or longer than what is left.
    fn make(&self, node: &[u64], chosen: usize, next: &mut [u64]) -> bool {
        let bases = &self.moves[chosen];
        let count = self.parts.len();
        let Some(left) = node[count].checked_sub(self.cost(bases.len())) else { return false };
        for ((part, &state), next) in self.parts.iter().zip(node).zip(&mut *next) {
            let end = bases.iter().try_fold(state, |state, &base| part.step(state, base));
            let Some(end) = end else { return false };
            *next = end;
        }
        next[count] = left;
        true
    }

    /// The move to try as number `tried`. Searches that begin at different nodes prefer the same moves, so that they meet.
    fn preferred(&self, node: &[u64], tried: usize) -> usize {
        let left = node[self.parts.len()];
        // Splitmix64's multiplier: a number that looks random, the same for all nodes with so much left.
        let random = (left.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize;
        if !self.moves.iter().all(|bases| bases.len() == 1) || self.moves.len() != 4 {
            return (random + tried) % self.moves.len();
        }
        let witness = self.witness.as_ref();
        let before = witness.and_then(|witness| witness.chosen(witness.place(left)?));
        let hints = || self.parts.iter().zip(node);
        let gc = hints().find_map(|(part, &state)| part.prefers_gc(state, left as usize));
        let gc = gc.unwrap_or(before.map_or(random & 4 > 0, |chosen| Base::ALL[chosen].is_gc()));
        let pair = if gc == (tried < 2) { [Base::C, Base::G] } else { [Base::A, Base::T] };
        let pair = pair.map(|base| base as usize);
        let first = before.filter(|chosen| pair.contains(chosen)).unwrap_or(pair[random & 1]);
        if tried.is_multiple_of(2) { first } else { pair[0] + pair[1] - first }
    }
}

/// Whether an automaton accepts the rest of the witness from `place` on.
fn follow(
    part: &dyn Automaton,
    mut state: u64,
    witness: &Witness,
    number: usize,
    mut place: usize,
    moves: &[Box<[Base]>],
) -> bool {
    while let Some(chosen) = witness.chosen(place) {
        let next = moves[chosen].iter().try_fold(state, |state, &base| part.step(state, base));
        let Some(next) = next else { return false };
        (state, place) = (next, place + 1);
        if witness.state(place, number) == state {
            return true;
        }
    }
    part.accepts(state)
}
