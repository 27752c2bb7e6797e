//! One answer for one query, whatever the model.

use kilobase::codecs::compress::neighbours::Index;
use kilobase::data::alphabet::reverse_complement;

use super::train::Trained;

/// Shorter sequences are classified, and marked.
const SHORT: usize = 32;

/// What a model says of a sequence.
#[derive(Debug)]
pub(super) struct Verdict {
    /// None for an empty sequence or one that was rejected.
    pub(super) class: Option<usize>,
    pub(super) confidence: f64,
    pub(super) margin: f64,
    /// Index of the nearest sequence and its distance, of neighbours.
    pub(super) nearest: Option<(usize, f64)>,
    /// Distances or bits a base.
    pub(super) by_class: Vec<f64>,
    pub(super) status: &'static str,
    pub(super) is_reverse: bool,
}

/// A model made ready.
pub(super) struct Judge<'a> {
    model: &'a Trained,
    index: Option<Index<'a>>,
    pub(super) both_strands: bool,
    /// Bits a base that the best class must save against the background.
    pub(super) reject: Option<f64>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(model: &'a Trained, both_strands: bool, reject: Option<f64>) -> anyhow::Result<Self> {
        let index = match model {
            Trained::Cm(_) => None,
            Trained::Neighbours(neighbours) => Some(neighbours.index()?),
        };
        Ok(Self { model, index, both_strands, reject })
    }

    /// The verdict on a sequence as it is compared; of both strands the better one.
    pub(super) fn judge(&self, sequence: &[u8]) -> anyhow::Result<Verdict> {
        if sequence.is_empty() {
            let by_class = vec![f64::NAN; self.model.classes().len()];
            return Ok(Verdict {
                class: None,
                confidence: f64::NAN,
                margin: f64::NAN,
                nearest: None,
                by_class,
                status: "empty",
                is_reverse: false,
            });
        }
        let mut verdict = self.one_strand(sequence)?;
        if self.both_strands {
            let other = self.one_strand(&reverse_complement(sequence))?;
            let best = |verdict: &Verdict| verdict.by_class.iter().copied().fold(f64::INFINITY, f64::min);
            if best(&other) < best(&verdict) {
                verdict = Verdict { is_reverse: true, ..other };
            }
        }
        let is_base = |letter: &u8| matches!(letter, b'A' | b'C' | b'G' | b'T' | b'a' | b'c' | b'g' | b't');
        if !sequence.iter().any(is_base) {
            verdict.status = "all_ambiguous";
        } else if sequence.len() < SHORT {
            verdict.status = "short";
        }
        Ok(verdict)
    }

    fn one_strand(&self, sequence: &[u8]) -> anyhow::Result<Verdict> {
        match (self.model, &self.index) {
            (Trained::Cm(model), _) => {
                let (score, saved) = match self.reject {
                    None => (model.score(sequence), None),
                    Some(least) => {
                        let (score, background) = model.score_with_background(sequence);
                        let best = score.bits.iter().copied().fold(f64::INFINITY, f64::min);
                        let saved = (background - best) / sequence.len() as f64;
                        (score, Some(saved >= least))
                    }
                };
                let decision = score.decide(model.temperature());
                Ok(Verdict {
                    class: (saved != Some(false)).then_some(decision.class),
                    confidence: decision.confidence,
                    margin: decision.margin,
                    nearest: None,
                    by_class: score.per_letter(),
                    status: if decision.is_tie { "tie" } else { "ok" },
                    is_reverse: false,
                })
            }
            (Trained::Neighbours(_), Some(index)) => {
                let vote = index.classify(sequence)?;
                let (margin, confidence) = vote.margin();
                Ok(Verdict {
                    class: Some(vote.class),
                    confidence,
                    margin,
                    nearest: Some(vote.nearest),
                    status: if vote.is_tie { "tie" } else { "ok" },
                    by_class: vote.by_class,
                    is_reverse: false,
                })
            }
            (Trained::Neighbours(_), None) => unreachable!("an index is made with every such model"),
        }
    }
}
