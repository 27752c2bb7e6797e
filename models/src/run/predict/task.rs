//! What a fine-tuned head answers, as `config.json` says it.
//!
//! The keys are those of Hugging Face: `id2label` (or `num_labels`) and `problem_type`. A head of one number predicts values; whoever
//! trained it on standardised values says by how much in [`MEAN`] and [`DEVIATION`], which Hugging Face does not read: there the
//! number is `(value - mean) / deviation`.

use serde_json::{Map, Value, json};

/// The key of the mean that was taken off the values a regression was trained on; 0 where it is absent.
pub const MEAN: &str = "kilobase_target_mean";
/// The key of the deviation that these were divided by; 1 where it is absent.
pub const DEVIATION: &str = "kilobase_target_deviation";

/// What a head answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Which of these classes: a logit each.
    Classes(Vec<String>),
    /// A value: one number, on this scale.
    Value(Scale),
}

/// How values become what a head predicts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// Taken off a value, in its unit.
    pub mean: f64,
    /// Then divided by this, in the value's unit; above 0.
    pub deviation: f64,
}

/// Values or a configuration that make no task.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration names no classes and no regression.
    #[error(
        "neither classes (id2label) nor a regression (problem_type); kilobase finetune makes a classifier or a regression"
    )]
    None,
    /// A problem that is neither of the two.
    #[error(
        "problem_type {found:?} with {labels} labels; known are single_label_classification and regression of one value"
    )]
    Other {
        /// What it says.
        found: String,
        /// How many labels it has.
        labels: usize,
    },
    /// A scale that undoes nothing.
    #[error("{MEAN} {mean}, {DEVIATION} {deviation}: a mean must be finite, a deviation finite and above 0")]
    Scale {
        /// The mean.
        mean: String,
        /// The deviation.
        deviation: String,
    },
    /// Values that do not differ, or lie too far apart for a deviation.
    #[error(
        "the values have mean {mean} and deviation {deviation}; a regression needs values that differ, by numbers of a usual size"
    )]
    Spread {
        /// The mean.
        mean: f64,
        /// The deviation.
        deviation: f64,
    },
}

impl Scale {
    /// Values as they are.
    pub const NONE: Self = Self { mean: 0.0, deviation: 1.0 };

    /// Mean and deviation (of the population) of values.
    pub fn of(values: &[f64]) -> Result<Self, Error> {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
        let differ = values.iter().any(|value| value.to_bits() != values[0].to_bits());
        let found = Self { mean, deviation };
        if differ && found.is_sound() { Ok(found) } else { Err(Error::Spread { mean, deviation }) }
    }

    /// A value as a head predicts it.
    pub fn standard(&self, value: f64) -> f64 {
        (value - self.mean) / self.deviation
    }

    /// What a head predicted as a value.
    pub fn value(&self, standard: f64) -> f64 {
        self.mean + self.deviation * standard
    }

    fn is_sound(&self) -> bool {
        self.mean.is_finite() && self.deviation.is_finite() && self.deviation > 0.0
    }
}

