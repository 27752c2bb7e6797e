//! Length-scaled softplus attention and its re-weighted form (LSSA, LSSAR): a pass for each sum over keys.
//!
//! `A = softplus(ln D * ln N * q.k)` over the `N` visible keys of a row, divided by its sum (LSSA); then
//! `relu(A N - O)^p`, divided by its sum again (LSSAR), with `O = 0` where `N <= 3` and 1 elsewhere. All sums are plain, so
//! no running maximum is kept: a score below -87 weighs nothing. The power is taken of a row divided by its maximum, which would overflow otherwise.

use super::cover::Cover;
use super::queries::Queries;
use super::scores::Scratch;
use super::softmax::lanes;
use super::{Call, QueryTile};
use crate::attention::UNIFORM;
use crate::attention::product::{self, Rows};
use crate::exp::exp_nonpositive;

/// Attention of one tile of queries in one key/value head: `out` `[group, rows, value_dim]`, `lse` `[group, rows]`.
pub(super) fn attend(
    call: &Call<'_>,
    tile: &QueryTile,
    kv_head: usize,
    power: Option<f32>,
) -> (Vec<f32>, Vec<f32>) {
    let sight = &call.sights[tile.sequence][kv_head];
    let cover = sight.cover(tile.rows.clone());
    let counts: Vec<u32> =
        tile.rows.clone().map(|row| cover.all().map(|t| sight.seen_by(row, t)).sum()).collect();
    let pass = Pass { call, queries: Queries::new(call, tile, kv_head), cover, counts };
    let Some(p) = power else {
        let (out, sums) = pass.weigh(|_, _| {});
        return divided(out, sums, |_, sum| sum.ln());
    };
    let raised = pass.raised();
    let (out, sums) = pass.weigh(|stacked, row| raised[stacked].apply(p, row));
    divided(out, sums, |stacked, sum| raised[stacked].lse(p, sum))
}

/// What every pass over the keys needs.
struct Pass<'a> {
    call: &'a Call<'a>,
    queries: Queries<'a>,
    cover: Cover,
    /// Keys that each row sees.
    counts: Vec<u32>,
}

impl Pass<'_> {
    /// Calls `visit` with `softplus` of every tile of scores, and with the values if asked for.
    fn tiles(&self, values: bool, mut visit: impl FnMut(&mut [f32], usize, &[f32])) {
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
            visit(&mut scratch.scores, scratch.keys.count, &scratch.keys.values);
        }
    }

    fn count(&self, stacked: usize) -> u32 {
        self.counts[self.queries.place(stacked).1]
    }

    /// Sums of the weights and of the weighed values, after `change` to each row of `softplus` scores.
    fn weigh(&self, change: impl Fn(usize, &mut [f32])) -> (Vec<f32>, Vec<f32>) {
        let (rows, dim) = (self.queries.count, self.call.value_dim);
        let (mut out, mut sums) = (vec![0.0; rows * dim], vec![0.0; rows]);
        self.tiles(true, |scores, columns, values| {
            for (stacked, row) in scores.chunks_exact_mut(columns).enumerate() {
                change(stacked, row);
                sums[stacked] += total(row);
            }
            product::add(&mut out, Rows::packed(scores, rows, columns), Rows::packed(values, columns, dim));
        });
        (out, sums)
    }

    /// How the second stage re-weights each row: from the sum and the largest of its first stage.
    fn raised(&self) -> Vec<Raised> {
        let mut first = vec![(0.0, 0.0_f32); self.queries.count];
        self.tiles(false, |scores, columns, _| {
            for ((sum, max), row) in first.iter_mut().zip(scores.chunks_exact(columns)) {
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

fn divided(mut out: Vec<f32>, sums: Vec<f32>, lse: impl Fn(usize, f32) -> f32) -> (Vec<f32>, Vec<f32>) {
    let dim = out.len() / sums.len().max(1);
    for (row, &sum) in out.chunks_exact_mut(dim.max(1)).zip(&sums) {
        let inverse = if sum > 0.0 { sum.recip() } else { 0.0 };
        row.iter_mut().for_each(|x| *x *= inverse);
    }
    let lse =
        sums.iter().enumerate().map(|(i, &sum)| if sum > 0.0 { lse(i, sum) } else { f32::NEG_INFINITY });
    let lse = lse.collect();
    (out, lse)
}

fn total(row: &[f32]) -> f32 {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || lanes(row, 0.0, |a, b| a + b),
    )
}

/// `x^p` of numbers from 0 to 1; repeated squares where `p` is a small integer, as it is in the paper (3, 15).
fn raise(p: f32, row: &mut [f32]) {
    let whole = p as u32;
    if whole == 0 || whole > 64 || whole as f32 != p {
        row.iter_mut().for_each(|x| *x = x.powf(p));
        return;
    }
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for x in row {
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
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for score in scores {
                *score = score.max(0.0) + ln_one_plus(exp_nonpositive(-score.abs()));
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
