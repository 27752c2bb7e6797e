//! From logits to the law of a token, by logarithms: a mask can leave tokens whose probabilities round to 0.

use super::super::mask::Mask;
use super::{Rule, SampleError, Sampler, Sampling, Truncation, log_sum_exp, marginal};

impl Sampler {
    /// The log-probabilities of the tokens before constraints, minus infinity where a token cannot occur or is not legal; and
    /// the logarithm of the probability of those left, which is 0 without a mask.
    pub(super) fn law(&self, logits: &[f32], legal: Option<&Mask>) -> Result<(Vec<f64>, f64), SampleError> {
        let mut scores = self.scores(logits)?;
        let mask_first = self.sampling.rule == Rule::Token
            && self.sampling.truncation == Truncation::AfterMask
            && legal.is_some();
        match self.sampling.rule {
            Rule::Token => self.sampling.heat(&mut scores),
            Rule::BaseMarginal => {
                scores = marginal::kmer_scores(&scores, &self.vocabulary, |base| {
                    self.sampling.heat(base);
                    self.sampling.truncate(base);
                });
            }
        }
        if self.sampling.rule == Rule::Token && !mask_first {
            self.sampling.truncate(&mut scores);
        }
        let all = log_sum_exp(scores.iter().copied());
        if let Some(legal) = legal {
            let illegal = |(token, _): &(usize, &mut f64)| !legal.contains(*token as u32);
            scores.iter_mut().enumerate().filter(illegal).for_each(|(_, score)| *score = f64::NEG_INFINITY);
        }
        if mask_first {
            self.sampling.truncate(&mut scores);
        }
        let left = if legal.is_some() { log_sum_exp(scores.iter().copied()) } else { all };
        if left == f64::NEG_INFINITY {
            return Err(SampleError::DeadEnd);
        }
        for score in &mut scores {
            *score -= all;
        }
        let log_weight = if legal.is_none() || self.sampling.is_greedy() { 0.0 } else { left - all };
        Ok((scores, log_weight))
    }

    /// The logits without the suppressed tokens.
    fn scores(&self, logits: &[f32]) -> Result<Vec<f64>, SampleError> {
        if logits.len() != self.vocabulary.size() {
            return Err(SampleError::Size { found: logits.len(), expected: self.vocabulary.size() });
        }
        if let Some(token) = logits.iter().position(|logit| logit.is_nan() || *logit == f32::INFINITY) {
            return Err(SampleError::Logit { token: token as u32, value: logits[token] });
        }
        let mut scores: Vec<f64> = logits.iter().copied().map(f64::from).collect();
        for &token in &self.suppress {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = f64::NEG_INFINITY;
            }
        }
        Ok(scores)
    }
}

impl Sampling {
    /// Temperature; greedy choice needs none. Scores are taken relative to the best, which no temperature makes overflow.
    fn heat(&self, scores: &mut [f64]) {
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !self.is_greedy() && best > f64::NEG_INFINITY {
            for score in scores {
                *score = (*score - best) / self.temperature;
            }
        }
    }

    /// Top-k, then top-p; neither changes which score is the best.
    pub(super) fn truncate(&self, scores: &mut [f64]) {
        if self.is_greedy() {
            return;
        }
        if let Some(k) = self.top_k {
            top_k(scores, k);
        }
        if let Some(p) = self.top_p {
            top_p(scores, p);
        }
    }
}

/// Leaves the `k` highest scores and those equal to the lowest of them.
fn top_k(scores: &mut [f64], k: usize) {
    if k >= scores.len() {
        return;
    }
    let mut sorted = scores.to_vec();
    let (_, &mut last, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
    scores.iter_mut().filter(|score| **score < last).for_each(|score| *score = f64::NEG_INFINITY);
}

/// Takes out the least probable tokens as long as they have at most `1 - p` together, never all. Of equally probable ones, that
/// with the higher id goes first.
fn top_p(scores: &mut [f64], p: f64) {
    if p >= 1.0 {
        return;
    }
    let sum = log_sum_exp(scores.iter().copied());
    let mut order: Vec<usize> = (0..scores.len()).filter(|&i| scores[i] > f64::NEG_INFINITY).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
    order.pop();
    let mut out = 0.0;
    for token in order {
        out += (scores[token] - sum).exp();
        if out > 1.0 - p {
            break;
        }
        scores[token] = f64::NEG_INFINITY;
    }
}
