use proptest::prelude::*;

use super::super::base::Base;
use super::*;

/// Logits whose softmax is these probabilities.
fn logits(probabilities: &[f64]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln() as f32).collect()
}

fn sampler(sampling: Sampling, texts: &[&str], suppress: &[u32]) -> Sampler {
    let vocabulary = Vocabulary::new(texts.iter().copied().map(Some));
    Sampler::new(sampling, Arc::new(vocabulary), suppress).expect("settings that make sense")
}

fn mask(size: usize, tokens: &[u32]) -> Mask {
    let mut mask = Mask::new(size);
    for &token in tokens {
        mask.insert(token);
    }
    mask
}

/// The law after all settings, and the weight.
fn law(sampling: Sampling, probabilities: &[f64], legal: Option<&[u32]>) -> (Vec<f64>, f64) {
    let texts = &["A", "C", "G", "T"][..probabilities.len()];
    let legal = legal.map(|tokens| mask(texts.len(), tokens));
    let (scores, log_weight) =
        sampler(sampling, texts, &[]).law(&logits(probabilities), legal.as_ref()).expect("a law");
    (scores.into_iter().map(f64::exp).collect(), log_weight.exp())
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 1e-6, "{found:?} is not {expected:?}");
    }
}

const GREEDY: Sampling = Sampling {
    temperature: 0.0,
    top_k: None,
    top_p: None,
    truncation: Truncation::BeforeMask,
    rule: Rule::Token,
    seed: 0,
};
const PLAIN: Sampling = Sampling { temperature: 1.0, ..GREEDY };
const P: [f64; 4] = [0.4, 0.3, 0.2, 0.1];

#[test]
fn temperature_then_top_k_then_top_p() {
    // Squares, divided by 0.3.
    let half = Sampling { temperature: 0.5, ..PLAIN };
    close(&law(half, &P, None).0, &[0.16 / 0.3, 0.09 / 0.3, 0.04 / 0.3, 0.01 / 0.3]);
    let top_k = Sampling { top_k: Some(3), ..half };
    close(&law(top_k, &P, None).0, &[0.16 / 0.29, 0.09 / 0.29, 0.04 / 0.29, 0.0]);
    // 0.04 / 0.29 = 0.138 goes for 1 - p = 0.14; of the whole it were 0.01 / 0.3 + 0.04 / 0.3 = 0.167 and stayed, and at
    // temperature 1, 0.2 / 0.9 stayed.
    let top_p = Sampling { top_p: Some(0.86), ..top_k };
    close(&law(top_p, &P, None).0, &[0.16 / 0.25, 0.09 / 0.25, 0.0, 0.0]);
}

#[test]
fn ties_stay_together_in_top_k_and_lower_ids_stay_in_top_p() {
    let tied = [0.4, 0.25, 0.25, 0.1];
    close(&law(Sampling { top_k: Some(2), ..PLAIN }, &tied, None).0, &[4.0 / 9.0, 2.5 / 9.0, 2.5 / 9.0, 0.0]);
    close(&law(Sampling { top_p: Some(0.6), ..PLAIN }, &tied, None).0, &[8.0 / 13.0, 5.0 / 13.0, 0.0, 0.0]);
    // Never all, however small p is; all for p = 1.
    close(&law(Sampling { top_p: Some(1e-12), ..PLAIN }, &[0.25; 4], None).0, &[1.0, 0.0, 0.0, 0.0]);
    close(&law(Sampling { top_p: Some(1.0), top_k: Some(9), ..PLAIN }, &tied, None).0, &tied);
}

#[test]
fn weights_are_the_probability_of_what_a_mask_leaves() {
    let (law_left, weight) = law(PLAIN, &P, Some(&[1, 3]));
    close(&law_left, &[0.0, 0.3, 0.0, 0.1]);
    close(&[weight], &[0.4]);
    // Cut first, then masked: only token 1 is left of 0 and 1. The other order counts legal tokens only.
    let cut = Sampling { top_k: Some(2), ..PLAIN };
    close(&[law(cut, &P, Some(&[1, 2, 3])).1], &[3.0 / 7.0]);
    let (law_left, weight) = law(Sampling { truncation: Truncation::AfterMask, ..cut }, &P, Some(&[1, 2, 3]));
    close(&law_left, &[0.0, 0.3, 0.2, 0.0]);
    close(&[weight], &[0.5]);
    let dead = sampler(cut, &["A", "C", "G", "T"], &[]).law(&logits(&P), Some(&mask(4, &[2, 3])));
    assert_eq!(dead, Err(SampleError::DeadEnd));
}

