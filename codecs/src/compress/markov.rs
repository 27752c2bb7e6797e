//! Models of bases as code lengths: one adaptive context, and the mixture of [`dna`](super::dna).

use super::code_length::{CodeLength, Result};
use super::deflate::base_code;
use super::dna::Predictor;

/// Bits of a letter that is no base.
const OTHER: f64 = 2.0;

/// An adaptive Markov model: the counts after the last `k` bases so far, with a share of each base added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Markov {
    order: u32,
    prior: f64,
}

impl Markov {
    /// The longest order: its counts take 128 MiB.
    pub const LONGEST: u32 = 12;

    /// A model of an order, or none where that is too long.
    pub fn new(order: u32) -> Option<Self> {
        let prior = if order < 8 { 1.0 } else { 1.0 / 16.0 };
        (order <= Self::LONGEST).then_some(Self { order, prior })
    }

    fn run(&self, parts: &[&[u8]]) -> f64 {
        let mask = (1_usize << (2 * self.order)) - 1;
        let mut counts = vec![[0_u16; 4]; mask + 1];
        let (mut context, mut known) = (0, 0);
        let mut bits = 0.0;
        for &letter in parts.iter().copied().flatten() {
            let Some(base) = base_code(letter) else {
                bits += OTHER;
                known = 0;
                continue;
            };
            if known < self.order {
                // The first bases of a run have no context.
                bits += 2.0;
            } else {
                let counts = &mut counts[context];
                let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
                let own = f64::from(counts[usize::from(base)]);
                bits -= ((own + self.prior) / (total + 4.0 * self.prior)).log2();
                counts[usize::from(base)] = counts[usize::from(base)].saturating_add(1);
            }
            context = (context << 2 | usize::from(base)) & mask;
            known += 1;
        }
        bits
    }
}

impl CodeLength for Markov {
    fn name(&self) -> String {
        format!("markov-{}", self.order)
    }

    fn bits(&self, sequence: &[u8]) -> Result<f64> {
        Ok(self.run(&[sequence]))
    }

    fn joint_bits(&self, first: &[u8], second: &[u8]) -> Result<f64> {
        Ok(self.run(&[first, second]))
    }
}

/// The mixture of models of `kilobase compress`, learned on the sequence itself. Other letters take two bits, and are as if they
/// were not there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mixture;

impl Mixture {
    fn run(parts: &[&[u8]]) -> f64 {
        let letters = parts.iter().map(|part| part.len()).sum();
        let mut predictor = Predictor::new(letters);
        let mut bits = 0.0;
        for &letter in parts.iter().copied().flatten() {
            match base_code(letter) {
                Some(base) => {
                    bits += predictor.bits(base);
                    predictor.update(base);
                }
                None => bits += OTHER,
            }
        }
        bits
    }
}

impl CodeLength for Mixture {
    fn name(&self) -> String {
        "mixture".to_owned()
    }

    fn bits(&self, sequence: &[u8]) -> Result<f64> {
        Ok(Self::run(&[sequence]))
    }

    fn joint_bits(&self, first: &[u8], second: &[u8]) -> Result<f64> {
        Ok(Self::run(&[first, second]))
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "the same bits are what is asked for")]
mod tests {
    use super::*;
    use crate::compress::Distance;

    #[test]
    fn a_uniform_sequence_costs_little_and_others_two_bits() {
        let markov = Markov::new(2).unwrap();
        let bits = markov.bits(&[b'A'; 1000]).unwrap();
        assert!(bits < 40.0, "{bits}");
        assert_eq!(markov.bits(b"NNNN").unwrap(), 8.0);
        assert_eq!(markov.bits(b"AC").unwrap(), 4.0);
        assert!(Markov::new(13).is_none());
    }

    #[test]
    fn what_was_seen_costs_less_the_second_time() {
        let text = b"ATGACGTTGACCAGTTAACGCATCAGATTACAGCCATCGTAGGCTTTAACGGATC";
        let other = b"GGCATTCCAAGTCTCGATGCGGCAAATTTCCCGTGTAGCTAGACTCGTTCAGAGA";
        for code in [&Markov::new(8).unwrap() as &dyn CodeLength, &Mixture] {
            let [alone, same, different] = [
                code.bits(text).unwrap(),
                code.joint_bits(text, text).unwrap(),
                code.joint_bits(text, other).unwrap(),
            ];
            assert!(same < different, "{}", code.name());
            let near = Distance::Ncd.of(text.len(), alone, alone, same);
            assert!(near < 0.9, "{}: {near}", code.name());
        }
    }
}
