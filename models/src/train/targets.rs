//! What a head is asked for, one answer a sequence.

use crate::run::predict::task::Task;

/// The answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Numbers of classes.
    Classes(Vec<usize>),
    /// Values: in their own unit, or [`standard`](Self::standard) as a head predicts them.
    Values(Vec<f64>),
}

impl Targets {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of some sequences.
    #[must_use]
    pub fn of(&self, rows: &[usize]) -> Self {
        match self {
            Self::Classes(classes) => Self::Classes(rows.iter().map(|&row| classes[row]).collect()),
            Self::Values(values) => Self::Values(rows.iter().map(|&row| values[row]).collect()),
        }
    }

    /// On the scale of a task's head.
    #[must_use]
    pub fn standard(&self, task: &Task) -> Self {
        match (self, task) {
            (Self::Values(values), Task::Value(scale)) => {
                Self::Values(values.iter().map(|&value| scale.standard(value)).collect())
            }
            _ => self.clone(),
        }
    }

    /// The loss of what a head answered to sequence `n`: cross-entropy in nats of logits, or the square of the distance of one
    /// number. With a `scale` the answer becomes the gradient of `scale` times the loss.
    ///
    /// # Panics
    /// If there is no such sequence, or the answer is of another task.
    pub fn loss(&self, n: usize, answer: &mut [f32], scale: Option<f64>) -> f64 {
        match self {
            Self::Classes(classes) => kilobase_kernels::loss::cross_entropy(answer, classes[n], scale),
            Self::Values(values) => {
                let [answer] = answer else { panic!("{} numbers in place of a value", answer.len()) };
                let distance = f64::from(*answer) - values[n];
                if let Some(scale) = scale {
                    *answer = (2.0 * scale * distance) as f32;
                }
                distance * distance
            }
        }
    }

    /// The loss at each sequence of who has read none of them: of answering the share of each class, or (of standard values) the
    /// mean, 0.
    pub fn guessed(&self) -> Vec<f64> {
        match self {
            Self::Classes(classes) => {
                let mut counts = vec![0_u64; classes.iter().max().map_or(0, |last| last + 1)];
                for &class in classes {
                    counts[class] += 1;
                }
                let share = |&class: &usize| counts[class] as f64 / classes.len() as f64;
                classes.iter().map(share).map(|share| -share.ln()).collect()
            }
            Self::Values(values) => values.iter().map(|value| value * value).collect(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "powers of two are exact")]
mod tests {
    use super::*;
    use crate::run::predict::task::Scale;

    #[test]
    fn squares_and_their_gradient_by_hand() {
        let targets = Targets::Values(vec![0.5, -1.0]);
        let mut answer = [2.0];
        assert_eq!(targets.loss(0, &mut answer, None), 2.25);
        assert_eq!(answer, [2.0], "without a scale it stays");
        // 0.5 * 2 * (2 - -1)
        assert_eq!(targets.loss(1, &mut answer, Some(0.5)), 9.0);
        assert_eq!(answer, [3.0]);
    }

    #[test]
    fn guessing_takes_the_entropy_or_the_variance() {
        let guessed = Targets::Classes(vec![0, 2, 0, 0]).guessed();
        assert_eq!(guessed, [0.75_f64, 0.25, 0.75, 0.75].map(|share| -share.ln()));
        let values = vec![3.0, 5.0, 7.0, -1.0];
        let task = Task::Value(Scale::of(&values).unwrap());
        let standard = Targets::Values(values).standard(&task);
        let mean = standard.guessed().iter().sum::<f64>() / 4.0;
        assert!((mean - 1.0).abs() < 1e-12, "standard values have variance 1");
    }
}