#[test]
fn draws_have_the_law_and_say_so() {
    let sampler = sampler(PLAIN, &["A", "C", "G", "T"], &[3]);
    let legal = mask(4, &[0, 2, 3]);
    let mut rng = generator(3, 0);
    let mut counts = [0_u32; 4];
    for _ in 0..50_000 {
        let choice = sampler.choose(&logits(&P), Some(&legal), &mut rng).expect("a token");
        counts[choice.token as usize] += 1;
        close(&[choice.log_probability.exp()], &[P[choice.token as usize]]);
        // Token 3 is suppressed: the law is that of the other three.
        close(&[choice.log_law.exp()], &[P[choice.token as usize] / 0.9]);
        close(&[choice.log_weight.exp()], &[0.6 / 0.9]);
    }
    for (count, expected) in counts.into_iter().zip([2.0 / 3.0, 0.0, 1.0 / 3.0, 0.0]) {
        let allowed = 5.0 * (expected * (1.0 - expected) / 50_000.0_f64).sqrt();
        assert!((f64::from(count) / 50_000.0 - expected).abs() <= allowed, "{counts:?}");
    }
}

#[test]
fn temperature_0_takes_the_best_legal_token_and_the_lower_id_of_equals() {
    let sampler = sampler(GREEDY, &["A", "C", "G", "T"], &[0]);
    let choose = |logits: &[f32], legal: Option<&Mask>| {
        sampler.choose(logits, legal, &mut generator(0, 0)).map(|choice| (choice.token, choice.log_weight))
    };
    assert_eq!(choose(&[9.0, 3.0, 3.0, 0.0], None), Ok((1, 0.0)));
    assert_eq!(choose(&[9.0, 3.0, 3.0, 0.0], Some(&mask(4, &[0, 2, 3]))), Ok((2, 0.0)));
    assert_eq!(choose(&[9.0, 3.0, 3.0, 0.0], Some(&mask(4, &[0]))), Err(SampleError::DeadEnd));
    assert_eq!(choose(&[9.0, f32::NEG_INFINITY, -1e30, -2e30], None), Ok((2, 0.0)));
}

#[test]
fn a_narrow_law_keeps_its_proportions_under_a_mask() {
    let sampling = Sampling { temperature: 1e-5, ..PLAIN };
    let sampler = sampler(sampling, &["A", "C", "G", "T"], &[]);
    let choice = sampler
        .choose(&[9.0, 3.0, 2.0, 2.0], Some(&mask(4, &[1, 2])), &mut generator(0, 0))
        .expect("a token that all by itself rounds to 0");
    assert_eq!(choice.token, 1);
    close(&[choice.log_weight / 6e5], &[-1.0]);
    let least = Sampling { temperature: f64::MIN_POSITIVE, ..PLAIN };
    let sampler = Sampler { sampling: least, ..sampler };
    assert_eq!(
        sampler.choose(&[1.0, 9.0, 2.0, 9.0], None, &mut generator(0, 0)).expect("a token").token % 2,
        1
    );
}

#[test]
fn a_sample_does_not_depend_on_the_others() {
    let sampler = sampler(PLAIN, &["A", "C", "G", "T"], &[]);
    let tokens = |sample: u64| -> Vec<u32> {
        let mut rng = generator(7, sample);
        let draw = |_| sampler.choose(&logits(&P), None, &mut rng).expect("a token").token;
        (0..40).map(draw).collect()
    };
    assert_eq!(tokens(5), tokens(5));
    assert_ne!(tokens(5), tokens(6));
    assert_ne!(tokens(0), {
        let mut rng = generator(8, 0);
        (0..40)
            .map(|_| sampler.choose(&logits(&P), None, &mut rng).expect("a token").token)
            .collect::<Vec<_>>()
    });
}

#[test]
fn settings_and_logits_that_make_no_sense_are_refused() {
    let vocabulary = Arc::new(Vocabulary::new(["A", "C"].map(Some)));
    let refuse = |sampling: Sampling| Sampler::new(sampling, Arc::clone(&vocabulary), &[]).err();
    for temperature in [-1.0, f64::NAN, f64::INFINITY] {
        let error = refuse(Sampling { temperature, ..PLAIN });
        assert!(matches!(error, Some(SettingError::Temperature { .. })), "{temperature}");
    }
    for value in [0.0, -0.5, 1.0001, f64::NAN] {
        let error = refuse(Sampling { top_p: Some(value), ..PLAIN });
        assert!(matches!(error, Some(SettingError::TopP { .. })), "{value}");
    }
    assert_eq!(refuse(Sampling { top_k: Some(0), ..PLAIN }), Some(SettingError::TopK));
    assert_eq!(refuse(Sampling { rule: Rule::BaseMarginal, ..PLAIN }), Some(SettingError::NotKmers));
    let sampler = Sampler::new(PLAIN, vocabulary, &[77]).expect("settings that make sense");
    let choose = |logits: &[f32]| sampler.choose(logits, None, &mut generator(0, 0)).err();
    assert_eq!(choose(&[0.0; 3]), Some(SampleError::Size { found: 3, expected: 2 }));
    assert_eq!(choose(&[0.0, f32::INFINITY]), Some(SampleError::Logit { token: 1, value: f32::INFINITY }));
    assert!(matches!(choose(&[f32::NAN, 0.0]), Some(SampleError::Logit { token: 0, .. })));
    assert_eq!(choose(&[f32::NEG_INFINITY; 2]), Some(SampleError::DeadEnd));
}

/// All 2-mers in the order of the GENERator vocabulary, `ATCG`, behind one token that is not DNA.
fn dimers() -> Vec<String> {
    let pairs = "ATCG".chars().flat_map(|a| "ATCG".chars().map(move |b| format!("{a}{b}")));
    std::iter::once("<s>".to_owned()).chain(pairs).collect()
}

