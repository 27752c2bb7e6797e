//! From probabilities to tokens: sampling under constraints and checking drafts, exact in law.
//!
//! Nothing here knows a model: logits and the texts of tokens come in, tokens and their weights go out. [`sample`] has the laws and
//! the draw, [`constraint`] what can be demanded of the bases, [`particles`] the use of weights while sequences grow, and [`stop`]
//! the end.

pub mod awrs;
pub mod base;
pub mod constraint;
pub mod mask;
pub mod particles;
pub mod predicate;
pub mod rsd;
pub mod sample;
pub mod stop;
pub mod vocabulary;

use rand::{Rng, RngExt};

/// Draws without replacement: the tokens that can occur, in the order in which they are drawn.
///
/// The same law as sorting by `ln p` plus Gumbel noise, here as a race: token `x` arrives after a time that is exponential with
/// rate `p_x`. Probabilities need not sum to 1.
pub fn draw_order(probabilities: &[f64], rng: &mut impl Rng) -> Vec<usize> {
    let mut arrivals: Vec<(f64, usize)> = Vec::with_capacity(probabilities.len());
    for (token, p) in probabilities.iter().enumerate().filter(|(_, p)| **p > 0.0) {
        let uniform: f64 = rng.random();
        arrivals.push((-(-uniform).ln_1p() / p, token));
    }
    arrivals.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    arrivals.into_iter().map(|(_, token)| token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    #[test]
    fn orders_are_drawn_without_replacement() {
        let p: [f64; 4] = [0.5, 0.0, 0.2, 0.3];
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut counts = std::collections::HashMap::new();
        let draws = 100_000;
        for _ in 0..draws {
            *counts.entry(draw_order(&p, &mut rng)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        for (order, count) in counts {
            let expected = p[order[0]] * p[order[1]] / (1.0 - p[order[0]]);
            // Five standard deviations.
            let allowed = 5.0 * (expected * (1.0 - expected) / f64::from(draws)).sqrt();
            assert!((f64::from(count) / f64::from(draws) - expected).abs() < allowed, "{order:?}");
        }
    }
}
