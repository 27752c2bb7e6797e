//! Relative-position buckets of T5 (Raffel et al. 2020).

use std::sync::Arc;

/// The table of relative-position biases of T5.
#[derive(Clone, Debug)]
pub struct T5Bias {
    /// `[query heads, buckets]`
    pub table: Arc<[f32]>,
    /// Buckets, 32 in T5.
    pub buckets: usize,
    /// Distances from here on share a bucket, 128 in T5.
    pub max_distance: u32,
    /// Half of the buckets for keys after the query.
    pub bidirectional: bool,
}

impl T5Bias {
    /// Bucket of `relative = key position - query position`.
    ///
    /// Half of the buckets of a direction are exact distances, the other half grow logarithmically up to
    /// `max_distance`. If not bidirectional, keys after the query share bucket 0 with the query itself.
    pub fn bucket(&self, relative: i64) -> usize {
        let count = if self.bidirectional { self.buckets / 2 } else { self.buckets };
        let offset = if self.bidirectional && relative > 0 { count } else { 0 };
        let distance =
            if self.bidirectional { relative.unsigned_abs() } else { (-relative).max(0).unsigned_abs() };
        let exact = count / 2;
        if distance < exact as u64 {
            return offset + distance as usize;
        }
        let scale = (f64::from(self.max_distance) / exact as f64).ln();
        // Rounding must not put a distance that begins a bucket (64 of 128) into the bucket before.
        let steps = (distance as f64 / exact as f64).ln() / scale * (count - exact) as f64 + 1e-9;
        offset + (exact + steps as usize).min(count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_that_begin_a_bucket() {
        let bias = |bidirectional| T5Bias { table: [].into(), buckets: 32, max_distance: 128, bidirectional };
        let both = bias(true);
        let buckets: Vec<usize> = [-128, -64, -63, -32, -8, -7, 0, 7, 8, 32, 63, 64, 128, 1 << 40]
            .into_iter()
            .map(|relative| both.bucket(relative))
            .collect();
        assert_eq!(buckets, [15, 14, 13, 12, 8, 7, 0, 23, 24, 28, 29, 30, 31, 31]);
        assert_eq!(
            [-300, -128, -16, -15, -1, 0, 5].map(|r| bias(false).bucket(r)),
            [31, 31, 16, 15, 1, 0, 0]
        );
    }
}