impl Task {
    /// Numbers that a head predicts of a sequence.
    pub fn outputs(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Value(_) => 1,
        }
    }

    /// Reads the task of a configuration. As in Hugging Face, one label without a `problem_type` is a regression.
    pub fn from_config(config: &Value) -> Result<Self, Error> {
        let names = config["id2label"].as_object();
        let numbered = config["num_labels"].as_u64().map(|labels| labels as usize);
        let labels = names.map(Map::len).or(numbered).unwrap_or(0);
        let other = |found: &str| Error::Other { found: found.to_owned(), labels };
        match config["problem_type"].as_str() {
            Some("regression") if labels <= 1 => Self::value(config),
            None if labels == 1 => Self::value(config),
            None | Some("single_label_classification") if labels > 1 => {
                let name = |number: usize| match names {
                    Some(names) => names.get(&number.to_string())?.as_str().map(String::from),
                    None => Some(format!("LABEL_{number}")),
                };
                (0..labels).map(name).collect::<Option<_>>().map(Self::Classes).ok_or(Error::None)
            }
            None => Err(Error::None),
            Some(found) => Err(other(found)),
        }
    }

    fn value(config: &Value) -> Result<Self, Error> {
        let number = |key: &str, usual: f64| match &config[key] {
            Value::Null => usual,
            found => found.as_f64().unwrap_or(f64::NAN),
        };
        let scale = Scale { mean: number(MEAN, 0.0), deviation: number(DEVIATION, 1.0) };
        if scale.is_sound() {
            return Ok(Self::Value(scale));
        }
        let [mean, deviation] = [MEAN, DEVIATION].map(|key| config[key].to_string());
        Err(Error::Scale { mean, deviation })
    }

    /// Writes the task into a configuration, in place of what it said before.
    pub fn write(&self, config: &mut Map<String, Value>) {
        for key in [MEAN, DEVIATION, "problem_type"] {
            config.remove(key);
        }
        let one = ["LABEL_0".to_owned()];
        let (names, problem) = match self {
            Self::Classes(classes) => (&classes[..], "single_label_classification"),
            Self::Value(scale) => {
                config.insert(MEAN.into(), scale.mean.into());
                config.insert(DEVIATION.into(), scale.deviation.into());
                (&one[..], "regression")
            }
        };
        config.insert("problem_type".into(), problem.into());
        config.insert("num_labels".into(), names.len().into());
        let of_number = names.iter().enumerate().map(|(number, name)| (number.to_string(), json!(name)));
        config.insert("id2label".into(), Value::Object(of_number.collect()));
        let of_name = names.iter().enumerate().map(|(number, name)| (name.clone(), json!(number)));
        config.insert("label2id".into(), Value::Object(of_name.collect()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn configurations_of_hugging_face_are_understood() {
        let task = |config: Value| Task::from_config(&config);
        let one = json!({ "0": "LABEL_0" });
        for config in [
            json!({ "id2label": one, "problem_type": "regression" }),
            json!({ "id2label": one }),
            json!({ "num_labels": 1, "problem_type": null }),
        ] {
            assert_eq!(task(config), Ok(Task::Value(Scale::NONE)));
        }
        let two = json!({ "0": "no", "1": "yes" });
        let classes = Ok(Task::Classes(vec!["no".into(), "yes".into()]));
        assert_eq!(task(json!({ "id2label": two })), classes);
        assert_eq!(task(json!({ "id2label": two, "problem_type": "single_label_classification" })), classes);
        assert_eq!(
            task(json!({ "num_labels": 2 })),
            Ok(Task::Classes(vec!["LABEL_0".into(), "LABEL_1".into()]))
        );
        for (problem, labels) in
            [("multi_label_classification", 2), ("regression", 2), ("single_label_classification", 1)]
        {
            let config = json!({ "num_labels": labels, "problem_type": problem });
            assert_eq!(task(config), Err(Error::Other { found: problem.to_owned(), labels }));
        }
        assert_eq!(task(json!({})), Err(Error::None));
        assert_eq!(task(json!({ "id2label": { "0": "a", "7": "b" } })), Err(Error::None));
        for bad in [json!(0), json!(-1.0), json!("2")] {
            let error = task(json!({ "num_labels": 1, DEVIATION: bad })).unwrap_err().to_string();
            assert!(error.contains(&format!("{DEVIATION} {bad}")), "{error}");
        }
    }

    #[test]
    fn values_that_do_not_differ_have_no_scale() {
        assert_eq!(Scale::of(&[1.0, 3.0]), Ok(Scale { mean: 2.0, deviation: 1.0 }));
        for values in [&[0.1, 0.1, 0.1][..], &[1.0], &[], &[1e300, -1e300]] {
            assert!(matches!(Scale::of(values), Err(Error::Spread { .. })), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec(-1e6..1e6_f64, 2..20), names in prop::collection::btree_set("[a-z]{1,6}", 2..5)) {
            let mut config = json!({ "problem_type": "multi_label_classification", MEAN: 3.0, "hidden_size": 8 });
            let fields = config.as_object_mut().unwrap();
            let classes = Task::Classes(names.into_iter().collect());
            classes.write(fields);
            prop_assert_eq!(Task::from_config(&Value::Object(fields.clone())), Ok(classes));
            if let Ok(scale) = Scale::of(&values) {
                Task::Value(scale).write(fields);
                prop_assert_eq!(Task::from_config(&Value::Object(fields.clone())), Ok(Task::Value(scale)));
                for value in values {
                    prop_assert!((scale.value(scale.standard(value)) - value).abs() <= 1e-9 * value.abs().max(scale.deviation));
                }
            }
        }
    }
}
