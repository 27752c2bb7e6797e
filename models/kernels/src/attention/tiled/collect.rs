//! What eviction methods ask for: the attention that slots receive, and the squares of queries.

use super::queries::Queries;
use super::scores::Scratch;
use super::{Call, QueryTile, check};
use crate::attention::{AttnSpec, Collect, Heads, Normalizer, Selection, Sequence, Stats};
use crate::exp::exp;
use crate::vectorize::vectorize;
use rayon::prelude::*;

/// Runs of query tiles whose sums are added at the end, in order.
const PARTS: usize = 8;

/// Sums over the attention weights of a call, by a second pass `P = exp(S - lse)` that never holds the weights: memory is
/// that of the sums. `lse` is what [`forward`](super::forward) gave for the same arguments; the squares of queries
/// do not read it.
///
/// # Panics
/// As [`forward`](super::forward); and if column masses of a softplus normaliser are asked for, whose weights are not
/// `exp(S - lse)`.
pub fn collect(
    q: Heads<'_>,
    positions: &[u32],
    sequences: &[Sequence<'_>],
    spec: &AttnSpec,
    selection: Option<&Selection>,
    lse: &[f32],
    what: Collect,
) -> Vec<Stats> {
    check(q, positions, sequences, spec, selection);
    let call = Call::new(q, positions, sequences, spec, selection);
    let jobs: Vec<_> = (0..sequences.len()).flat_map(|s| (0..call.kv_heads).map(move |h| (s, h))).collect();
    let mut stats = vec![Stats::default(); sequences.len()];
    match what {
        Collect::ColumnMass { last } => {
            assert_eq!(lse.len(), q.rows * q.heads, "lse has another shape");
            assert_eq!(spec.norm, Normalizer::Softmax, "column masses of softmax attention only");
            let heads = jobs.par_iter().map(|&(s, head)| call.column_mass(s, head, last, lse));
            for (&(s, _), (mass, seen)) in jobs.iter().zip(heads.collect::<Vec<_>>()) {
                stats[s].mass.push(mass);
                stats[s].seen.push(seen);
            }
        }
        Collect::QuerySquares { last } => {
            let heads = jobs.par_iter().map(|&(s, head)| call.query_squares(s, head, last));
            for (&(s, _), squares) in jobs.iter().zip(heads.collect::<Vec<_>>()) {
                stats[s].query_squares.push(squares);
            }
        }
    }
    stats
}

impl Call<'_> {
    /// The tiles of the last query rows.
    fn last_tiles(&self, sequence: usize, last: usize) -> Vec<QueryTile> {
        let rows = self.sequences[sequence].rows.len();
        self.tiles(sequence, rows.saturating_sub(last)..rows)
    }

    /// Mass and number of voting queries by slot.
    fn column_mass(
        &self,
        sequence: usize,
        kv_head: usize,
        last: Option<usize>,
        lse: &[f32],
    ) -> (Vec<f32>, Vec<u32>) {
        let tiles = self.last_tiles(sequence, last.unwrap_or(usize::MAX));
        let parts = tiles.par_chunks(tiles.len().div_ceil(PARTS).max(1));
        let parts: Vec<_> = parts.map(|tiles| self.mass_of(tiles, kv_head, lse)).collect();
        let slots = self.sights[sequence][kv_head].slots();
        let (mut mass, mut seen) = (vec![0.0; slots], vec![0; slots]);
        for (part_mass, part_seen) in parts {
            mass.iter_mut().zip(part_mass).for_each(|(a, b)| *a += b);
            seen.iter_mut().zip(part_seen).for_each(|(a, b)| *a += b);
        }
        (mass.into_iter().map(|mass: f64| (mass / self.group as f64) as f32).collect(), seen)
    }

    fn mass_of(&self, tiles: &[QueryTile], kv_head: usize, lse: &[f32]) -> (Vec<f64>, Vec<u32>) {
        let sequence = tiles[0].sequence;
        let (kv, sight) = (self.sequences[sequence].kv, &self.sights[sequence][kv_head]);
        let (mut mass, mut seen) = (vec![0.0; sight.slots()], vec![0; sight.slots()]);
        let mut scratch = Scratch::default();
        for tile in tiles {
            let queries = Queries::new(self, tile, kv_head);
            let lse = self.gather(tile, kv_head, lse, 1);
            for keys in sight.cover(tile.rows.clone()).all() {
                scratch.score(self, &queries, kv, keys, None);
                let columns = column_sums(&scratch.scores, &lse, scratch.keys.count);
                let votes = sight.votes(tile.rows.clone(), keys);
                let slots = keys.pieces.iter().cloned().flatten();
                for ((slot, column), vote) in slots.zip(columns).zip(votes) {
                    mass[slot] += f64::from(column);
                    seen[slot] += vote;
                }
            }
        }
        (mass, seen)
    }

    /// Mean square of the last rotated queries of a group, by channel.
    fn query_squares(&self, sequence: usize, kv_head: usize, last: usize) -> Vec<f32> {
        let mut sums = vec![0.0_f64; self.q.dim];
        let mut count = 0;
        for tile in self.last_tiles(sequence, last) {
            let queries = Queries::scaled(self, &tile, kv_head, 1.0);
            count += queries.count;
            for row in queries.rotated[0].vectors.chunks_exact(self.q.dim) {
                sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x).powi(2));
            }
        }
        sums.into_iter().map(|sum| (sum / count.max(1) as f64) as f32).collect()
    }
}

/// `sum over rows of exp(score - lse)`, by column.
fn column_sums(scores: &[f32], lse: &[f32], columns: usize) -> Vec<f32> {
    let mut sums = vec![0.0; columns];
    let mut rows = scores.chunks_exact(columns).zip(lse);
    vectorize(
        #[inline(always)]
        || {
            for (row, &lse) in rows.by_ref() {
                // A row that saw nothing has no weights.
                let lse = if lse == f32::NEG_INFINITY { f32::INFINITY } else { lse };
                for (sum, score) in sums.iter_mut().zip(row) {
                    *sum += exp(score - lse);
                }
            }
        },
    );
    sums
}
