//! Many sequences under all constraints together: none breaks one.

use std::sync::Arc;

use kilobase_models::decode::constraint::{Constraints, Engine, Place, Unit};
use kilobase_models::decode::sample::{Rule, Sampler, Sampling, generator};
use kilobase_models::decode::vocabulary::Vocabulary;
use rand::RngExt;

use super::checker::fault;

const CONSTRAINTS: &str = r#"{
    "max_run": 3,
    "gc_windows": ["20:0.4:0.6", "12:0.25:0.75"],
    "gc": "0.45:0.55",
    "forbid": ["TATAWR", "GGNCC"],
    "forbid_sites": ["EcoRI", "BamHI", "HindIII", "NotI", "XhoI", "BsaI", "BsmBI", "BbsI", "SapI", "NdeI"],
    "no_stop": ["0:start"],
    "prefix": "ATGGC",
    "suffix": "GCTTGC"
}"#;

/// All k-mers behind a token that is not DNA.
pub fn kmers(k: u32) -> Vec<String> {
    let kmer = |i: usize| (0..k).rev().map(|j| char::from(b"ATCG"[i >> (2 * j) & 3])).collect();
    std::iter::once("<s>".to_owned()).chain((0..4_usize.pow(k)).map(kmer)).collect()
}

/// Generates behind `prompt` from logits that are drawn anew for each token, and checks every sequence.
fn generate(k: u32, rule: Rule, prompt: &str, tokens: usize, samples: u64) {
    let constraints: Constraints = serde_json::from_str(CONSTRAINTS).expect("constraints");
    let texts = kmers(k);
    let vocabulary = Arc::new(Vocabulary::new(texts.iter().map(|text| Some(text.as_str()))));
    let mut engine =
        Engine::new(constraints.automata().expect("automata"), &vocabulary, Unit::Tokens).expect("an engine");
    let sampling = Sampling { temperature: 0.8, rule, ..Sampling::default() };
    let sampler = Sampler::new(sampling, vocabulary, &[0]).expect("settings");
    let start = engine.start(prompt.as_bytes(), tokens).expect("constraints that can be kept");
    for sample in 0..samples {
        let mut rng = generator(5, sample);
        let mut place: Place = start.clone();
        let mut output = String::new();
        while !place.is_complete() {
            let logits: Vec<f32> = texts.iter().map(|_| rng.random_range(-4.0..4.0)).collect();
            let mask = engine.legal(&place).expect("a mask");
            let choice = sampler.choose(&logits, Some(&mask), &mut rng).expect("a legal token");
            place = engine.advance(&place, choice.token).expect("a place behind a legal token");
            output.push_str(&texts[choice.token as usize]);
        }
        assert_eq!(output.len(), tokens * k as usize);
        let fault = fault(&constraints, prompt.as_bytes(), output.as_bytes());
        assert_eq!(fault, None, "sample {sample}: {prompt}|{output}");
    }
}

#[test]
fn none_of_ten_thousand_sequences_breaks_a_constraint() {
    generate(1, Rule::Token, "CCATACGAGCTAGTACGGAA", 30, 10_000);
}

#[test]
fn none_of_sequences_of_pairs_breaks_a_constraint() {
    generate(2, Rule::Token, "", 30, 300);
}

#[test]
fn none_of_base_marginal_sequences_breaks_a_constraint() {
    generate(3, Rule::BaseMarginal, "", 16, 100);
}

#[test]
fn none_of_sequences_of_six_mers_breaks_a_constraint() {
    // Without optimisation, 10,000 would take an hour.
    let samples = if cfg!(debug_assertions) { 20 } else { 10_000 };
    generate(6, Rule::Token, "CCATACGAGCTAGTACGGAA", 9, samples);
}
