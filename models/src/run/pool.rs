//! From the states of a sequence's tokens to the rows that describe it.

use std::fmt;
use std::str::FromStr;

/// How the states of a sequence's tokens become rows of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Mean over all tokens, special tokens included: what the DNABERT-2 authors use.
    Mean,
    /// Mean over the tokens that stand for bases.
    MeanNoSpecial,
    /// Largest value of each feature over all tokens, special tokens included.
    Max,
    /// State of the first token (`[CLS]`).
    Cls,
    /// State of the last token (`[SEP]` in encoders).
    Last,
    /// One row a token, special tokens included.
    None,
}

impl Pooling {
    /// Every way, in the order shown to users.
    pub const ALL: [Self; 6] =
        [Self::Mean, Self::MeanNoSpecial, Self::Max, Self::Cls, Self::Last, Self::None];

    /// The name on the command line and in metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::MeanNoSpecial => "mean-no-special",
            Self::Max => "max",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::None => "none",
        }
    }

    /// Pools `states` `[tokens, width]`; `special[t]` marks tokens that the tokenizer added.
    ///
    /// Sums run in f64 in token order, so a sequence gives the same row in any batch that gives the same
    /// states. Returns `None` where there is nothing to pool: no token, or no token that stands for bases.
    ///
    /// # Panics
    /// If `states` is not one row of `width` values a token.
    pub fn pool(self, states: &[f32], width: usize, special: &[bool]) -> Option<Vec<f32>> {
        assert_eq!(states.len(), width * special.len(), "one row a token");
        if states.is_empty() {
            return None;
        }
        match self {
            Self::Mean => mean(states.chunks_exact(width), width),
            Self::MeanNoSpecial => {
                let rows = states.chunks_exact(width).zip(special);
                mean(rows.filter(|(_, special)| !**special).map(|(row, _)| row), width)
            }
            Self::Max => {
                let mut largest = vec![f32::NEG_INFINITY; width];
                for row in states.chunks_exact(width) {
                    for (m, &x) in largest.iter_mut().zip(row) {
                        *m = m.max(x);
                    }
                }
                Some(largest)
            }
            Self::Cls => Some(states[..width].to_vec()),
            Self::Last => Some(states[states.len() - width..].to_vec()),
            Self::None => Some(states.to_vec()),
        }
    }
}

fn mean<'a>(rows: impl Iterator<Item = &'a [f32]>, width: usize) -> Option<Vec<f32>> {
    let mut sum = vec![0.0_f64; width];
    let mut count = 0_u64;
    for row in rows {
        count += 1;
        for (s, &x) in sum.iter_mut().zip(row) {
            *s += f64::from(x);
        }
    }
    (count > 0).then(|| sum.into_iter().map(|s| (s / count as f64) as f32).collect())
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no way of pooling.
#[derive(Debug, thiserror::Error)]
#[error("unknown pooling {0:?}; there are mean, mean-no-special, max, cls, last and none")]
pub struct ParsePoolingError(String);

impl FromStr for Pooling {
    type Err = ParsePoolingError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|p| p.name() == name).ok_or_else(|| ParsePoolingError(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [f32; 6] = [1.0, -2.0, 3.0, 4.0, 5.0, 0.0];
    const SPECIAL: [bool; 3] = [true, false, true];

    #[test]
    fn each_way_on_three_tokens() {
        let pool = |p: Pooling| p.pool(&STATES, 2, &SPECIAL).expect("rows");
        assert_eq!(pool(Pooling::Mean), [3.0, 2.0 / 3.0]);
        assert_eq!(pool(Pooling::MeanNoSpecial), [3.0, 4.0]);
        assert_eq!(pool(Pooling::Max), [5.0, 4.0]);
        assert_eq!(pool(Pooling::Cls), [1.0, -2.0]);
        assert_eq!(pool(Pooling::Last), [5.0, 0.0]);
        assert_eq!(pool(Pooling::None), STATES);
    }

    #[test]
    fn nothing_to_pool_is_not_a_row_of_nan() {
        assert_eq!(Pooling::MeanNoSpecial.pool(&STATES[..4], 2, &[true, true]), None);
        assert_eq!(Pooling::Mean.pool(&[], 2, &[]), None);
    }

    #[test]
    fn names_round_trip() {
        for pooling in Pooling::ALL {
            assert_eq!(pooling.name().parse::<Pooling>().expect("a name"), pooling);
        }
        assert!("average".parse::<Pooling>().is_err());
    }
}
