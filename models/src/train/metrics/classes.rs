//! How good predicted probabilities of classes are.

use serde::{Deserialize, Serialize};

/// Measures of a classifier on labelled sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Classification {
    /// Sequences.
    pub count: usize,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Share that is right.
    pub accuracy: f64,
    /// Matthews' correlation; of several classes Gorodkin's (2004).
    pub mcc: f64,
    /// Mean over classes of F1.
    pub macro_f1: f64,
    /// Area under the receiver operating characteristic, ties counted half; of several classes the mean of each against the
    /// rest. None where a class does not occur, or no other does.
    pub auroc: Option<f64>,
    /// Average precision; of several classes the mean of each against the rest.
    pub auprc: Option<f64>,
    /// Expected calibration error over ten bins of the largest probability (Guo et al. 2017).
    pub calibration_error: f64,
    /// What that error is made of: bins by the largest probability, a tenth each, from below.
    pub calibration: Vec<Bin>,
    /// `confusion[truth][prediction]`
    pub confusion: Vec<Vec<u64>>,
}

/// Sequences whose largest probability is in one tenth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Sequences.
    pub count: u64,
    /// Mean of their largest probability; 0 of none.
    pub confidence: f64,
    /// Share of them that is right; 0 of none.
    pub accuracy: f64,
}

/// Measures `laws`, `classes` probabilities a sequence, against labels.
///
/// # Panics
/// If there are no labels, not `classes` numbers for each, or a label that is no class.
pub fn measure(laws: &[f64], labels: &[usize], classes: usize) -> Classification {
    assert!(!labels.is_empty() && laws.len() == labels.len() * classes, "a law for each label");
    let count = labels.len();
    let mut confusion = vec![vec![0_u64; classes]; classes];
    let mut loss = 0.0;
    let mut bins = [(0_u64, 0.0_f64, 0_u64); 10];
    for (law, &label) in laws.chunks_exact(classes).zip(labels) {
        let best = argmax(law);
        confusion[label][best] += 1;
        loss -= law[label].max(f64::MIN_POSITIVE).ln();
        let bin = &mut bins[((law[best] * 10.0) as usize).min(9)];
        *bin = (bin.0 + 1, bin.1 + law[best], bin.2 + u64::from(best == label));
    }
    let calibration = bins.map(|(count, sum, right)| {
        let of = count.max(1) as f64;
        Bin { count, confidence: sum / of, accuracy: right as f64 / of }
    });
    let right: u64 = (0..classes).map(|class| confusion[class][class]).sum();
    let binary = |class: usize| -> Vec<(f64, bool)> {
        let scores = laws.chunks_exact(classes).map(|law| law[class]);
        scores.zip(labels).map(|(score, &label)| (score, label == class)).collect()
    };
    // The second of two classes is the positive one; which it is changes precision.
    let positives = if classes == 2 { 1..2 } else { 0..classes };
    let mean = |area: fn(Vec<(f64, bool)>) -> Option<f64>| {
        let each: Option<Vec<f64>> = positives.clone().map(|class| area(binary(class))).collect();
        each.map(|each| each.iter().sum::<f64>() / each.len() as f64)
    };
    Classification {
        count,
        loss: loss / count as f64,
        accuracy: right as f64 / count as f64,
        mcc: mcc(&confusion),
        macro_f1: macro_f1(&confusion),
        auroc: mean(auroc),
        auprc: mean(average_precision),
        calibration_error: calibration
            .iter()
            .map(|bin| (bin.confidence - bin.accuracy).abs() * bin.count as f64 / count as f64)
            .sum(),
        calibration: calibration.to_vec(),
        confusion,
    }
}

/// The first of the largest.
pub fn argmax(law: &[f64]) -> usize {
    (1..law.len()).fold(0, |best, class| if law[class] > law[best] { class } else { best })
}

fn mcc(confusion: &[Vec<u64>]) -> f64 {
    let truth: Vec<f64> = confusion.iter().map(|row| row.iter().sum::<u64>() as f64).collect();
    let given: Vec<f64> = (0..confusion.len())
        .map(|class| confusion.iter().map(|row| row[class]).sum::<u64>() as f64)
        .collect();
    let right: f64 = (0..confusion.len()).map(|class| confusion[class][class] as f64).sum();
    let all: f64 = truth.iter().sum();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let spread = |a: &[f64]| all * all - dot(a, a);
    let root = (spread(&truth) * spread(&given)).sqrt();
    // By convention 0 where all are of one class, or all are called one.
    if root == 0.0 { 0.0 } else { (right * all - dot(&truth, &given)) / root }
}

