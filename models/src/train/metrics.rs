//! How good predictions are.

mod classes;
mod values;

pub use classes::{Bin, Classification, argmax, measure};
pub use values::{Regression, measure_values};

use crate::run::predict::task::Task;
use serde::{Deserialize, Serialize};

/// Measures of a fine-tuned model on labelled sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Metrics {
    /// Of classes.
    Classes(Classification),
    /// Of values.
    Values(Regression),
}

/// A measure by which the best of several models is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is the field of its name")]
pub enum Criterion {
    /// What is trained: mean cross-entropy, or the mean square error.
    #[default]
    Loss,
    Accuracy,
    Mcc,
    MacroF1,
    Auroc,
    Auprc,
    Rmse,
    Mae,
    Pearson,
    Spearman,
    R2,
}

impl Criterion {
    /// All of them by the names they have in reports.
    pub const ALL: [(&'static str, Self); 11] = [
        ("loss", Self::Loss),
        ("accuracy", Self::Accuracy),
        ("mcc", Self::Mcc),
        ("macro_f1", Self::MacroF1),
        ("auroc", Self::Auroc),
        ("auprc", Self::Auprc),
        ("rmse", Self::Rmse),
        ("mae", Self::Mae),
        ("pearson", Self::Pearson),
        ("spearman", Self::Spearman),
        ("r2", Self::R2),
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, other)| *other == self).map_or("loss", |(name, _)| name)
    }

    /// Whether models of a task have it.
    pub fn is_of(self, task: &Task) -> bool {
        use Criterion::{Loss, Mae, Pearson, R2, Rmse, Spearman};
        let of_values = matches!(self, Rmse | Mae | Pearson | Spearman | R2);
        self == Loss || of_values == matches!(task, Task::Value(_))
    }

    /// How good a model is, more being better; none where the measure is not defined, or of another task.
    pub fn value(self, metrics: &Metrics) -> Option<f64> {
        match (self, metrics) {
            (Self::Loss, Metrics::Classes(m)) => Some(-m.loss),
            (Self::Accuracy, Metrics::Classes(m)) => Some(m.accuracy),
            (Self::Mcc, Metrics::Classes(m)) => Some(m.mcc),
            (Self::MacroF1, Metrics::Classes(m)) => Some(m.macro_f1),
            (Self::Auroc, Metrics::Classes(m)) => m.auroc,
            (Self::Auprc, Metrics::Classes(m)) => m.auprc,
            (Self::Loss, Metrics::Values(m)) => Some(-m.mse),
            (Self::Rmse, Metrics::Values(m)) => Some(-m.rmse),
            (Self::Mae, Metrics::Values(m)) => Some(-m.mae),
            (Self::Pearson, Metrics::Values(m)) => m.pearson,
            (Self::Spearman, Metrics::Values(m)) => m.spearman,
            (Self::R2, Metrics::Values(m)) => m.r2,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::predict::task::Scale;

    #[test]
    fn every_measure_is_of_one_task_and_better_is_more() {
        let classes = Task::Classes(vec!["a".into(), "b".into()]);
        let value = Task::Value(Scale::NONE);
        let right = Metrics::Classes(measure(&[0.9, 0.1, 0.2, 0.8], &[0, 1], 2));
        let wrong = Metrics::Classes(measure(&[0.1, 0.9, 0.8, 0.2], &[0, 1], 2));
        let near = Metrics::Values(measure_values(&[1.0, 2.0, 3.5], &[1.0, 2.0, 3.0]));
        let far = Metrics::Values(measure_values(&[3.0, 1.0, -3.0], &[1.0, 2.0, 3.0]));
        for (name, criterion) in Criterion::ALL {
            assert_eq!(criterion.name(), name);
            assert_eq!(serde_json::to_value(criterion).unwrap(), name);
            for (task, good, bad) in [(&classes, &right, &wrong), (&value, &near, &far)] {
                let (good, bad) = (criterion.value(good), criterion.value(bad));
                assert_eq!(
                    (good.is_some(), bad.is_some()),
                    (criterion.is_of(task), criterion.is_of(task)),
                    "{name}"
                );
                assert!(good.is_none() || good > bad, "{name}");
            }
        }
    }

    #[test]
    fn measures_come_back_from_json_as_what_they_were() {
        for metrics in [
            Metrics::Classes(measure(&[0.75, 0.25, 0.5, 0.5], &[0, 1], 2)),
            Metrics::Values(measure_values(&[1.0, 2.0], &[1.5, 1.5])),
        ] {
            let text = serde_json::to_string(&metrics).unwrap();
            assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics, "{text}");
        }
    }
}
