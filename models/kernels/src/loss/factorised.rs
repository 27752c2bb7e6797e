//! The factorised loss of one row: bases in place of tokens.

use super::exponentials;

/// What a token of a k-mer vocabulary spells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// k bases, two bits each, the first the most significant.
    Kmer(u32),
    /// Something else.
    Special,
}

/// Marginals below this count as this, and have no gradient.
const LEAST: f64 = 1e-8;

/// The mean over the k bases of the target of the cross-entropy of each under its marginal, and the cross-entropy of the
/// target itself, both in nats; a target that is no k-mer costs the latter divided by k. With a `scale` the row becomes the
/// gradient of `scale` times the loss.
///
/// The marginal of a base at a place sums the tokens with that base there. As the reference does, the share of tokens that are
/// no k-mers counts under the base of code 0 at every place, and marginals are at least 1e-8.
///
/// # Panics
/// If there is not one code a logit, a code is not below `4^k`, or the target is not in the row.
pub fn factorised(
    codes: &[Code],
    k: usize,
    law: &mut [f32],
    target: usize,
    scale: Option<f64>,
) -> (f64, f64) {
    assert_eq!(codes.len(), law.len(), "one code a token");
    let (sum, own) = exponentials(law, target);
    let cross_entropy = sum.ln() - own;
    let share = (1.0 / sum) as f32;
    for p in law.iter_mut() {
        *p *= share;
    }
    let Code::Kmer(code) = codes[target] else {
        if let Some(scale) = scale {
            let each = (scale / k as f64) as f32;
            for p in law.iter_mut() {
                *p *= each;
            }
            law[target] -= each;
        }
        return (cross_entropy / k as f64, cross_entropy);
    };
    let digit = |place: usize| (code >> (2 * (k - 1 - place)) & 3) as usize;
    let mut masses = vec![0.0_f64; 1 << (2 * k)];
    let mut special = 0.0;
    for (&p, code) in law.iter().zip(codes) {
        match code {
            Code::Kmer(code) => masses[*code as usize] = f64::from(p),
            Code::Special => special += f64::from(p),
        }
    }
    // From the last place to the first; what is summed over a place is the law over the places before it.
    let mut loss = 0.0;
    let mut inverse = vec![0.0; k];
    let mut counted = 0.0;
    for place in (0..k).rev() {
        let own = digit(place);
        let prefixes = 1 << (2 * place);
        let mut marginal = if own == 0 { special } else { 0.0 };
        for prefix in 0..prefixes {
            marginal += masses[4 * prefix + own];
        }
        for prefix in 0..prefixes {
            masses[prefix] = masses[4 * prefix..4 * prefix + 4].iter().sum();
        }
        // Not max, which would turn what is no number into the least.
        loss -= if marginal < LEAST { LEAST.ln() } else { marginal.ln() };
        if marginal >= LEAST {
            inverse[place] = 1.0 / marginal;
            counted += 1.0;
        }
    }
    let Some(scale) = scale else { return (loss / k as f64, cross_entropy) };
    // d loss / d logit = p (places counted - sum over places where the token has the target's base of 1 / marginal) / k.
    let mut sums = masses;
    sums.fill(0.0);
    for (place, &inverse) in inverse.iter().enumerate() {
        let own = digit(place);
        for prefix in (0..1_usize << (2 * place)).rev() {
            let before = sums[prefix];
            for base in 0..4 {
                sums[4 * prefix + base] = before + if base == own { inverse } else { 0.0 };
            }
        }
    }
    let of_special: f64 = (0..k).filter(|&place| digit(place) == 0).map(|place| inverse[place]).sum();
    let scale = scale / k as f64;
    for (p, code) in law.iter_mut().zip(codes) {
        let matched = match code {
            Code::Kmer(code) => sums[*code as usize],
            Code::Special => of_special,
        };
        *p = (f64::from(*p) * scale * (counted - matched)) as f32;
    }
    (loss / k as f64, cross_entropy)
}
