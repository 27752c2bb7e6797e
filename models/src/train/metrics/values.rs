//! How good predicted values are.

use serde::{Deserialize, Serialize};

/// Measures of a regression on sequences with known values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regression {
    /// Sequences.
    pub count: usize,
    /// Mean square error, in the square of the values' unit.
    pub mse: f64,
    /// Its root, in the values' unit.
    pub rmse: f64,
    /// Mean absolute error, in the values' unit.
    pub mae: f64,
    /// Pearson's correlation of predictions and truth. None where one of the two does not vary.
    pub pearson: Option<f64>,
    /// Spearman's: Pearson's of the ranks, ties having the mean of theirs. None where one of the two does not vary.
    pub spearman: Option<f64>,
    /// Share of the truth's variance that is explained: 1 - (sum of squares of the errors) / (that of the truth about its mean).
    /// Below 0 where the mean would have been better; none where the truth does not vary.
    pub r2: Option<f64>,
}

/// Measures predictions against the truth.
///
/// # Panics
/// If there are none, or not one prediction for each.
pub fn measure_values(predicted: &[f64], truth: &[f64]) -> Regression {
    assert!(!truth.is_empty() && predicted.len() == truth.len(), "a prediction for each value");
    let count = truth.len();
    let errors = || predicted.iter().zip(truth).map(|(p, t)| p - t);
    let squares: f64 = errors().map(|error| error * error).sum();
    let mse = squares / count as f64;
    let spread: f64 = centred(truth).map(|t| t * t).sum();
    Regression {
        count,
        mse,
        rmse: mse.sqrt(),
        mae: errors().map(f64::abs).sum::<f64>() / count as f64,
        pearson: pearson(predicted, truth),
        spearman: pearson(&ranks(predicted), &ranks(truth)),
        r2: varies(truth).then(|| 1.0 - squares / spread).filter(|r2| r2.is_finite()),
    }
}

/// Whether not all are the same. A variance of constants need not come out as 0.
#[allow(clippy::float_cmp, reason = "a constant is one number")]
fn varies(values: &[f64]) -> bool {
    values.iter().any(|value| *value != values[0])
}

fn centred(values: &[f64]) -> impl Iterator<Item = f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(move |value| value - mean)
}

fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    if !varies(a) || !varies(b) {
        return None;
    }
    let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b) in centred(a).zip(centred(b)) {
        both += a * b;
        of_a += a * a;
        of_b += b * b;
    }
    // Rounding may leave a little more than 1; roots apart, since the product may be beyond f64.
    Some(both / of_a.sqrt() / of_b.sqrt()).filter(|r| r.is_finite()).map(|r| r.clamp(-1.0, 1.0))
}

/// Places in ascending order from 1; those of ties are the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    #[allow(clippy::float_cmp, reason = "a tie is the same number")]
    for ties in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (ties.len() + 1) as f64 / 2.0;
        for &place in ties {
            ranks[place] = rank;
        }
        before += ties.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn four_values_by_hand() {
        let m = measure_values(&[2.0, 1.0, 4.0, 3.0], &[1.0, 2.0, 3.0, 6.0]);
        // Errors 1, -1, 1, -3.
        assert!(
            (m.mse - 3.0).abs() < 1e-12
                && (m.rmse - 3.0_f64.sqrt()).abs() < 1e-12
                && (m.mae - 1.5).abs() < 1e-12
        );
        // Centred: -0.5, -1.5, 1.5, 0.5 and -2, -1, 0, 3; products add up to 4, squares to 5 and 14.
        assert!((m.pearson.unwrap() - 4.0 / 70.0_f64.sqrt()).abs() < 1e-12);
        // Ranks 2 1 4 3 and 1 2 3 4: 1 - 6 * 4 / (4 * 15).
        assert!((m.spearman.unwrap() - 0.6).abs() < 1e-12);
        assert!((m.r2.unwrap() - (1.0 - 12.0 / 14.0)).abs() < 1e-12);
    }

    #[test]
    fn ties_have_the_mean_of_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 3.0, -0.0, 0.0]), [5.0, 3.0, 5.0, 5.0, 1.5, 1.5]);
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        // The mean of three 0.1 is not 0.1.
        let m = measure_values(&[1.0, 2.0, 3.0], &[0.1, 0.1, 0.1]);
        assert_eq!((m.pearson, m.spearman, m.r2), (None, None, None));
        let m = measure_values(&[0.1, 0.1, 0.1], &[1.0, 2.0, 3.0]);
        assert_eq!((m.pearson, m.spearman), (None, None));
        assert!(m.r2.unwrap() < 0.0);
        assert_eq!(measure_values(&[1.0], &[1.0]).r2, None);
        // Beyond what squares can hold nothing is said rather than something that is no number.
        let m = measure_values(&[1e200, -1e200], &[1e200, 2e200]);
        assert!(m.pearson.is_none_or(f64::is_finite) && m.r2.is_none_or(f64::is_finite));
    }

    proptest! {
        #[test]
        fn correlations_do_not_see_units_and_ranks_not_even_shapes(
            pairs in prop::collection::vec((-50..50_i32, -50..50_i32), 2..40), scale in 0.1..10.0_f64, offset in -5.0..5.0_f64
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().map(|(a, b)| (f64::from(a), f64::from(b))).unzip();
            let m = measure_values(&a, &b);
            let moved: Vec<f64> = a.iter().map(|a| a * scale + offset).collect();
            let bent: Vec<f64> = a.iter().map(|a| (a / 20.0).exp()).collect();
            let same = |x: Option<f64>, y: Option<f64>| match (x, y) { (Some(x), Some(y)) => (x - y).abs() < 1e-9, (x, y) => x == y };
            prop_assert!(same(m.pearson, measure_values(&moved, &b).pearson));
            prop_assert!(same(m.spearman, measure_values(&bent, &b).spearman));
            prop_assert!(m.mae <= m.rmse + 1e-12);
            // The best that a straight line of the predictions can explain is the square of the correlation.
            if let (Some(r2), Some(r)) = (m.r2, m.pearson) { prop_assert!(r2 <= r * r + 1e-9); }
            let exact = measure_values(&b, &b);
            prop_assert!(same(exact.r2, exact.pearson) && exact.rmse == 0.0);
        }
    }
}
