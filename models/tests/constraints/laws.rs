//! On a model small enough to write out all its sequences: weighted draws have its law restricted to what is legal.

use std::collections::HashMap;
use std::sync::Arc;

use kilobase_models::decode::constraint::{Constraints, Engine, Unit};
use kilobase_models::decode::mask::Mask;
use kilobase_models::decode::particles::{Resampler, log_mean_weight};
use kilobase_models::decode::sample::{SampleError, Sampler, Sampling, generator};
use kilobase_models::decode::vocabulary::Vocabulary;
use rand::{Rng, RngExt};

use super::checker::fault;
use super::many::kmers;

const TEMPERATURE: f64 = 0.8;

/// A Markov chain over k-mers.
struct Model {
    texts: Vec<String>,
    /// Logits by the last token; those of token 0, which is not DNA, at the start.
    logits: Vec<Vec<f32>>,
    length: usize,
    constraints: Constraints,
    sampler: Sampler,
}

/// What became of one sequence.
#[derive(Clone, Default)]
struct Drawn {
    tokens: Vec<u32>,
    text: String,
    log_weight: f64,
}

impl Model {
    fn new(k: u32, length: usize, constraints: &str) -> Self {
        let texts = kmers(k);
        let mut rng = generator(17, 0);
        let mut row = || texts.iter().map(|_| rng.random_range(-1.5..1.5)).collect();
        let logits = texts.iter().map(|_| row()).collect();
        let vocabulary = Arc::new(Vocabulary::new(texts.iter().map(|text| Some(text.as_str()))));
        let sampling = Sampling { temperature: TEMPERATURE, ..Sampling::default() };
        let sampler = Sampler::new(sampling, vocabulary, &[0]).expect("settings");
        let constraints = serde_json::from_str(constraints).expect("constraints");
        Self { texts, logits, length, constraints, sampler }
    }

    fn engine(&self) -> Engine {
        let vocabulary = Vocabulary::new(self.texts.iter().map(|text| Some(text.as_str())));
        Engine::new(self.constraints.automata().expect("automata"), &vocabulary, Unit::Tokens)
            .expect("an engine")
    }

    fn logits(&self, drawn: &Drawn) -> &[f32] {
        &self.logits[drawn.tokens.last().map_or(0, |&token| token as usize)]
    }

