//! A tile of scores: products, softcap, bias, mask.

use super::Call;
use super::cover::KeyTile;
use super::keys::Keys;
use super::queries::{Queries, Reach};
use crate::attention::product::{Rows, scores as product};
use crate::attention::{KvView, PosRule};
use crate::exp::exp_nonpositive;

/// Buffers one thread uses again for every tile of keys.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) keys: Keys,
    /// `[stacked queries, keys]`
    pub(super) scores: Vec<f32>,
    /// Scores after the softcap and before the bias, if there is a softcap.
    pub(super) capped: Vec<f32>,
    far: Vec<f32>,
}

impl Scratch {
    /// Scores of all stacked queries and the keys of one tile; what a query does not see is minus infinity. `factors`
    /// multiply the products of each stacked row.
    pub(super) fn score(
        &mut self,
        call: &Call<'_>,
        queries: &Queries<'_>,
        kv: &dyn KvView,
        tile: KeyTile<'_>,
        factors: Option<&[f32]>,
    ) {
        let kv_head = queries.first_head / call.group;
        self.keys.load(call, kv, kv_head, tile.pieces);
        self.products(call, queries);
        let columns = self.keys.count;
        if let Some(factors) = factors {
            for (row, factor) in self.scores.chunks_exact_mut(columns).zip(factors) {
                row.iter_mut().for_each(|score| *score *= factor);
            }
        }
        if let Some(cap) = call.spec.softcap {
            softcap(cap, &mut self.scores);
            self.capped.clone_from(&self.scores);
        }
        let sight = &call.sights[queries.tile.sequence][kv_head];
        for (stacked, row) in self.scores.chunks_exact_mut(columns).enumerate() {
            let (head, at) = queries.place(stacked);
            call.bias.add(head, queries.positions[at], &self.keys.positions, row);
            if !tile.fully {
                sight.hide(queries.tile.rows.start + at, tile.pieces, row);
            }
        }
    }

    /// `q k^T`, each pair by the rotation of its reach.
    fn products(&mut self, call: &Call<'_>, queries: &Queries<'_>) {
        let Self { keys, scores, far, .. } = self;
        let size = queries.count * keys.count;
        scores.resize(size, 0.0);
        let mut first = true;
        for rotated in &queries.rotated {
            if !reaches(call, queries, keys, rotated.reach) {
                continue;
            }
            let q = Rows::packed(&rotated.vectors, queries.count, call.q.dim);
            let k = Rows::packed(keys.of(rotated.reach), keys.count, call.q.dim);
            if first {
                product(scores, q, k);
                first = false;
                continue;
            }
            far.resize(size, 0.0);
            product(far, q, k);
            let cap = cap(call);
            for (stacked, (row, far)) in
                scores.chunks_exact_mut(keys.count).zip(far.chunks_exact(keys.count)).enumerate()
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

impl Keys {
    /// The keys that queries of a reach meet.
    pub(super) fn of(&self, reach: Reach) -> &[f32] {
        if reach == Reach::Near { &self.near } else { &self.raw }
    }
}

/// The distance cap of rotary positions; none is the largest distance.
pub(super) fn cap(call: &Call<'_>) -> u32 {
    if let PosRule::Rope { cap: Some(cap), .. } = call.spec.pos { cap } else { u32::MAX }
}

/// Whether any pair of a tile may have this reach.
pub(super) fn reaches(call: &Call<'_>, queries: &Queries<'_>, keys: &Keys, reach: Reach) -> bool {
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
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for score in scores {
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
        .mul_add(square, 2.063_908_9e-2)
        .mul_add(square, -5.373_971_6e-2)
        .mul_add(square, 0.133_314_42)
        .mul_add(square, -0.333_332_82);
    let near = (p * square).mul_add(x, x);
    let e = exp_nonpositive(-2.0 * magnitude);
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
