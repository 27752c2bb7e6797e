//! The strand behind several noisy reads of it.
//!
//! A draft is aligned with every read; each place of it, and each gap, is put to the vote; the result is the next draft, until
//! nothing changes. Votes for the same symbol can be split between places where it would do the same, so narrow decisions
//! are then tried the other way, and changed where that makes the reads likelier.

use super::align::{Aligner, Edit};

/// Rounds of voting at most.
const ROUNDS: usize = 8;
/// Margin below which a decision is tried the other way.
const DOUBTFUL: f32 = 0.7;
/// Reads among which the first draft is chosen.
const DRAFTS: usize = 12;

/// A voted strand and what else it could be.
#[derive(Clone, Debug, PartialEq)]
pub struct Consensus {
    /// The strand.
    pub symbols: Vec<u8>,
    /// Changes to it that had votes, the narrowest decisions first.
    pub doubts: Vec<Doubt>,
}

/// The second choice at one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Doubt {
    /// What would be done to the strand.
    pub change: Change,
    /// Share of the reads by which the other choice won.
    pub margin: f32,
}

/// A change of one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Another symbol at a place.
    Replace(usize, u8),
    /// No symbol at a place.
    Remove(usize),
    /// An additional symbol before a place.
    Insert(usize, u8),
}

impl Consensus {
    /// The strand with one change.
    pub fn with(&self, doubt: &Doubt) -> Vec<u8> {
        let mut symbols = self.symbols.clone();
        match doubt.change {
            Change::Replace(place, symbol) => symbols[place] = symbol,
            Change::Remove(place) => drop(symbols.remove(place)),
            Change::Insert(place, symbol) => symbols.insert(place, symbol),
        }
        symbols
    }
}

/// Votes on a place: the four symbols, and none.
type Ballot = [u32; 5];

const NOTHING: usize = 4;

/// The vote of reads alone: a fifth of the time of [`consensus`], and wrong more often.
pub fn draft(reads: &[Vec<u8>]) -> Consensus {
    let aligners: Vec<Aligner> = reads.iter().map(|read| Aligner::new(read)).collect();
    let symbols = voted(reads, &aligners);
    let (_, doubts) = vote(&aligners, &symbols);
    Consensus { symbols, doubts }
}

/// The draft that its own vote confirms.
fn voted(reads: &[Vec<u8>], aligners: &[Aligner]) -> Vec<u8> {
    let mut symbols = first_draft(reads, aligners);
    for _ in 0..ROUNDS {
        let next = vote(aligners, &symbols).0;
        if next == symbols {
            break;
        }
        symbols = next;
    }
    symbols
}

/// The consensus of reads, in symbols and of one orientation; there must be one at least.
pub fn consensus(reads: &[Vec<u8>]) -> Consensus {
    let aligners: Vec<Aligner> = reads.iter().map(|read| Aligner::new(read)).collect();
    let mut symbols = voted(reads, &aligners);
    let costs = Costs::of(&aligners, &symbols);
    let mut least = costs.total(&aligners, &symbols);
    for _ in 0..ROUNDS {
        let (_, doubts) = vote(&aligners, &symbols);
        let draft = Consensus { symbols, doubts };
        let doubtful = draft.doubts.iter().take_while(|doubt| doubt.margin < DOUBTFUL);
        let changed = doubtful
            .map(|doubt| draft.with(doubt))
            .map(|changed| (costs.total(&aligners, &changed), changed));
        match changed.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((cost, changed)) if cost < least - 1e-3 => (least, symbols) = (cost, changed),
            _ => return draft,
        }
    }
    let (_, doubts) = vote(&aligners, &symbols);
    Consensus { symbols, doubts }
}

/// Negative logarithms of how often each kind of edit happens in these reads. A strand that lacks a symbol makes most reads
/// look as if they had gained one, which is the rarer kind where symbols are mostly lost.
struct Costs {
    substitution: f64,
    deletion: f64,
    insertion: f64,
}

impl Costs {
    fn of(aligners: &[Aligner], draft: &[u8]) -> Self {
        let counts = aligners.iter().map(|aligner| count(aligner, draft));
        let sum = counts.fold([1; 3], |sum, counts| std::array::from_fn(|kind| sum[kind] + counts[kind]));
        let symbols = (aligners.len() * draft.len()).max(1) as f64;
        // Never free, and never so dear that one kind could not be explained at all.
        let cost = |edits: usize, ways: f64| -(edits as f64 / symbols / ways).clamp(1e-4, 0.4).ln();
        Self { substitution: cost(sum[0], 3.0), deletion: cost(sum[1], 1.0), insertion: cost(sum[2], 4.0) }
    }

    fn total(&self, aligners: &[Aligner], draft: &[u8]) -> f64 {
        let cost = |aligner| {
            let [substitutions, deletions, insertions] = count(aligner, draft).map(|edits| edits as f64);
            substitutions * self.substitution + deletions * self.deletion + insertions * self.insertion
        };
        aligners.iter().map(cost).sum()
    }
}

