//! Constraints, token by token.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::super::base::Base;
use super::super::mask::Mask;
use super::super::vocabulary::Vocabulary;
use super::reach::Reach;
use super::trie::Trie;
use super::{Automaton, Error};

/// Masks that are kept, a few hundred bytes each.
const MASKS: usize = 1 << 12;

/// What the length of a sequence is counted in. For k-mers it makes no difference but the factor `k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Tokens.
    Tokens,
    /// Bases.
    Bases,
}

/// Says which tokens are legal, for the automata and the vocabulary it was made for.
///
/// A sequence has exactly the length that it is started with; a stop token is never legal. The engine remembers what it found out,
/// so sequences under the same constraints should share one, whatever their prompts and lengths.
#[derive(Debug)]
pub struct Engine {
    reach: Reach,
    trie: Trie,
    vocabulary: Vocabulary,
    unit: Unit,
    masks: FxHashMap<Box<[u64]>, Arc<Mask>>,
}

/// Where a sequence is: the state of every automaton, and what is left to generate. It belongs to the engine that gave it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    node: Box<[u64]>,
}

impl Place {
    /// Whether the sequence has its length.
    pub fn is_complete(&self) -> bool {
        self.node.last() == Some(&0)
    }
}

impl Engine {
    /// For automata that all have to accept; none is a constraint on the length alone.
    pub fn new(
        automata: Vec<Arc<dyn Automaton>>,
        vocabulary: &Vocabulary,
        unit: Unit,
    ) -> Result<Self, Error> {
        let texts: BTreeSet<&[Base]> = vocabulary.iter().map(|(_, bases)| bases).collect();
        if texts.is_empty() {
            return Err(Error::NoDna);
        }
        let singles = Base::ALL.map(|base| [base]);
        let single = |base: &[Base; 1]| texts.contains(&base[..]);
        // Where every sequence of bases is one of tokens, ends are looked for base by base.
        let by_base =
            vocabulary.kmer_length().is_some() || (unit == Unit::Bases && singles.iter().all(single));
        let moves = if by_base {
            singles.iter().map(|base| Box::from(&base[..])).collect()
        } else {
            texts.into_iter().map(Box::from).collect()
        };
        Ok(Self {
            reach: Reach::new(automata, moves, by_base || unit == Unit::Bases),
            trie: Trie::new(vocabulary),
            vocabulary: vocabulary.clone(),
            unit,
            masks: FxHashMap::default(),
        })
    }

    /// Behind a prompt, with `length` tokens or bases to go. An empty prompt is for constraints on what is generated alone.
    ///
    /// Letters of the prompt of either case are taken as bases; others fit nothing and break what they stand in. The way to a legal
    /// end that is found takes some 100 bytes a base.
    pub fn start(&mut self, prompt: &[u8], length: usize) -> Result<Place, Error> {
        let left = match (self.vocabulary.kmer_length(), self.unit) {
            (Some(k), Unit::Tokens) => length.saturating_mul(k),
            (Some(k), Unit::Bases) if !length.is_multiple_of(k) => {
                return Err(Error::NotMultiple { length, k });
            }
            _ => length,
        };
        let node = self.reach.start(prompt, left as u64);
        if self.reach.begin(&node)? {
            return Ok(Place { node });
        }
        let unit = if self.unit == Unit::Tokens { "tokens" } else { "bases" };
        let behind = if prompt.is_empty() { "" } else { " behind the prompt" };
        let constraints = self.contradiction(prompt, left as u64);
        Err(Error::Contradiction { constraints, length: format!("{length} {unit}{behind}") })
    }

    /// Constraints that contradict each other, none of which can be left out.
    fn contradiction(&self, prompt: &[u8], left: u64) -> Vec<String> {
        let mut needed = self.reach.parts().to_vec();
        let mut i = 0;
        while i < needed.len() {
            let mut fewer = needed.clone();
            fewer.remove(i);
            let mut reach = self.reach.with_parts(fewer.clone());
            let start = reach.start(prompt, left);
            // What cannot be told is taken to be needed.
            if reach.begin(&start) == Ok(false) {
                needed = fewer;
            } else {
                i += 1;
            }
        }
        if needed.is_empty() {
            return vec!["the lengths of the tokens".to_owned()];
        }
        needed.iter().map(|part| part.name()).collect()
    }

    /// The tokens from which a legal end is in reach: at least one, unless the sequence is complete.
    pub fn legal(&mut self, place: &Place) -> Result<Arc<Mask>, Error> {
        if let Some(mask) = self.masks.get(&place.node) {
            return Ok(Arc::clone(mask));
        }
        let mut mask = Mask::new(self.vocabulary.size());
        let width = place.node.len();
        let left = place.node[width - 1];
        // The nodes on the way down the trie.
        let mut nodes = vec![0; width * (self.trie.depth() + 1)];
        nodes[..width].copy_from_slice(&place.node);
        let mut number = 0;
        while let Some(node) = self.trie.node(number) {
            let (above, here) = nodes.split_at_mut(node.depth * width);
            let here = &mut here[..width];
            let left = left.checked_sub(self.reach.cost(node.depth));
            let Some(left) = left.filter(|_| self.reach.step(&above[above.len() - width..], node.base, here))
            else {
                number = node.skip;
                continue;
            };
            here[width - 1] = left;
            let tokens = self.trie.tokens(node);
            if !tokens.is_empty() && self.reach.is_alive(here)? {
                for &token in tokens {
                    mask.insert(token);
                }
            }
            number += 1;
        }
        if self.masks.len() >= MASKS {
            self.masks.clear();
        }
        let mask = Arc::new(mask);
        self.masks.insert(place.node.clone(), Arc::clone(&mask));
        Ok(mask)
    }

    /// After a token; `None` if it breaks a constraint at once or is longer than what is left. For legal tokens there is a place.
    pub fn advance(&self, place: &Place, token: u32) -> Option<Place> {
        let bases = self.vocabulary.bases(token)?;
        let mut node = place.node.clone();
        let mut before = node.clone();
        for &base in bases {
            before.copy_from_slice(&node);
            if !self.reach.step(&before, base, &mut node) {
                return None;
            }
        }
        let left = node.last_mut()?;
        *left = left.checked_sub(self.reach.cost(bases.len()))?;
        Some(Place { node })
    }

    /// Tokens or bases that are left to generate.
    pub fn left(&self, place: &Place) -> usize {
        let left = place.node.last().map_or(0, |&left| left as usize);
        match (self.vocabulary.kmer_length(), self.unit) {
            (Some(k), Unit::Tokens) => left / k,
            _ => left,
        }
    }
}
