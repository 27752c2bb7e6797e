//! Length-scaled softplus attention and its re-weighted form (LSSA, LSSAR): a pass for each sum over keys.
//!
//! `A = softplus(ln D * ln N * q.k)` over the `N` visible keys of a row, divided by its sum (LSSA); then
//! `relu(A N - O)^p`, divided by its sum again (LSSAR), with `O = 0` where `N <= 3` and 1 elsewhere. All sums are plain, so
//! no running maximum is kept: a score below -87 weighs nothing. The power is taken of a row divided by its maximum, which would overflow otherwise.

use super::cover::Cover;
use super::keys::Loaded;
use super::queries::Queries;
use super::rows::{self, total};
use super::scores::Scratch;
use super::{Call, Place, QueryTile};
use crate::attention::UNIFORM;
use crate::exp::exp;
use crate::matmul::{Rows, product};
use crate::vectorize::vectorize;

/// Attention of one tile of queries in one key/value head: `out` `[group, rows, value_dim]`, `lse` `[group, rows]`.
pub(super) fn attend(
    call: &Call<'_>,
    tile: &QueryTile,
    kv_head: usize,
    power: Option<f32>,
    place: &Place<'_>,
) {
    let sight = &call.sights[tile.sequence][kv_head];
    let cover = sight.cover(tile.rows.clone());
    let counts: Vec<u32> =
        tile.rows.clone().map(|row| cover.all().map(|t| sight.seen_by(row, t)).sum()).collect();
    let pass = Pass { call, queries: Queries::new(call, tile, kv_head), cover, counts };
    let Some(p) = power else {
        let (out, sums) = pass.weigh(|_, _| {});
        let lse: Vec<f32> = sums.iter().map(|sum| sum.ln()).collect();
        return place.put(tile.rows.clone(), &out, &lse);
    };
    let raised = pass.raised();
    let (out, sums) = pass.weigh(|stacked, row| raised[stacked].apply(p, row));
    let lse: Vec<f32> = sums.iter().zip(&raised).map(|(&sum, raised)| raised.lse(p, sum)).collect();
    place.put(tile.rows.clone(), &out, &lse);
}

/// What every pass over the keys needs.
struct Pass<'a> {
    call: &'a Call<'a>,
    queries: Queries<'a>,
    cover: Cover,
    /// Loaded that each row sees.
    counts: Vec<u32>,
}

impl Pass<'_> {
    /// Calls `visit` with `softplus` of every tile of scores; values are loaded if asked for.
    fn tiles(&self, values: bool, mut visit: impl FnMut(&mut [f32], &Loaded<'_>)) {
        let (call, queries) = (self.call, &self.queries);
        let kv = call.sequences[queries.tile.sequence].kv;
        let dim = (call.q.dim as f32).ln();
        let factor = |stacked| dim * (self.count(stacked).max(1) as f32).ln();
        let factors: Vec<f32> = (0..queries.count).map(factor).collect();
        let mut scratch = Scratch::default();
        for tile in self.cover.all() {
            scratch.score(call, queries, kv, tile, Some(&factors));
            softplus(&mut scratch.scores);
            if values {
                scratch.keys.load_values(kv, queries.first_head / call.group, tile.pieces);
            }
            visit(&mut scratch.scores, &scratch.keys);
        }
    }

    fn count(&self, stacked: usize) -> u32 {
        self.counts[self.queries.place(stacked).1]
    }

    /// Means of the values by the `softplus` scores after `change` to each row, and the sums of these weights.
    fn weigh(&self, change: impl Fn(usize, &mut [f32])) -> (Vec<f32>, Vec<f32>) {
        let (rows, dim) = (self.queries.count, self.call.value_dim);
        let (mut out, mut sums) = (vec![0.0; rows * dim], vec![0.0; rows]);
        self.tiles(true, |scores, keys| {
            for (stacked, row) in scores.chunks_exact_mut(keys.count).enumerate() {
                change(stacked, row);
                sums[stacked] += total(row);
            }
            product::add(&mut out, Rows::packed(scores, rows, keys.count), keys.values());
        });
        rows::divide(&mut out, &sums, dim);
        (out, sums)
    }

    /// How the second stage re-weights each row: from the sum and the largest of its first stage.
    fn raised(&self) -> Vec<Raised> {
        let mut first = vec![(0.0, 0.0_f32); self.queries.count];
        self.tiles(false, |scores, keys| {
            for ((sum, max), row) in first.iter_mut().zip(scores.chunks_exact(keys.count)) {
                *sum += total(row);
                *max = row.iter().copied().fold(*max, f32::max);
            }
        });
        let raised = |(stacked, (sum, max))| Raised::new(self.count(stacked), sum, max);
        first.into_iter().enumerate().map(raised).collect()
    }
}

