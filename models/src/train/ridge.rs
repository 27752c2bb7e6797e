//! Ridge regression (Hoerl & Kennard 1970) over counts of k-mers: what a fine-tuned regression has to beat.
//!
//! With centred features `X` and values `y` it solves `(X'X + penalty I) w = X'y` by conjugate gradients, which touch the features
//! that are not 0 only. All penalties share one Krylov space, so one run solves for all of them (Jegerlehner 1996,
//! hep-lat/9612014). Every sum has one order: the result does not depend on threads.

use super::logistic::Features;
use super::metrics::{Regression, measure_values};
use rayon::prelude::*;

/// Penalties that are tried, ascending; a sequence's k-mers of a length are a unit vector.
const PENALTIES: [f64; 7] = [0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0];
/// Steps at most; what is left out are directions in which the features hardly vary.
const STEPS: usize = 400;
/// The residual, as a share of the right side, at which it ends.
const RESIDUAL: f64 = 1e-8;

/// A linear function of features.
#[derive(Clone, Debug)]
pub struct Ridge {
    weights: Vec<f64>,
    intercept: f64,
    /// What it was trained with.
    pub penalty: f64,
}

impl Ridge {
    /// Trains on rows of so many features; the penalty is the one with the lowest square error on others.
    ///
    /// # Panics
    /// If there are no rows or no others, not one value each, or a place is no feature.
    pub fn train(features: usize, train: (&[Features], &[f64]), dev: (&[Features], &[f64])) -> Self {
        let error = |model: &Self| measure_values(&model.predict(dev.0), dev.1).mse;
        let each = solve(features, train, &PENALTIES);
        let best = each.into_iter().min_by(|a, b| error(a).total_cmp(&error(b)));
        best.expect("there are penalties")
    }

    /// The value of each row.
    pub fn predict(&self, features: &[Features]) -> Vec<f64> {
        let dot = |row: &Features| {
            row.iter().map(|&(place, x)| f64::from(x) * self.weights[place as usize]).sum::<f64>()
        };
        features.par_iter().map(|row| self.intercept + dot(row)).collect()
    }

    /// Measures on rows with known values.
    ///
    /// # Panics
    /// As [`measure_values`].
    pub fn measure(&self, features: &[Features], values: &[f64]) -> Regression {
        measure_values(&self.predict(features), values)
    }
}

/// A regression a penalty.
fn solve(features: usize, (rows, values): (&[Features], &[f64]), penalties: &[f64]) -> Vec<Ridge> {
    assert!(!rows.is_empty() && rows.len() == values.len(), "a value for each row");
    let x = Centred::new(features, rows);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let right = x.transposed_times(&centred);
    let base = penalties[0];
    let mut shifts: Vec<Shifted> =
        penalties.iter().map(|penalty| Shifted::new(penalty - base, &right)).collect();
    let (mut r, mut p) = (right.clone(), right);
    let mut square = dot(&r, &r);
    let end = square * RESIDUAL * RESIDUAL;
    let (mut last_alpha, mut last_beta) = (1.0, 0.0);
    for _ in 0..STEPS {
        if square <= end {
            break;
        }
        let mut a_p = x.transposed_times(&x.times(&p));
        a_p.iter_mut().zip(&p).for_each(|(sum, p)| *sum += base * p);
        let alpha = square / dot(&p, &a_p);
        r.iter_mut().zip(&a_p).for_each(|(r, a)| *r -= alpha * a);
        let next = dot(&r, &r);
        let beta = next / square;
        for shift in &mut shifts {
            shift.step(&r, alpha, beta, last_alpha, last_beta);
        }
        p.iter_mut().zip(&r).for_each(|(p, r)| *p = r + beta * *p);
        (square, last_alpha, last_beta) = (next, alpha, beta);
    }
    let model = |(shift, &penalty): (Shifted, &f64)| {
        let intercept = mean - dot(&shift.solution, &x.means);
        Ridge { weights: shift.solution, intercept, penalty }
    };
    shifts.into_iter().zip(penalties).map(model).collect()
}

/// The solution of one penalty, which follows the steps of the least one.
struct Shifted {
    shift: f64,
    solution: Vec<f64>,
    direction: Vec<f64>,
    /// Its residual as a multiple of the other's, now and a step ago.
    zeta: [f64; 2],
}

impl Shifted {
    fn new(shift: f64, right: &[f64]) -> Self {
        Self { shift, solution: vec![0.0; right.len()], direction: right.to_vec(), zeta: [1.0; 2] }
    }

    fn step(&mut self, r: &[f64], alpha: f64, beta: f64, last_alpha: f64, last_beta: f64) {
        let [zeta, before] = self.zeta;
        let below = alpha * last_beta * (before - zeta) + before * last_alpha * (1.0 + self.shift * alpha);
        let next = zeta * before * last_alpha / below;
        // A large penalty is solved long before a small one: its residual is nothing by then.
        if !next.is_finite() || next == 0.0 {
            self.zeta = [0.0; 2];
            return;
        }
        let own = alpha * next / zeta;
        self.solution.iter_mut().zip(&self.direction).for_each(|(x, p)| *x += own * p);
        let own = beta * (next / zeta).powi(2);
        self.direction.iter_mut().zip(r).for_each(|(p, r)| *p = next * r + own * *p);
        self.zeta = [next, zeta];
    }
}

