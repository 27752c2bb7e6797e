//! Which rows form a sequence.

use std::sync::Arc;

/// Which rows form a sequence, and where in it each stands.
#[derive(Clone, Debug)]
pub struct Packing {
    offsets: Arc<[usize]>,
    positions: Arc<[u32]>,
}

impl Packing {
    /// Sequences with the given cumulative lengths (`0` first), numbered `0, 1, 2, ...` within each.
    ///
    /// # Panics
    /// If the offsets do not start at 0 or fall.
    pub fn from_offsets(offsets: &[usize]) -> Self {
        assert!(offsets.first() == Some(&0) && offsets.is_sorted(), "offsets {offsets:?}");
        let positions = offsets.windows(2).flat_map(|w| 0..(w[1] - w[0]) as u32).collect();
        Self { offsets: offsets.into(), positions }
    }

    /// The same rows with other logical positions, one a row.
    ///
    /// # Panics
    /// If there are more or fewer positions than rows.
    #[must_use]
    pub fn with_positions(self, positions: &[u32]) -> Self {
        assert_eq!(positions.len(), self.positions.len(), "one position a row");
        Self { positions: positions.into(), ..self }
    }

    /// Cumulative lengths: sequence `s` owns rows `offsets[s]..offsets[s + 1]`.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Logical position of each row.
    pub fn positions(&self) -> &[u32] {
        &self.positions
    }
}