/// `relu(a * factor - offset) / max` of the first-stage numbers `a` of one row.
struct Raised {
    factor: f32,
    offset: f32,
    max: f32,
}

impl Raised {
    fn new(count: u32, sum: f32, max: f32) -> Self {
        let factor = if sum > 0.0 { count as f32 / sum } else { 0.0 };
        let offset = if count <= 3 { 0.0 } else { 1.0 };
        Self { factor, offset, max: max * factor - offset }
    }

    /// A row of equal weights would become all zero, or rounding noise: it keeps its first stage.
    fn uniform(&self) -> bool {
        self.max <= UNIFORM
    }

    fn apply(&self, p: f32, row: &mut [f32]) {
        if self.uniform() {
            return;
        }
        let inverse = self.max.recip();
        for x in row.iter_mut() {
            *x = (*x * self.factor - self.offset).max(0.0) * inverse;
        }
        raise(p, row);
    }

    fn lse(&self, p: f32, sum: f32) -> f32 {
        if self.uniform() { sum.ln() } else { p * self.max.ln() + sum.ln() }
    }
}

/// `x^p` of numbers from 0 to 1; repeated squares where `p` is a small integer, as it is in the paper (3, 15).
fn raise(p: f32, row: &mut [f32]) {
    let whole = p as u32;
    if !(1..=64).contains(&whole) || p.fract() > 0.0 {
        for x in row {
            *x = x.powf(p);
        }
        return;
    }
    vectorize(
        #[inline(always)]
        || {
            for x in row.iter_mut() {
                let (mut square, mut rest, mut y) = (*x, whole, 1.0);
                while rest > 0 {
                    if rest & 1 == 1 {
                        y *= square;
                    }
                    square *= square;
                    rest >>= 1;
                }
                *x = y;
            }
        },
    );
}

/// `ln(1 + e^x)`; 0 at minus infinity.
fn softplus(scores: &mut [f32]) {
    vectorize(
        #[inline(always)]
        || {
            for score in scores.iter_mut() {
                *score = score.max(0.0) + ln_one_plus(exp(-score.abs()));
            }
        },
    );
}

/// `ln(1 + y)` for `y` from 0 to 1, as `2 atanh(y / (2 + y))` by its series: the ninth power of 1/9 is below rounding.
#[inline(always)]
fn ln_one_plus(y: f32) -> f32 {
    let t = y / (2.0 + y);
    let square = t * t;
    let mut series = 1.0 / 17.0;
    for odd in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0_f32] {
        series = square.mul_add(series, odd.recip());
    }
    2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softplus_follows_its_definition() {
        let mut row: Vec<f32> = (-9000..9000).map(|i| i as f32 * 1e-2).collect();
        let exact: Vec<f64> =
            row.iter().map(|&x| f64::from(x)).map(|x| x.max(0.0) + (-x.abs()).exp().ln_1p()).collect();
        softplus(&mut row);
        for (a, b) in row.iter().zip(exact).filter(|(_, b)| *b > 1e-36) {
            assert!((f64::from(*a) - b).abs() <= 4e-7 * b, "{a} instead of {b}");
        }
        let mut hidden = [f32::NEG_INFINITY];
        softplus(&mut hidden);
        assert!(hidden[0].to_bits() == 0);
    }

    #[test]
    fn powers_whole_and_broken() {
        for p in [1.0, 3.0, 15.0, 2.5, 0.5] {
            let mut row = [0.0, 0.3, 0.9, 1.0];
            raise(p, &mut row);
            for (y, x) in row.iter().zip([0.0_f32, 0.3, 0.9, 1.0]) {
                assert!((y - x.powf(p)).abs() < 1e-6, "{x}^{p}");
            }
        }
    }
}