    /// Goes on by one token; the weight becomes 0 at a dead end.
    fn extend(
        &self,
        drawn: &mut Drawn,
        mask: Option<&Mask>,
        predicate: bool,
        rng: &mut impl Rng,
    ) -> Option<u32> {
        let mut legal = |text: &[u8]| fault(&self.constraints, b"", text).is_none();
        let choice = if predicate {
            self.sampler.choose_where(self.logits(drawn), mask, drawn.text.as_bytes(), &mut legal, rng)
        } else {
            self.sampler.choose(self.logits(drawn), mask, rng)
        };
        match choice {
            Ok(choice) => {
                drawn.tokens.push(choice.token);
                drawn.text.push_str(&self.texts[choice.token as usize]);
                drawn.log_weight += choice.log_weight;
                Some(choice.token)
            }
            Err(SampleError::DeadEnd) => {
                drawn.log_weight = f64::NEG_INFINITY;
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The probability of every legal sequence.
    fn law(&self) -> HashMap<Vec<u32>, f64> {
        let mut law = HashMap::new();
        let mut open = vec![(Vec::new(), String::new(), 1.0)];
        while let Some((tokens, text, probability)) = open.pop() {
            if tokens.len() == self.length {
                if fault(&self.constraints, b"", text.as_bytes()).is_none() {
                    law.insert(tokens, probability);
                }
                continue;
            }
            let row = &self.logits[tokens.last().map_or(0, |&token: &u32| token as usize)];
            let weight = |token: usize| (f64::from(row[token]) / TEMPERATURE).exp();
            let sum: f64 = (1..row.len()).map(weight).sum();
            for token in 1..row.len() {
                let more = format!("{text}{}", self.texts[token]);
                open.push(([&tokens[..], &[token as u32]].concat(), more, probability * weight(token) / sum));
            }
        }
        law
    }
}

/// Sums over draws of a weight and its square, by what was drawn.
struct Means {
    draws: f64,
    sums: HashMap<(usize, u32), (f64, f64)>,
}

const TOTAL: (usize, u32) = (usize::MAX, 0);

/// What is compared: the probability of a legal sequence, and of each token at each place in one.
fn features(tokens: &[u32]) -> impl Iterator<Item = (usize, u32)> {
    tokens.iter().copied().enumerate().chain([TOTAL])
}

impl Means {
    fn new() -> Self {
        Self { draws: 0.0, sums: HashMap::new() }
    }

    /// One draw: what it is worth for everything that is compared.
    fn add(&mut self, worth: &HashMap<(usize, u32), f64>) {
        self.draws += 1.0;
        for (&key, weight) in worth {
            let (sum, squares) = self.sums.entry(key).or_default();
            *sum += weight;
            *squares += weight * weight;
        }
    }

    fn add_sequence(&mut self, drawn: &Drawn) {
        let weight = drawn.log_weight.exp();
        self.add(&features(&drawn.tokens).map(|key| (key, weight)).collect());
    }

    /// Whether all means are what they should be, within five standard deviations.
    fn differences(&self, law: &HashMap<Vec<u32>, f64>, scale: f64) -> Vec<String> {
        let mut expected: HashMap<(usize, u32), f64> = HashMap::new();
        for (tokens, probability) in law {
            features(tokens).for_each(|key| *expected.entry(key).or_default() += probability / scale);
        }
        let keys = expected.keys().chain(self.sums.keys());
        let mut found: Vec<String> = keys
            .filter_map(|key| {
                let (sum, squares) = self.sums.get(key).copied().unwrap_or_default();
                let expected = expected.get(key).copied().unwrap_or_default();
                let mean = sum / self.draws;
                // What was never drawn has no spread to go by; it is then as rare as one in all draws.
                let variance = (squares / self.draws - mean * mean).max(expected / self.draws);
                let off = (mean - expected).abs() > 5.0 * (variance / self.draws).sqrt() + 1e-12;
                off.then(|| format!("{key:?}: {mean} is not {expected}"))
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

const DRAWS: u64 = 10_000;

fn by_masks(model: &Model) {
    let law = model.law();
    let mut engine = model.engine();
    let start = engine.start(b"", model.length).expect("legal sequences");
    let (mut weighted, mut plain) = (Means::new(), Means::new());
    for sample in 0..DRAWS {
        let (mut rng, mut drawn, mut place) = (generator(1, sample), Drawn::default(), start.clone());
        while !place.is_complete() {
            let mask = engine.legal(&place).expect("a mask");
            let token =
                model.extend(&mut drawn, Some(&mask), false, &mut rng).expect("masks have no dead ends");
            place = engine.advance(&place, token).expect("a place behind a legal token");
        }
        assert!(law.contains_key(&drawn.tokens), "{}", drawn.text);
        weighted.add_sequence(&drawn);
        drawn.log_weight = 0.0;
        plain.add_sequence(&drawn);
    }
    assert_eq!(weighted.differences(&law, 1.0), Vec::<String>::new());
    // The weights are there for a reason: without them the law is another.
    let total: f64 = law.values().sum();
    assert!(total < 0.9 && !plain.differences(&law, total).is_empty());
}

/// Demands that need a look ahead too: how much is legal behind a base depends on it.
const ALL: &str = r#"{"max_run":2,"gc_windows":["4:0.25:0.75"],"gc":"0.3:0.5","forbid":["CG"],"suffix":"A"}"#;
/// Demands on beginnings, which a predicate that looks back can keep.
const BACK: &str = r#"{"max_run":2,"gc_windows":["4:0.25:0.75"],"forbid":["CG","TRC"]}"#;

#[test]
fn masked_draws_of_single_bases_are_weighted_right() {
    by_masks(&Model::new(1, 6, ALL));
}

#[test]
fn masked_draws_of_pairs_are_weighted_right() {
    by_masks(&Model::new(2, 3, ALL));
}

fn by_predicate(model: &Model) {
    let law = model.law();
    let mut means = Means::new();
    for sample in 0..DRAWS {
        let (mut rng, mut drawn) = (generator(2, sample), Drawn::default());
        for _ in 0..model.length {
            if model.extend(&mut drawn, None, true, &mut rng).is_none() {
                break;
            }
        }
        assert!(drawn.log_weight == f64::NEG_INFINITY || law.contains_key(&drawn.tokens), "{}", drawn.text);
        means.add_sequence(&drawn);
    }
    assert_eq!(means.differences(&law, 1.0), Vec::<String>::new());
    assert!(law.values().sum::<f64>() < 0.9);
}

#[test]
fn draws_of_single_bases_under_a_predicate_are_weighted_right() {
    by_predicate(&Model::new(1, 6, BACK));
}

#[test]
fn draws_of_pairs_under_a_predicate_are_weighted_right() {
    by_predicate(&Model::new(2, 3, BACK));
}

#[test]
fn resampled_particles_are_weighted_right() {
    const PARTICLES: usize = 8;
    let model = Model::new(2, 3, ALL);
    let law = model.law();
    let mut engine = model.engine();
    let start = engine.start(b"", model.length).expect("legal sequences");
    let mut means = Means::new();
    let mut resampled = 0;
    for run in 0..3000 {
        let mut rng = generator(3, run);
        let mut particles = vec![(Drawn::default(), start.clone()); PARTICLES];
        for _ in 0..model.length {
            for (drawn, place) in &mut particles {
                let mask = engine.legal(place).expect("a mask");
                let token =
                    model.extend(drawn, Some(&mask), false, &mut rng).expect("masks have no dead ends");
                *place = engine.advance(place, token).expect("a place behind a legal token");
            }
            let mut weights: Vec<f64> = particles.iter().map(|(drawn, _)| drawn.log_weight).collect();
            // A high threshold, so that it happens often.
            if let Some(ancestors) = (Resampler { threshold: 0.95 }).resample(&mut weights, &mut rng) {
                resampled += 1;
                particles = ancestors.into_iter().map(|i| particles[i].clone()).collect();
                particles.iter_mut().zip(weights).for_each(|((drawn, _), weight)| drawn.log_weight = weight);
            }
        }
        let mut worth: HashMap<(usize, u32), f64> = HashMap::new();
        for (drawn, _) in &particles {
            for key in features(&drawn.tokens) {
                *worth.entry(key).or_default() += drawn.log_weight.exp() / PARTICLES as f64;
            }
        }
        let weights: Vec<f64> = particles.iter().map(|(drawn, _)| drawn.log_weight).collect();
        assert!((log_mean_weight(&weights).exp() - worth[&TOTAL]).abs() < 1e-12);
        means.add(&worth);
    }
    assert!(resampled > 500, "{resampled}");
    assert_eq!(means.differences(&law, 1.0), Vec::<String>::new());
}
