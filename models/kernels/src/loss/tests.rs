use super::*;
use proptest::prelude::*;

/// Two special tokens, all k-mers.
fn codes(k: usize) -> Vec<Code> {
    [Code::Special; 2].into_iter().chain((0..1 << (2 * k)).map(Code::Kmer)).collect()
}

fn law(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|x| (x - max).exp()).sum();
    logits.iter().map(|x| (x - max).exp() / sum).collect()
}

/// The definition.
fn defined(codes: &[Code], k: usize, logits: &[f64], target: usize) -> f64 {
    let law = law(logits);
    let Code::Kmer(own) = codes[target] else { return -law[target].ln() / k as f64 };
    let digit = |code: u32, place: usize| code >> (2 * (k - 1 - place)) & 3;
    let of = |place: usize| -> f64 {
        let matches = |code: &Code| match code {
            Code::Kmer(code) => digit(*code, place) == digit(own, place),
            Code::Special => digit(own, place) == 0,
        };
        law.iter().zip(codes).filter(|(_, code)| matches(code)).map(|(p, _)| p).sum()
    };
    (0..k).map(|place| -of(place).max(1e-8).ln()).sum::<f64>() / k as f64
}

/// Compares a row's gradient with differences of a loss in f64.
fn check(logits: &[f32], gradient: &[f32], loss: impl Fn(&[f64]) -> f64) -> Result<(), TestCaseError> {
    let logits: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
    for (n, &gradient) in gradient.iter().enumerate() {
        let at = |step: f64| {
            let mut moved = logits.clone();
            moved[n] += step;
            loss(&moved)
        };
        let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
        prop_assert!(
            (difference - f64::from(gradient)).abs() < 1e-5,
            "{n}: {gradient} instead of {difference}"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn losses_and_gradients_are_those_of_the_definitions(
        k in 1..4_usize, seed in prop::collection::vec(-4.0..4.0_f32, 66), pick: prop::sample::Index, scale in 0.1..2.0_f64
    ) {
        let codes = codes(k);
        let logits = &seed[..codes.len()];
        let target = pick.index(codes.len());
        let wide: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
        let expected = -law(&wide)[target].ln();
        let mut row = logits.to_vec();
        prop_assert!((cross_entropy(&mut row, target, Some(scale)) - expected).abs() < 1e-5);
        check(logits, &row, |x| scale * -law(x)[target].ln())?;
        let mut row = logits.to_vec();
        let (loss, other) = factorised(&codes, k, &mut row, target, Some(scale));
        prop_assert!((loss - defined(&codes, k, &wide, target)).abs() < 1e-5);
        prop_assert!((other - expected).abs() < 1e-5);
        check(logits, &row, |x| scale * defined(&codes, k, x, target))?;
    }
}

#[test]
fn what_is_no_number_is_told() {
    for at in [0, 5, 17] {
        let mut row = vec![0.5; 18];
        row[at] = f32::NAN;
        assert!(cross_entropy(&mut row.clone(), 3, None).is_nan());
        assert!(cross_entropy(&mut row, 3, Some(1.0)).is_nan());
        let mut row = vec![0.5; 18];
        row[at] = f32::NAN;
        assert!(factorised(&codes(2), 2, &mut row, 4, None).0.is_nan());
    }
}

#[test]
fn a_law_without_the_base_costs_the_least_and_has_no_gradient() {
    let codes = codes(1);
    let mut row = vec![-200.0, -200.0, 0.0, 0.0, 0.0, -200.0];
    let (loss, _) = factorised(&codes, 1, &mut row, 5, Some(1.0));
    assert!((loss - 1e8_f64.ln()).abs() < 1e-9);
    assert!(row.iter().all(|&d| d == 0.0));
}
