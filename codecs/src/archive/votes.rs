//! What the reads say of each strand.

use std::collections::HashMap;

use super::strand::Strand;

/// The two payloads of a strand that most reads speak for.
#[derive(Clone, Debug, Default)]
pub(super) struct Vote {
    pub(super) best: Option<Choice>,
    pub(super) second: Option<Choice>,
    /// Reads that named the strand.
    pub(super) reads: u32,
}

/// A payload and how much speaks for it.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) payload: Box<[u8]>,
    pub(super) salt: u8,
    pub(super) weight: f32,
}

impl Vote {
    fn add(&mut self, strand: Strand, weight: f32) {
        self.reads += 1;
        let same = |choice: &Choice| choice.salt == strand.salt && *choice.payload == *strand.payload;
        let known = [&mut self.best, &mut self.second].into_iter().flatten().find(|choice| same(choice));
        if let Some(choice) = known {
            choice.weight += weight;
            self.order();
            return;
        }
        let choice = Choice { payload: strand.payload.into(), salt: strand.salt, weight };
        if self.best.is_none() {
            self.best = Some(choice);
        } else if self.second.as_ref().is_none_or(|second| second.weight < weight) {
            self.second = Some(choice);
        }
        self.order();
    }

    fn order(&mut self) {
        let weight = |choice: &Option<Choice>| choice.as_ref().map_or(0.0, |choice| choice.weight);
        if weight(&self.second) > weight(&self.best) {
            std::mem::swap(&mut self.best, &mut self.second);
        }
    }

    /// How much more speaks for the best than for the second.
    pub(super) fn margin(&self) -> f32 {
        let weight = |choice: &Option<Choice>| choice.as_ref().map_or(0.0, |choice| choice.weight);
        weight(&self.best) - weight(&self.second)
    }
}

/// Votes by strand index.
#[derive(Clone, Debug, Default)]
pub(super) struct Votes(HashMap<u64, Vote>);

impl Votes {
    /// A read that was understood with `cost` edits: each makes it four times less likely.
    pub(super) fn add(&mut self, strand: Strand, cost: usize) {
        let weight = 0.25_f32.powi(cost as i32);
        self.0.entry(strand.index).or_default().add(strand, weight);
    }

    pub(super) fn get(&self, index: u64) -> Option<&Vote> {
        self.0.get(&index)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Vote)> {
        self.0.iter().map(|(&index, vote)| (index, vote))
    }

    /// Forgets strands that the pool does not have.
    pub(super) fn retain(&mut self, total: u64) {
        self.0.retain(|&index, _| index < total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heavier_payload_wins_and_the_other_is_kept() {
        let mut votes = Votes::default();
        let mut say = |payload: u8, cost| {
            votes.add(Strand { index: 3, salt: 0, payload: vec![payload] }, cost);
        };
        say(1, 2);
        say(2, 1);
        say(3, 4);
        say(1, 2);
        say(1, 1);
        let vote = votes.get(3).unwrap();
        assert_eq!(vote.best.as_ref().unwrap().payload[0], 1);
        assert_eq!(vote.second.as_ref().unwrap().payload[0], 2);
        assert_eq!((vote.reads, vote.margin()), (5, 0.125));
    }
}
