//! A method with its measures, and the table of them.

use kilobase::models::run::predict::task::Task;
use kilobase::models::train::metrics::{Classification, Regression, measure, measure_values};
use serde_json::{Value, json};

use super::report::{Detail, Picture};
use crate::cli::fine_tuned::FineTuned;
use crate::cli::finetune::rows::{Kind, Rows};

/// What a method did on the sequences that are measured.
pub(super) struct Measured {
    pub(super) method: String,
    pub(super) found: Found,
}

pub(super) enum Found {
    Classes { classes: Vec<String>, metrics: Classification },
    Values { predicted: Vec<f64>, truth: Vec<f64>, metrics: Regression },
}

impl Found {
    pub(super) fn values(predicted: Vec<f64>, truth: Vec<f64>) -> Self {
        let metrics = measure_values(&predicted, &truth);
        Self::Values { predicted, truth, metrics }
    }

    /// By a fine-tuned model.
    pub(super) fn by(model: &FineTuned, rows: &Rows) -> anyhow::Result<Self> {
        let ids = rows.ids(&model.tokens())?;
        match &model.task {
            Task::Classes(classes) => {
                let numbers = rows.numbers(classes)?;
                let metrics = measure(&model.laws(&ids)?.concat(), &numbers, classes.len());
                Ok(Self::Classes { classes: classes.clone(), metrics })
            }
            Task::Value(scale) => Ok(Self::values(model.values(&ids, scale)?, rows.values()?)),
        }
    }
}

impl Measured {
    pub(super) fn detail(&self) -> Detail<'_> {
        let picture = match &self.found {
            Found::Classes { classes, metrics } => Picture::Classes { classes, metrics },
            Found::Values { predicted, truth, metrics } => Picture::Values { predicted, truth, metrics },
        };
        Detail { name: self.method.clone(), picture }
    }

    pub(super) fn json(&self) -> Value {
        match &self.found {
            Found::Classes { metrics, .. } => json!({ "method": self.method, "measures": metrics }),
            Found::Values { metrics, .. } => json!({ "method": self.method, "measures": metrics }),
        }
    }

    fn line(&self) -> String {
        let or_na = |x: Option<f64>| x.map_or_else(|| "NA".to_owned(), |x| format!("{x:.4}"));
        let method = &self.method;
        match &self.found {
            Found::Classes { metrics: m, .. } => format!(
                "{method}\t{}\t{:.4}\t{:.4}\t{:.4}\t{}\t{}\t{:.4}\t{:.4}\n",
                m.count,
                m.accuracy,
                m.mcc,
                m.macro_f1,
                or_na(m.auroc),
                or_na(m.auprc),
                m.loss,
                m.calibration_error
            ),
            Found::Values { metrics: m, .. } => format!(
                "{method}\t{}\t{}\t{}\t{}\t{}\t{}\n",
                m.count,
                // In the values' unit, whatever its size.
                unit(m.rmse),
                unit(m.mae),
                or_na(m.pearson),
                or_na(m.spearman),
                or_na(m.r2)
            ),
        }
    }
}

/// A number with five digits.
fn unit(x: f64) -> String {
    if x == 0.0 || (1e-3..1e5).contains(&x) { format!("{x:.4}") } else { format!("{x:.4e}") }
}

/// Columns between tabs, one line a method of one kind.
pub(super) fn table(kind: Kind, measured: &[Measured]) -> String {
    let header = match kind {
        Kind::Classification => {
            "method\tsequences\taccuracy\tmcc\tmacro_f1\tauroc\tauprc\tloss\tcalibration_error\n"
        }
        Kind::Regression => "method\tsequences\trmse\tmae\tpearson\tspearman\tr2\n",
    };
    std::iter::once(header.to_owned()).chain(measured.iter().map(Measured::line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_defined_is_na() {
        let found = Found::values(vec![1.0, 1.0], vec![2e6, 3e6]);
        let table = table(Kind::Regression, &[Measured { method: "m".to_owned(), found }]);
        let line = table.lines().nth(1).unwrap();
        assert!(line.starts_with("m\t2\t2.5495e6\t2.5000e6\tNA\tNA\t-"), "{line}");
    }
}
