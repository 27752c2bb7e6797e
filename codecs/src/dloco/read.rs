//! What a read of a strand says, when symbols of it were substituted, lost or added.
//!
//! Each word may have one substitution, one deletion or one insertion, and, if asked for, two substitutions; each bridge may
//! be lost or doubled. An explanation cuts the read into words and bridges so that nothing is left over; its cost is the
//! number of edits.

use super::codebook::Entry;
use super::strand::Layout;

/// One way to read a strand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Number of edits.
    pub cost: usize,
    /// Entries of the words, first word first.
    pub entries: Vec<Entry>,
    /// Substituted symbols.
    pub substitutions: usize,
    /// Lost symbols.
    pub deletions: usize,
    /// Additional symbols.
    pub insertions: usize,
}

/// Settings of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Explanations with more edits are not looked for.
    pub max_cost: usize,
    /// Whether a word may have two substitutions.
    pub doubles: bool,
}

/// What a stretch of the read may be.
#[derive(Clone, Copy)]
struct Piece {
    entry: Entry,
    /// Substitutions, deletions, insertions.
    edits: [usize; 3],
}

/// The cheapest explanation, if no other has its cost and different messages.
pub fn decode(layout: &Layout<'_>, read: &[u8], options: Options) -> Option<Explanation> {
    explain(layout, read, options, |level| match level {
        [] => None,
        [only] => Some(Some(only.clone())),
        _ => Some(None),
    })?
}

/// Goes through the explanations, cheapest first, all of one cost at a time and without those that say the same, until
/// `judge` gives an answer.
pub fn explain<T>(
    layout: &Layout<'_>,
    read: &[u8],
    options: Options,
    mut judge: impl FnMut(&[Explanation]) -> Option<T>,
) -> Option<T> {
    let gap = read.len().abs_diff(layout.length());
    if gap > options.max_cost {
        return None;
    }
    if gap == 0
        && let Some(clean) = clean(layout, read)
        && let Some(answer) = judge(&[clean])
    {
        return Some(answer);
    }
    let pieces = vec![None; 3 * (read.len() + 1)];
    let mut search = Search { layout, read, options, pieces, chosen: Vec::new(), found: Vec::new() };
    for cost in gap.max(1)..=options.max_cost {
        search.found.clear();
        search.go_on(0, cost, [0; 3]);
        if let Some(answer) = judge(&search.found) {
            return Some(answer);
        }
    }
    None
}

/// Reads a strand without an edit in a word.
fn clean(layout: &Layout<'_>, read: &[u8]) -> Option<Explanation> {
    let length = layout.code().length();
    let word = |number: usize| layout.code().lookup(&read[number * (length + 1)..][..length]);
    let entries = (0..layout.words()).map(word).collect::<Option<Vec<_>>>()?;
    Some(Explanation { cost: 0, entries, substitutions: 0, deletions: 0, insertions: 0 })
}

struct Search<'a> {
    layout: &'a Layout<'a>,
    read: &'a [u8],
    options: Options,
    /// By start, then length less than, equal to or greater than a word's.
    pieces: Vec<Option<Vec<Piece>>>,
    chosen: Vec<Entry>,
    found: Vec<Explanation>,
}

impl Search<'_> {
    /// Reads the next word from `start` on, with exactly `budget` edits left to spend.
    fn go_on(&mut self, start: usize, budget: usize, edits: [usize; 3]) {
        let length = self.layout.code().length();
        let left = self.layout.words() - self.chosen.len();
        if left == 0 {
            let known = self.found.iter().any(|explanation| explanation.entries == self.chosen);
            if budget == 0 && start == self.read.len() && !known {
                let [substitutions, deletions, insertions] = edits;
                self.found.push(Explanation {
                    cost: edits.iter().sum(),
                    entries: self.chosen.clone(),
                    substitutions,
                    deletions,
                    insertions,
                });
            }
            return;
        }
        // What is left of the read must be within the budget of what is left of the strand.
        let Some(rest) = self.read.len().checked_sub(start) else { return };
        if rest.abs_diff(left * (length + 1) - 1) > budget {
            return;
        }
        for shape in 0..3 {
            let end = start + length + shape - 1;
            if end > self.read.len() || (shape != 1 && budget == 0) {
                continue;
            }
            self.look(start, shape);
            let count = self.pieces[3 * start + shape].as_ref().map_or(0, Vec::len);
            for number in 0..count {
                let piece = self.pieces[3 * start + shape].as_ref().expect("looked at above")[number];
                let cost = piece.edits.iter().sum();
                let Some(budget) = budget.checked_sub(cost) else { continue };
                let edits = std::array::from_fn(|kind| edits[kind] + piece.edits[kind]);
                self.chosen.push(piece.entry);
                if left == 1 {
                    self.go_on(end, budget, edits);
                } else {
                    self.go_on(end + 1, budget, edits);
                    if budget > 0 {
                        let [substitutions, deletions, insertions] = edits;
                        self.go_on(end, budget - 1, [substitutions, deletions + 1, insertions]);
                        self.go_on(end + 2, budget - 1, [substitutions, deletions, insertions + 1]);
                    }
                }
                self.chosen.pop();
            }
        }
    }

    /// Works out what the stretch from `start` may be, once.
    fn look(&mut self, start: usize, shape: usize) {
        if self.pieces[3 * start + shape].is_some() {
            return;
        }
        let code = self.layout.code();
        let word = &self.read[start..start + code.length() + shape - 1];
        let piece = |entry, edits| Piece { entry, edits };
        let pieces = match shape {
            0 => code.after_deletion(word).iter().map(|c| piece(c.entry, [0, 1, 0])).collect(),
            2 => code.after_insertion(word).iter().map(|c| piece(c.entry, [0, 0, 1])).collect(),
            _ => {
                if let Some(entry) = code.lookup(word) {
                    vec![piece(entry, [0; 3])]
                } else if self.options.doubles {
                    code.within_two(word).iter().map(|c| piece(c.entry, [c.distance, 0, 0])).collect()
                } else {
                    code.correct(word).iter().map(|fixed| piece(fixed.0, [1, 0, 0])).collect()
                }
            }
        };
        self.pieces[3 * start + shape] = Some(pieces);
    }
}