/// Substitutions, deletions and insertions that make the read out of the draft.
fn count(aligner: &Aligner, draft: &[u8]) -> [usize; 3] {
    let mut counts = [0; 3];
    for edit in aligner.align(draft) {
        match edit {
            Edit::Read { place, symbol } => counts[0] += usize::from(draft[place] != symbol),
            Edit::Missing { .. } => counts[1] += 1,
            Edit::Added { .. } => counts[2] += 1,
        }
    }
    counts
}

/// The read that is nearest to all of a few, of those of the usual length.
fn first_draft(reads: &[Vec<u8>], aligners: &[Aligner]) -> Vec<u8> {
    let few = &reads[..reads.len().min(DRAFTS)];
    let total = |read: &&Vec<u8>| -> usize {
        aligners[..few.len()].iter().map(|aligner| aligner.distance(read)).sum()
    };
    few.iter().min_by_key(total).cloned().unwrap_or_default()
}

/// What the reads make of a draft, and their second choices.
fn vote(aligners: &[Aligner], draft: &[u8]) -> (Vec<u8>, Vec<Doubt>) {
    let mut places = vec![Ballot::default(); draft.len()];
    let mut gaps = vec![Ballot::default(); draft.len() + 1];
    for aligner in aligners {
        let mut gap = None;
        for edit in aligner.align(draft) {
            match edit {
                Edit::Read { place, symbol } => places[place][usize::from(symbol)] += 1,
                Edit::Missing { place } => places[place][NOTHING] += 1,
                // Of several symbols in a gap the first is voted on; the others have their turn in the next round.
                Edit::Added { place, symbol } if gap != Some(place) => {
                    gaps[place][usize::from(symbol)] += 1;
                    gap = Some(place);
                }
                Edit::Added { .. } => (),
            }
        }
    }
    let reads = aligners.len() as u32;
    let mut symbols = Vec::with_capacity(draft.len() + 4);
    let mut doubts = Vec::new();
    for (place, gap) in gaps.iter_mut().enumerate() {
        gap[NOTHING] = reads - gap.iter().sum::<u32>().min(reads);
        let (first, second, margin) = choice(gap, reads);
        if first != NOTHING {
            symbols.push(first as u8);
        } else if gap[second] > 0 {
            doubts.push(Doubt { change: Change::Insert(place, second as u8), margin });
        }
        let Some(ballot) = places.get(place) else { continue };
        let (first, second, margin) = choice(ballot, reads);
        if first != NOTHING {
            symbols.push(first as u8);
        }
        // A doubt is about the draft as it stands.
        let own = usize::from(draft[place]);
        let other = if first == own { second } else { first };
        if ballot[other] > 0 {
            let change = match other {
                NOTHING => Change::Remove(place),
                symbol => Change::Replace(place, symbol as u8),
            };
            doubts.push(Doubt { change, margin });
        }
    }
    doubts.sort_by(|a, b| a.margin.total_cmp(&b.margin));
    (symbols, doubts)
}

/// The choices with most and second most votes, and the share by which the first won.
fn choice(ballot: &Ballot, reads: u32) -> (usize, usize, f32) {
    let mut order = [0, 1, 2, 3, NOTHING];
    // Stable: among equals a symbol rather than nothing, which is what loses most often.
    order.sort_by_key(|&choice| std::cmp::Reverse(ballot[choice]));
    let margin = (ballot[order[0]] - ballot[order[1]]) as f32 / reads.max(1) as f32;
    (order[0], order[1], margin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::channel::{Channel, Rng};

    #[test]
    fn strand_is_found_at_one_error_in_nine_symbols() {
        let channel =
            Channel { substitution: 0.025, deletion: 0.075, insertion: 0.012, ..Channel::default() };
        let mut rng = Rng::new(5);
        let trials = 40;
        let exact = (0..trials)
            .filter(|_| {
                let strand: Vec<u8> = (0..150).map(|_| rng.below(4) as u8).collect();
                let reads: Vec<Vec<u8>> = (0..30).map(|_| channel.damage(&strand, &mut rng)).collect();
                consensus(&reads).symbols == strand
            })
            .count();
        assert!(exact >= trials - 4, "{exact} of {trials}");
    }

    #[test]
    fn few_and_strange_reads_have_a_consensus() {
        assert_eq!(consensus(&[vec![1, 2, 3]]).symbols, [1, 2, 3]);
        assert!(consensus(&[vec![]]).symbols.is_empty());
        consensus(&[vec![], vec![0; 90], vec![3; 7]]);
        let three = [vec![0, 1, 2, 3, 0, 1], vec![0, 1, 2, 3, 0, 1], vec![0, 1, 3, 3, 0, 1]];
        let voted = consensus(&three);
        assert_eq!(voted.symbols, three[0]);
        assert_eq!(voted.with(&voted.doubts[0]), three[2]);
    }
}