/// Over the classes that occur, in truth or prediction.
fn macro_f1(confusion: &[Vec<u64>]) -> f64 {
    let mut scores = Vec::new();
    for class in 0..confusion.len() {
        let truth: u64 = confusion[class].iter().sum();
        let given: u64 = confusion.iter().map(|row| row[class]).sum();
        if truth + given > 0 {
            scores.push(2.0 * confusion[class][class] as f64 / (truth + given) as f64);
        }
    }
    scores.iter().sum::<f64>() / scores.len().max(1) as f64
}

/// Scores from the highest on, with how many of each kind have each score.
#[allow(clippy::float_cmp, reason = "a tie is the same number")]
fn ranked(mut scores: Vec<(f64, bool)>) -> Vec<(f64, f64)> {
    scores.sort_by(|a, b| b.0.total_cmp(&a.0));
    let groups = scores.chunk_by(|a, b| a.0 == b.0);
    groups
        .map(|group| {
            let positive = group.iter().filter(|(_, positive)| *positive).count() as f64;
            (positive, group.len() as f64 - positive)
        })
        .collect()
}

fn auroc(scores: Vec<(f64, bool)>) -> Option<f64> {
    let (mut above, mut area) = (0.0, 0.0);
    let groups = ranked(scores);
    for (positive, negative) in &groups {
        area += negative * (above + positive / 2.0);
        above += positive;
    }
    let negatives: f64 = groups.iter().map(|group| group.1).sum();
    (above > 0.0 && negatives > 0.0).then(|| area / (above * negatives))
}

fn average_precision(scores: Vec<(f64, bool)>) -> Option<f64> {
    let (mut found, mut seen, mut area) = (0.0, 0.0, 0.0);
    for (positive, negative) in ranked(scores) {
        found += positive;
        seen += positive + negative;
        area += positive * found / seen;
    }
    (found > 0.0 && seen > found).then(|| area / found)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "a tie is the same number")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Labels and laws of two classes from scores of the second.
    fn two(scores: &[f64], labels: &[usize]) -> Classification {
        let laws: Vec<f64> = scores.iter().flat_map(|p| [1.0 - p, *p]).collect();
        measure(&laws, labels, 2)
    }

    #[test]
    fn two_classes_by_hand() {
        let metrics = two(&[0.9, 0.8, 0.4, 0.6, 0.2, 0.4], &[1, 1, 1, 0, 0, 0]);
        assert_eq!(metrics.confusion, [[2, 1], [1, 2]]);
        assert!((metrics.accuracy - 4.0 / 6.0).abs() < 1e-12);
        assert!((metrics.mcc - 1.0 / 3.0).abs() < 1e-12);
        // Of nine pairs 7 are in order and one is a tie.
        assert!((metrics.auroc.unwrap() - 7.5 / 9.0).abs() < 1e-12);
        // Precision 1/1, 2/2, then 3/5 where the tie is.
        assert!((metrics.auprc.unwrap() - (1.0 + 1.0 + 0.6) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn one_class_or_one_answer_has_no_correlation() {
        let metrics = two(&[0.9, 0.8], &[1, 1]);
        assert_eq!((metrics.mcc, metrics.auroc, metrics.auprc), (0.0, None, None));
        assert_eq!(two(&[0.9, 0.8], &[1, 0]).mcc.to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn sure_and_wrong_is_badly_calibrated() {
        assert!((two(&[1.0, 1.0], &[1, 0]).calibration_error - 0.5).abs() < 1e-12);
        assert!(two(&[1.0, 0.0], &[1, 0]).calibration_error.abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn areas_are_counts_of_pairs(points in prop::collection::vec((0..8_u8, any::<bool>()), 2..60)) {
            let scores: Vec<(f64, bool)> = points.iter().map(|&(score, positive)| (f64::from(score), positive)).collect();
            let pairs = || scores.iter().filter(|a| a.1).flat_map(|a| scores.iter().filter(|b| !b.1).map(move |b| (a.0, b.0)));
            let count = pairs().count();
            let area: f64 = pairs().map(|(a, b)| if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 }).sum();
            match auroc(scores.clone()) {
                None => prop_assert_eq!(count, 0),
                Some(found) => prop_assert!((found - area / count as f64).abs() < 1e-9),
            }
        }

        #[test]
        fn correlation_of_two_classes_is_that_of_matthews(cells in prop::array::uniform4(0..50_u64)) {
            let [tn, fp, fn_, tp] = cells.map(|n| n as f64);
            let root = ((tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_)).sqrt();
            let expected = if root == 0.0 { 0.0 } else { (tp * tn - fp * fn_) / root };
            let confusion = vec![vec![cells[0], cells[1]], vec![cells[2], cells[3]]];
            prop_assert!((mcc(&confusion) - expected).abs() < 1e-9);
        }
    }
}
