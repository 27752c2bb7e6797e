//! Losses on the host, in f64: what parity and evaluation compare.

/// Which positions a masked-language-model loss counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Labels above 0, as the DNABERT-2 reference selects them: it ignores -100 and also id 0, `[UNK]`.
    AboveZero,
    /// Labels of 0 and above.
    NotIgnored,
}

impl Counted {
    /// Whether a position with this label counts.
    pub fn counts(self, label: i64) -> bool {
        match self {
            Self::AboveZero => label > 0,
            Self::NotIgnored => label >= 0,
        }
    }
}

/// Mean cross-entropy in nats of `logits` `[rows, classes]` against one label a row; `None` for no row.
///
/// # Panics
/// If a label is not a class, or the shapes differ.
pub fn cross_entropy(logits: &[f32], classes: usize, labels: &[usize]) -> Option<f64> {
    assert_eq!(logits.len(), classes * labels.len(), "one row a label");
    let total: f64 =
        logits.chunks_exact(classes).zip(labels).map(|(row, &label)| -log_probability(row, label)).sum();
    (!labels.is_empty()).then(|| total / labels.len() as f64)
}

/// `ln softmax(logits)[class]`, in f64.
///
/// # Panics
/// If there is no such class.
pub fn log_probability(logits: &[f32], class: usize) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - max).exp()).sum();
    f64::from(logits[class]) - max - sum.ln()
}

/// Mean squared error, the regression loss of the reference for one label; `None` for no row.
///
/// # Panics
/// If the lengths differ.
pub fn mean_squared_error(predictions: &[f32], targets: &[f32]) -> Option<f64> {
    assert_eq!(predictions.len(), targets.len(), "one target a prediction");
    let total: f64 =
        predictions.iter().zip(targets).map(|(p, t)| (f64::from(*p) - f64::from(*t)).powi(2)).sum();
    (!targets.is_empty()).then(|| total / targets.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_logits_cost_the_logarithm_of_the_classes() {
        let loss = cross_entropy(&[3.0; 8], 4, &[0, 3]).expect("rows");
        assert!((loss - 4.0_f64.ln()).abs() < 1e-12);
        assert_eq!(cross_entropy(&[], 4, &[]), None);
    }

    #[test]
    fn large_logits_do_not_overflow() {
        assert!(log_probability(&[1e30, 0.0], 0).abs() < 1e-12);
        assert!((mean_squared_error(&[1.0, 2.0], &[1.0, 4.0]).expect("rows") - 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_reference_does_not_count_unknown_tokens() {
        assert!(!Counted::AboveZero.counts(0) && Counted::NotIgnored.counts(0));
        assert!(!Counted::NotIgnored.counts(-100));
    }
}