#[test]
fn the_best_bases_are_not_the_best_token() {
    let texts = dimers();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let id = |text: &str| texts.iter().position(|&t| t == text).expect("a token");
    let mut probabilities = vec![1e-9; texts.len()];
    for (text, p) in [("<s>", 9.0), ("TT", 0.35), ("AC", 0.33), ("AG", 0.32)] {
        probabilities[id(text)] = p;
    }
    let choose = |rule, legal: Option<&Mask>| {
        let sampler = sampler(Sampling { rule, ..GREEDY }, &texts, &[0]);
        texts[sampler.choose(&logits(&probabilities), legal, &mut generator(0, 0)).expect("a token").token
            as usize]
    };
    assert_eq!(choose(Rule::Token, None), "TT");
    assert_eq!(choose(Rule::BaseMarginal, None), "AT");
    // Of A. and .T, what is legal.
    let legal = mask(texts.len(), &[id("AC") as u32, id("TT") as u32, id("GT") as u32]);
    assert_eq!(choose(Rule::BaseMarginal, Some(&legal)), "AC");
}

proptest! {
    #[test]
    fn base_marginals_are_sums_over_kmers(
        values in prop::collection::vec(-6.0_f32..6.0, 17), temperature in 0.2_f64..3.0,
    ) {
        let texts = dimers();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let weight = |id: usize| f64::from(values[id]).exp();
        let all: f64 = (1..17).map(weight).sum();
        let marginal = |at: usize, letter: u8| -> f64 {
            (1..17).filter(|&id| texts[id].as_bytes()[at] == letter).map(weight).sum::<f64>() / all
        };
        let vocabulary = Vocabulary::new(texts.iter().copied().map(Some));
        let scores: Vec<f64> = values.iter().copied().map(f64::from).collect();
        let found = base_marginals(&scores, &vocabulary);
        for (at, row) in found.iter().enumerate() {
            for base in Base::ALL {
                prop_assert!((row[base as usize] - marginal(at, base.letter())).abs() < 1e-9);
            }
        }
        // Each base is drawn at the temperature, and the token's law is the product.
        let heated = |at: usize, letter: u8| {
            let power = |letter| marginal(at, letter).powf(1.0 / temperature);
            power(letter) / b"ACGT".iter().map(|&letter| power(letter)).sum::<f64>()
        };
        let sampler = sampler(Sampling { rule: Rule::BaseMarginal, temperature, ..PLAIN }, &texts, &[]);
        let (law, _) = sampler.law(&values, None).expect("a law");
        prop_assert!(law[0] == f64::NEG_INFINITY);
        for id in 1..17 {
            let text = texts[id].as_bytes();
            prop_assert!((law[id].exp() - heated(0, text[0]) * heated(1, text[1])).abs() < 1e-9);
        }
    }
}

#[test]
fn predicates_give_weights_without_bias() {
    let sampler = sampler(PLAIN, &["A", "C", "G", "T"], &[]);
    // Not G by mask, and no AC: A and T are left behind an A, with 0.5 together.
    let legal = mask(4, &[0, 1, 3]);
    let mut predicate = |text: &[u8]| !text.ends_with(b"AC");
    let mut rng = generator(1, 0);
    let (mut sums, mut squares) = ([0.0; 4], [0.0; 4]);
    let draws = 100_000.0;
    for _ in 0..100_000 {
        let choice = sampler
            .choose_where(&logits(&P), Some(&legal), b"GGA", &mut predicate, &mut rng)
            .expect("a legal token");
        sums[choice.token as usize] += choice.log_weight.exp();
        squares[choice.token as usize] += (2.0 * choice.log_weight).exp();
    }
    for (token, expected) in [0.4, 0.0, 0.0, 0.1].into_iter().enumerate() {
        let mean = sums[token] / draws;
        let deviation = ((squares[token] / draws - mean * mean) / draws).sqrt();
        assert!((mean - expected).abs() <= 5.0 * deviation, "{token}: {mean} is not {expected}");
    }
}

#[test]
fn where_a_predicate_refuses_all_is_a_dead_end() {
    for sampling in [GREEDY, PLAIN] {
        let sampler = sampler(sampling, &["A", "C", "G", "T"], &[]);
        let mut asked = 0;
        let mut refuse = |text: &[u8]| {
            asked += 1;
            assert_eq!(text.len(), 3);
            false
        };
        let choice = sampler.choose_where(&logits(&P), None, b"AC", &mut refuse, &mut generator(0, 0));
        assert_eq!((choice, asked), (Err(SampleError::DeadEnd), 4));
    }
    let greedy = sampler(GREEDY, &["A", "C", "G", "T"], &[]);
    let mut even = |text: &[u8]| text.ends_with(b"G") || text.ends_with(b"T");
    let choice =
        greedy.choose_where(&logits(&P), None, b"", &mut even, &mut generator(0, 0)).expect("a token");
    assert_eq!((choice.token, choice.log_weight), (2, 0.0));
}
