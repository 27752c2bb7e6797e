//! Adaptive weighted rejection sampling (Lipkin et al. 2025): a legal token without asking about all of them.
//!
//! For constraints that are expensive to evaluate. Masking a law and normalising it samples sequences from the wrong law; a draw
//! comes with a weight that puts this right: with `p` the model's law, the mean of `weight` over the draws that give `x` is `p_x`
//! if `x` is legal and 0 otherwise. The mean weight is the probability that the next token is legal.

use super::draw_order;
use rand::Rng;

/// One draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// A legal token; `None` if there is none, or it has probability 0.
    pub token: Option<usize>,
    /// What it counts; 0 without a token.
    pub weight: f64,
}

/// Draws a token from `probabilities`, which sum to 1, that `legal` accepts. Asks about each token at most once.
pub fn sample(probabilities: &[f64], rng: &mut impl Rng, legal: impl FnMut(usize) -> bool) -> Draw {
    weigh(probabilities, draw_order(probabilities, rng), legal)
}

/// The draw that follows from an order of the tokens, which [`draw_order`] gives its law: tokens are rejected until one is
/// legal, and the token after that one is tested for the weight alone.
pub fn weigh(
    probabilities: &[f64],
    order: impl IntoIterator<Item = usize>,
    mut legal: impl FnMut(usize) -> bool,
) -> Draw {
    let mut order = order.into_iter();
    let (mut weight, mut rest) = (1.0, 1.0);
    while let Some(token) = order.next() {
        let p = probabilities[token];
        // Rounding can leave less than the last token has.
        let share = if rest > p { p / rest } else { 1.0 };
        if legal(token) {
            let weight = match order.next() {
                Some(next) if !legal(next) => weight * share,
                _ => weight,
            };
            return Draw { token: Some(token), weight };
        }
        weight *= 1.0 - share;
        rest -= p;
    }
    Draw { token: None, weight: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    const LAW: [f64; 5] = [0.45, 0.3, 0.0, 0.15, 0.1];

    #[test]
    fn weighted_draws_have_the_law_restricted_to_what_is_legal() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let draws = 200_000;
        let mut sums = [0.0; 5];
        for _ in 0..draws {
            let draw = sample(&LAW, &mut rng, |token| token != 0);
            sums[draw.token.expect("legal tokens")] += draw.weight / f64::from(draws);
        }
        for (sum, expected) in sums.into_iter().zip([0.0, 0.3, 0.0, 0.15, 0.1]) {
            assert!((sum - expected).abs() < 0.006, "{sums:?}");
        }
    }

    #[test]
    fn no_legal_token_is_no_token() {
        let mut asked = Vec::new();
        let draw = sample(&LAW, &mut ChaCha8Rng::seed_from_u64(0), |token| {
            asked.push(token);
            false
        });
        assert_eq!(draw, Draw { token: None, weight: 0.0 });
        asked.sort_unstable();
        assert_eq!(asked, [0, 1, 3, 4]);
    }
}
