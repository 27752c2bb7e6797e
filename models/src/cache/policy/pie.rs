//! Edits of a cached sequence (positional integrity encoding, PIE, He et al. 2024).
//!
//! An edit replaces a range by new tokens. What comes after it keeps its keys and values and moves: raw keys are only
//! renumbered, rotated ones turned by the shift. Of several edits each slot is turned once, by the sum. The new
//! tokens are then run from left to right; positions alone decide that they see what is before them.
//!
//! The first layer is exact. In deeper layers what follows an edit was computed from the old text: judge the result by
//! its error against the effect of the edit. With k-mer tokens an insertion or deletion that is no multiple of k
//! changes every token after it, and the whole suffix is an edit.

use std::ops::Range;

use crate::cache::error::EditError;

/// Replaces a range of positions of the old sequence by `inserted` tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Positions that go.
    pub replaced: Range<u32>,
    /// Tokens that come.
    pub inserted: u32,
}

/// What is computed again beside the inserted tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// Nothing.
    None,
    /// So many tokens after each edit.
    Next(u32),
}

/// What edits mean for a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    /// Old positions that stay, and how far they move.
    pub kept: Vec<(Range<u32>, i64)>,
    /// New positions whose tokens have to be run, from left to right.
    pub compute: Vec<Range<u32>>,
    /// Length of the new sequence.
    pub length: u32,
}

impl Splice {
    /// The new position of an old one that stays.
    pub fn shift(&self, position: u32) -> Option<i64> {
        let after = self.kept.partition_point(|(range, _)| range.end <= position);
        self.kept.get(after).filter(|(range, _)| range.contains(&position)).map(|(_, delta)| *delta)
    }
}

/// Plans ascending, disjoint edits of a sequence of `length` tokens.
pub fn splice(edits: &[Edit], length: u32, refresh: Refresh) -> Result<Splice, EditError> {
    let mut plan = Splice::default();
    // End of what is dealt with, and how far what follows moves.
    let (mut done, mut delta, mut previous) = (0_u32, 0_i64, 0_u32);
    for (i, Edit { replaced: Range { start, end }, inserted }) in edits.iter().enumerate() {
        let (start, end) = (*start, *end);
        if start < previous {
            return Err(EditError::Unordered { start, previous });
        }
        if start > end || end > length {
            return Err(EditError::OutOfRange { start, end, length });
        }
        if start > done {
            plan.kept.push((done..start, delta));
        }
        let first = i64::from(start) + delta;
        delta += i64::from(*inserted) - i64::from(end - start);
        let next = edits.get(i + 1).map_or(length, |next| next.replaced.start).max(end);
        done = match refresh {
            Refresh::None => end,
            Refresh::Next(count) => end.saturating_add(count).min(next),
        };
        let last = i64::from(done) + delta;
        let new = |position| u32::try_from(position).map_err(|_| EditError::TooLong);
        let (first, last) = (new(first)?, new(last)?);
        match plan.compute.last_mut() {
            Some(range) if range.end == first => range.end = last,
            _ if first < last => plan.compute.push(first..last),
            _ => {}
        }
        previous = end;
    }
    if done < length {
        plan.kept.push((done..length, delta));
    }
    plan.length = u32::try_from(i64::from(length) + delta).map_err(|_| EditError::TooLong)?;
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn edit(replaced: Range<u32>, inserted: u32) -> Edit {
        Edit { replaced, inserted }
    }

    #[test]
    fn several_edits_add_up() {
        let edits = [edit(2..2, 3), edit(5..9, 1), edit(10..11, 1)];
        let plan = splice(&edits, 20, Refresh::None).expect("good edits");
        assert_eq!(plan.kept, [(0..2, 0), (2..5, 3), (9..10, 0), (11..20, 0)]);
        assert_eq!(plan.compute, [2..5, 8..9, 10..11]);
        assert_eq!((plan.shift(4), plan.shift(5), plan.shift(19)), (Some(3), None, Some(0)));
    }

    #[test]
    fn refreshed_tokens_are_computed_with_the_edit_and_end_at_the_next() {
        let edits = [edit(2..4, 1), edit(6..7, 0)];
        let plan = splice(&edits, 10, Refresh::Next(5)).expect("good edits");
        assert_eq!(plan.kept, [(0..2, 0)]);
        assert_eq!(plan.compute.into_iter().flatten().collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
        assert_eq!(plan.length, 8);
    }

    #[test]
    fn bad_edits_are_told() {
        let plan = |edits: &[Edit]| splice(edits, 10, Refresh::None).expect_err("a bad edit");
        assert_eq!(plan(&[edit(4..6, 0), edit(5..7, 0)]), EditError::Unordered { start: 5, previous: 6 });
        assert_eq!(plan(&[edit(8..11, 0)]), EditError::OutOfRange { start: 8, end: 11, length: 10 });
        assert_eq!(plan(&[edit(0..0, u32::MAX)]), EditError::TooLong);
    }

    proptest! {
        /// Kept and computed positions together are the new sequence, each once.
        #[test]
        fn the_new_sequence_is_covered(
            steps in prop::collection::vec((0u32..6, 0u32..4, 0u32..5), 0..6), tail in 0u32..9, next in 0u32..4,
        ) {
            let (mut at, mut length) = (0, 0);
            let edits: Vec<Edit> = steps.iter().map(|&(gap, removed, inserted)| {
                at += gap + removed;
                length += gap + inserted;
                edit(at - removed..at, inserted)
            }).collect();
            let plan = splice(&edits, at + tail, Refresh::Next(next)).expect("good edits");
            let kept = plan.kept.iter().flat_map(|(range, delta)| range.clone().map(move |p| i64::from(p) + delta));
            let computed = plan.compute.iter().cloned().flatten().map(i64::from);
            let mut all: Vec<i64> = kept.chain(computed).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..i64::from(length + tail)).collect::<Vec<_>>());
        }
    }
}
