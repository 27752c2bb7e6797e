use std::ops::{Range, RangeInclusive};

/// A document in pieces whose lengths are powers of two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decomposition {
    /// The pieces in order, longest first.
    pub chunks: Vec<Range<usize>>,
    /// What is left, shorter than the shortest piece. It is not trained on: count it.
    pub tail: Range<usize>,
}

/// Cuts `tokens` tokens into pieces of `2^e` tokens, `e` in `exponents`: as many of the longest as fit, then the binary digits
/// of the rest (Dataset Decomposition, Pouransari et al. 2024). Batches of one length each need no padding, and no piece
/// joins documents.
///
/// # Panics
/// If a power is larger than any length.
pub fn decompose_pow2(tokens: usize, exponents: RangeInclusive<u32>) -> Decomposition {
    let mut start = 0;
    let mut chunks = Vec::new();
    for exponent in exponents.rev() {
        let length = 1_usize.checked_shl(exponent).expect("a length");
        while tokens - start >= length {
            chunks.push(start..start + length);
            start += length;
        }
    }
    Decomposition { chunks, tail: start..tokens }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_repeat_and_the_rest_is_binary() {
        let cut = decompose_pow2(2 * 32 + 16 + 4 + 3, 2..=5);
        let lengths: Vec<usize> = cut.chunks.iter().map(Range::len).collect();
        assert_eq!((lengths, cut.tail), (vec![32, 32, 16, 4], 84..87));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_but_the_tail(tokens in 0..5000_usize, low in 0..9_u32, more in 0..5_u32) {
            let Decomposition { chunks, tail } = decompose_pow2(tokens, low..=low + more);
            let mut end = 0;
            for chunk in &chunks {
                prop_assert_eq!(chunk.start, end);
                prop_assert!(chunk.len().is_power_of_two() && chunk.len() >= 1 << low && chunk.len() <= 1 << (low + more));
                end = chunk.end;
            }
            prop_assert_eq!(&tail, &(end..tokens));
            prop_assert!(tail.len() < 1 << low);
            // A shorter length than the longest occurs once at most.
            let shorter = chunks.iter().map(Range::len).filter(|&length| length < 1 << (low + more));
            prop_assert!(shorter.collect::<Vec<_>>().windows(2).all(|pair| pair[0] > pair[1]));
        }
    }
}
