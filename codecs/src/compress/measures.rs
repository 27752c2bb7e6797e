//! How good predictions are.

/// Pairs of true and predicted classes, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// Rows are true classes, columns predictions.
    counts: Vec<u64>,
}

impl Confusion {
    /// Nothing counted yet.
    pub fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Counts pairs of the true class and the prediction.
    pub fn of(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut confusion = Self::new(classes);
        for (truth, prediction) in pairs {
            confusion.counts[truth * classes + prediction] += 1;
        }
        confusion
    }

    /// How many rows of a class were given another, or its own.
    pub fn get(&self, truth: usize, prediction: usize) -> u64 {
        self.counts[truth * self.classes + prediction]
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The share of rows that were right; 0 without rows.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.get(class, class)).sum();
        right as f64 / self.total().max(1) as f64
    }

    /// The harmonic mean of precision and recall of a class; 0 where it was neither there nor predicted.
    pub fn f1(&self, class: usize) -> f64 {
        let truth: u64 = (0..self.classes).map(|other| self.get(class, other)).sum();
        let given: u64 = (0..self.classes).map(|other| self.get(other, class)).sum();
        if truth + given == 0 { 0.0 } else { 2.0 * self.get(class, class) as f64 / (truth + given) as f64 }
    }

    /// The mean of F1 over classes that occur, in truth or prediction.
    pub fn macro_f1(&self) -> f64 {
        let occurs = |&class: &usize| {
            (0..self.classes).any(|other| self.get(class, other) + self.get(other, class) > 0)
        };
        let scores: Vec<f64> = (0..self.classes).filter(occurs).map(|class| self.f1(class)).collect();
        scores.iter().sum::<f64>() / scores.len().max(1) as f64
    }

    /// The mean of F1 weighted by how often each class is true.
    pub fn weighted_f1(&self) -> f64 {
        let weight = |class: usize| -> u64 { (0..self.classes).map(|other| self.get(class, other)).sum() };
        let sum: f64 = (0..self.classes).map(|class| weight(class) as f64 * self.f1(class)).sum();
        sum / self.total().max(1) as f64
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same bits are what is asked for")]
mod tests {
    use super::*;

    #[test]
    fn measures_are_those_of_the_field() {
        // Two of three of class 0 right, one given to 1; class 1 right; class 2 never occurs.
        let confusion = Confusion::of(3, [(0, 0), (0, 0), (0, 1), (1, 1)]);
        assert_eq!(confusion.accuracy(), 0.75);
        assert_eq!(confusion.f1(0), 0.8);
        assert!((confusion.f1(1) - 2.0 / 3.0).abs() < 1e-12);
        assert!((confusion.macro_f1() - f64::midpoint(0.8, 2.0 / 3.0)).abs() < 1e-12);
        assert!((confusion.weighted_f1() - (3.0 * 0.8 + 2.0 / 3.0) / 4.0).abs() < 1e-12);
        assert_eq!(Confusion::new(2).accuracy(), 0.0);
    }
}
