//! A tile of scores: products, softcap, bias, mask.

use super::Call;
use super::cover::KeyTile;
use super::keys::Loaded;
use super::queries::{Queries, Reach};
use super::rows::scale;
use crate::aligned::Aligned;
use crate::attention::{KvView, PosRule};
use crate::exp::exp;
use crate::matmul::{Rows, product};
use crate::vectorize::vectorize;

/// Buffers one thread uses again for every tile of keys.
#[derive(Default)]
pub(super) struct Scratch<'a> {
    pub(super) keys: Loaded<'a>,
    /// `[stacked queries, keys]`
    pub(super) scores: Aligned<f32>,
    /// Scores after the softcap and before the bias, if there is a softcap.
    pub(super) capped: Aligned<f32>,
    far: Aligned<f32>,
}

impl<'a> Scratch<'a> {
    /// Scores of all stacked queries and the keys of one tile; what a query does not see is minus infinity. `factors`
    /// multiply the products of each stacked row.
    pub(super) fn score(
        &mut self,
        call: &Call<'a>,
        queries: &Queries<'_>,
        kv: &'a dyn KvView,
        tile: KeyTile<'_>,
        factors: Option<&[f32]>,
    ) {
        self.keys.load(call, kv, queries.first_head / call.group, tile.pieces);
        self.keys.pack(call);
        self.score_loaded(call, queries, tile, factors);
    }

    /// [`Self::score`] of keys that were loaded and packed before, with what follows them or not.
    pub(super) fn score_loaded(
        &mut self,
        call: &Call<'a>,
        queries: &Queries<'_>,
        tile: KeyTile<'_>,
        factors: Option<&[f32]>,
    ) {
        let kv_head = queries.first_head / call.group;
        let columns = tile.slots();
        self.products(call, queries, columns);
        if let Some(factors) = factors {
            for (row, factor) in self.scores.chunks_exact_mut(columns).zip(factors) {
                scale(row, *factor);
            }
        }
        if let Some(cap) = call.spec.softcap {
            softcap(cap, &mut self.scores);
            self.capped.clone_from(&self.scores);
        }
        if tile.fully && call.bias.none() {
            return;
        }
        let sight = &call.sights[queries.tile.sequence][kv_head];
        let Self { keys, scores, .. } = self;
        vectorize(
            #[inline(always)]
            || {
                for (stacked, row) in scores.chunks_exact_mut(columns).enumerate() {
                    let (head, at) = queries.place(stacked);
                    call.bias.add(head, queries.positions[at], &keys.positions, row);
                    if !tile.fully {
                        sight.hide(queries.tile.rows.start + at, tile.pieces, row);
                    }
                }
            },
        );
    }

    /// `q k^T`, each pair by the rotation of its reach.
    fn products(&mut self, call: &Call<'_>, queries: &Queries<'_>, columns: usize) {
        let Self { keys, scores, far, .. } = self;
        let size = queries.count * columns;
        scores.resize(size);
        let mut first = true;
        for rotated in &queries.rotated {
            if !reaches(call, queries, keys, rotated.reach) {
                continue;
            }
            let q = Rows::packed(&rotated.columns, call.q.dim, queries.count);
            if first {
                product::scores(scores, q, keys.panels(rotated.reach), columns);
                first = false;
                continue;
            }
            far.resize(size);
            product::scores(far, q, keys.panels(rotated.reach), columns);
            let cap = cap(call);
            for (stacked, (row, far)) in
                scores.chunks_exact_mut(columns).zip(far.chunks_exact(columns)).enumerate()
            {
                let query = queries.positions[queries.place(stacked).1];
                for ((score, &far), &key) in row.iter_mut().zip(far).zip(&keys.positions) {
                    if Reach::of(query, key, cap) == rotated.reach {
                        *score = far;
                    }
                }
            }
        }
    }
}

/// The distance cap of rotary positions; none is the largest distance.
pub(super) fn cap(call: &Call<'_>) -> u32 {
    if let PosRule::Rope { cap: Some(cap), .. } = call.spec.pos { cap } else { u32::MAX }
}

/// Whether any pair of a tile may have this reach.
pub(super) fn reaches(call: &Call<'_>, queries: &Queries<'_>, keys: &Loaded<'_>, reach: Reach) -> bool {
    let (q, k, cap) = (queries.bounds, keys.bounds(), cap(call));
    match reach {
        // The smallest distance of the two intervals.
        Reach::Near => q.low.saturating_sub(k.high).max(k.low.saturating_sub(q.high)) <= cap,
        Reach::Past => q.high.saturating_sub(k.low) > cap,
        Reach::Future => k.high.saturating_sub(q.low) > cap,
    }
}

/// `cap * tanh(score / cap)`
fn softcap(cap: f32, scores: &mut [f32]) {
    vectorize(
        #[inline(always)]
        || {
            for score in scores.iter_mut() {
                *score = cap * tanh(*score / cap);
            }
        },
    );
}

/// Hyperbolic tangent as in Cephes `tanhf`: a polynomial near 0, else by the exponential.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    let (magnitude, square) = (x.abs(), x * x);
    let p = (-5.704_988_7e-3_f32)
        .mul_add(square, 2.063_909e-2)
        .mul_add(square, -5.373_971_6e-2)
        .mul_add(square, 0.133_314_42)
        .mul_add(square, -0.333_332_8);
    let near = (p * square).mul_add(x, x);
    let e = exp(-2.0 * magnitude);
    let far = ((1.0 - e) / (1.0 + e)).copysign(x);
    if magnitude < 0.625 { near } else { far }
}

#[cfg(test)]
mod tests {
    use super::tanh;

    #[test]
    fn tanh_within_three_units_in_the_last_place() {
        for i in -200_000..=200_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).tanh();
            let error = (f64::from(tanh(x)) - exact).abs();
            assert!(error <= 3.0 * f64::from(f32::EPSILON) * exact.abs(), "tanh({x}) off by {error:e}");
        }
    }
}
