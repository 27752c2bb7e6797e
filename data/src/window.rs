//! Cutting long sequences into windows that overlap.
//!
//! ```
//! use kilobase_data::window::Windows;
//!
//! let spans: Vec<_> = Windows::new(1000, 200)?.over(2000).collect();
//! assert_eq!(spans, [0..1000, 800..1800, 1600..2000]);
//! # Ok::<(), kilobase_data::window::Error>(())
//! ```

use std::iter::FusedIterator;
use std::ops::Range;

/// Why windows cannot be cut as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A window has no bases.
    #[error("the window size is 0")]
    Empty,
    /// Windows would not move forward.
    #[error("windows of {size} bases overlap by {overlap}: the overlap must be smaller than the window")]
    Overlap {
        /// Bases of a window.
        size: usize,
        /// Bases shared with the next one.
        overlap: usize,
    },
}

/// How sequences are cut: windows of `size` bases, each sharing `overlap` bases with the one before.
///
/// Every base is in a window. The last window ends where the sequence does and is shorter when the bases run out; there
/// is none that would hold only bases of the window before. A sequence without bases gives one empty window, so that
/// every record shows in the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    size: usize,
    overlap: usize,
}

impl Windows {
    /// Windows of `size` bases that overlap by `overlap`.
    pub const fn new(size: usize, overlap: usize) -> Result<Self, Error> {
        if size == 0 {
            return Err(Error::Empty);
        }
        if overlap >= size {
            return Err(Error::Overlap { size, overlap });
        }
        Ok(Self { size, overlap })
    }

    /// One window a sequence, whatever its length.
    pub const fn whole() -> Self {
        Self { size: usize::MAX, overlap: 0 }
    }

    /// Bases of a window; `usize::MAX` for whole sequences.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Bases shared by neighbours.
    pub const fn overlap(&self) -> usize {
        self.overlap
    }

    /// The windows of a sequence of `length` bases, as half-open spans in order.
    pub const fn over(&self, length: usize) -> Spans {
        Spans { windows: *self, length, next: Some(0) }
    }
}

/// The windows of one sequence.
#[derive(Debug, Clone)]
pub struct Spans {
    windows: Windows,
    length: usize,
    next: Option<usize>,
}

impl Spans {
    /// No window at all.
    pub(crate) const fn none() -> Self {
        Self { windows: Windows::whole(), length: 0, next: None }
    }
}

impl Iterator for Spans {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.next?;
        let end = start.saturating_add(self.windows.size).min(self.length);
        self.next = (end < self.length).then(|| end - self.windows.overlap);
        Some(start..end)
    }
}

impl FusedIterator for Spans {}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a list of one window is meant")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spans(size: usize, overlap: usize, length: usize) -> Vec<Range<usize>> {
        Windows::new(size, overlap).unwrap().over(length).collect()
    }

    #[test]
    fn the_tail_is_a_shorter_window_unless_it_was_covered() {
        assert_eq!(spans(4, 0, 10), [0..4, 4..8, 8..10]);
        assert_eq!(spans(4, 2, 8), [0..4, 2..6, 4..8]);
        assert_eq!(spans(4, 2, 9), [0..4, 2..6, 4..8, 6..9]);
        assert_eq!(spans(4, 3, 4), [0..4]);
        assert_eq!(spans(4, 1, 3), [0..3]);
        assert_eq!(spans(4, 1, 0), [0..0]);
    }

    #[test]
    fn whole_sequences_are_one_window() {
        assert_eq!(Windows::whole().over(12).collect::<Vec<_>>(), [0..12]);
        assert_eq!(Windows::whole().over(usize::MAX).count(), 1);
    }

    #[test]
    fn windows_that_cannot_move_are_refused() {
        assert_eq!(Windows::new(0, 0), Err(Error::Empty));
        assert_eq!(Windows::new(5, 5), Err(Error::Overlap { size: 5, overlap: 5 }));
    }

    proptest! {
        #[test]
        fn windows_cover_every_base_and_share_the_overlap(size in 1_usize..50, part in 0_usize..50, length in 0_usize..400) {
            let overlap = part % size;
            let spans = spans(size, overlap, length);
            prop_assert_eq!(spans[0].start, 0);
            prop_assert_eq!(spans.last().unwrap().end, length);
            for pair in spans.windows(2) {
                prop_assert_eq!(pair[0].len(), size);
                prop_assert_eq!(pair[0].end - pair[1].start, overlap);
                prop_assert!(pair[1].end > pair[0].end);
            }
        }
    }
}