/// Rows of features less their means, by rows and by columns.
struct Centred<'a> {
    rows: &'a [Features],
    /// Of each feature the rows that have it.
    columns: Vec<Vec<(u32, f32)>>,
    means: Vec<f64>,
}

impl<'a> Centred<'a> {
    fn new(features: usize, rows: &'a [Features]) -> Self {
        let mut columns = vec![Vec::new(); features];
        for (row, n) in rows.iter().zip(0_u32..) {
            for &(place, x) in row {
                columns[place as usize].push((n, x));
            }
        }
        let count = rows.len() as f64;
        let mean = |column: &Vec<(u32, f32)>| column.iter().map(|&(_, x)| f64::from(x)).sum::<f64>() / count;
        let means = columns.iter().map(mean).collect();
        Self { rows, columns, means }
    }

    fn times(&self, w: &[f64]) -> Vec<f64> {
        let offset = dot(w, &self.means);
        sparse(self.rows, w).into_iter().map(|sum| sum - offset).collect()
    }

    fn transposed_times(&self, u: &[f64]) -> Vec<f64> {
        let sum: f64 = u.iter().sum();
        let products = sparse(&self.columns, u);
        products.into_iter().zip(&self.means).map(|(product, mean)| product - mean * sum).collect()
    }
}

fn sparse(rows: &[Vec<(u32, f32)>], w: &[f64]) -> Vec<f64> {
    rows.par_iter().map(|row| row.iter().map(|&(place, x)| f64::from(x) * w[place as usize]).sum()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::logistic::{kmer_count, kmers};
    use crate::train::order::stream;
    use proptest::prelude::*;
    use rand::RngExt;

    /// `(X'X + penalty I) w = X'y` by elimination.
    fn dense(features: usize, rows: &[Features], values: &[f64], penalty: f64) -> (Vec<f64>, f64) {
        let count = rows.len() as f64;
        let mut x = vec![vec![0.0; features]; rows.len()];
        for (dense, row) in x.iter_mut().zip(rows) {
            for &(place, value) in row {
                dense[place as usize] += f64::from(value);
            }
        }
        let means: Vec<f64> =
            (0..features).map(|f| x.iter().map(|row| row[f]).sum::<f64>() / count).collect();
        let mean = values.iter().sum::<f64>() / count;
        for row in &mut x {
            row.iter_mut().zip(&means).for_each(|(x, mean)| *x -= mean);
        }
        let mut a: Vec<Vec<f64>> = (0..features)
            .map(|i| {
                let product = |j: usize| x.iter().map(|row| row[i] * row[j]).sum::<f64>();
                let right = x.iter().zip(values).map(|(row, y)| row[i] * (y - mean)).sum();
                (0..features).map(|j| product(j) + f64::from(i == j) * penalty).chain([right]).collect()
            })
            .collect();
        for i in 0..features {
            let pivot = a[i].clone();
            for row in a.iter_mut().skip(i + 1) {
                let share = row[i] / pivot[i];
                row.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= share * p);
            }
        }
        let mut w = vec![0.0; features];
        for i in (0..features).rev() {
            let rest: f64 = (i + 1..features).map(|j| a[i][j] * w[j]).sum();
            w[i] = (a[i][features] - rest) / a[i][i];
        }
        let intercept = mean - dot(&w, &means);
        (w, intercept)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn all_penalties_are_solved_as_by_elimination(
            rows in prop::collection::vec(prop::collection::btree_map(0..8_u32, -2.0..2.0_f32, 0..8), 1..14), seed: u64
        ) {
            let rows: Vec<Features> = rows.into_iter().map(|row| row.into_iter().collect()).collect();
            let mut rng = stream(seed, 9, 0);
            let values: Vec<f64> = rows.iter().map(|_| rng.random_range(-3.0..3.0)).collect();
            for model in solve(8, (&rows, &values), &PENALTIES) {
                let (weights, intercept) = dense(8, &rows, &values, model.penalty);
                prop_assert!((model.intercept - intercept).abs() < 1e-5, "{} {intercept}", model.intercept);
                for (a, b) in model.weights.iter().zip(&weights) {
                    prop_assert!((a - b).abs() < 1e-5, "penalty {}: {a} instead of {b}", model.penalty);
                }
            }
        }
    }

    #[test]
    fn composition_is_learnt_and_noise_is_not() {
        let mut rng = stream(2, 9, 0);
        let texts: Vec<Vec<u8>> =
            (0..400).map(|_| (0..80).map(|_| b"ACGT"[rng.random_range(0..4)]).collect()).collect();
        let share = |text: &Vec<u8>| text.iter().filter(|base| b"GC".contains(base)).count() as f64 / 80.0;
        let composition: Vec<f64> = texts.iter().map(|text| 1000.0 + 50.0 * share(text)).collect();
        let noise: Vec<f64> = texts.iter().map(|_| rng.random_range(-1.0..1.0)).collect();
        let texts: Vec<Features> = texts.iter().map(|text| kmers(text, 3)).collect();
        for (values, low, high) in [(composition, 0.9, 1.0), (noise, -0.1, 0.1)] {
            let part = |range: std::ops::Range<usize>| (&texts[range.clone()], &values[range]);
            let model = Ridge::train(kmer_count(3), part(0..200), part(200..300));
            let r2 = model.measure(&texts[300..], &values[300..]).r2.unwrap();
            assert!((low..=high).contains(&r2), "{r2}, penalty {}", model.penalty);
        }
    }
}
