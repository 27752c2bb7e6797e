//! Long sequences: ends that are far away, and constraints that leave little room.

use kilobase_models::decode::constraint::{Constraints, Engine, Error, Unit};
use kilobase_models::decode::sample::generator;
use kilobase_models::decode::vocabulary::Vocabulary;
use rand::RngExt;

use super::checker::fault;
use super::many::kmers;

/// Walks through the masks at random to the end.
fn walk(json: &str, k: u32, tokens: usize) -> String {
    let constraints: Constraints = serde_json::from_str(json).expect("constraints");
    let texts = kmers(k);
    let vocabulary = Vocabulary::new(texts.iter().map(|text| Some(text.as_str())));
    let mut engine =
        Engine::new(constraints.automata().expect("automata"), &vocabulary, Unit::Tokens).expect("an engine");
    let mut place = engine.start(b"", tokens).expect("constraints that can be kept");
    let mut rng = generator(2, 0);
    let mut output = String::new();
    while !place.is_complete() {
        let mask = engine.legal(&place).expect("a mask");
        let chosen = mask.iter().nth(rng.random_range(0..mask.count())).expect("a legal token");
        output.push_str(&texts[chosen as usize]);
        place = engine.advance(&place, chosen).expect("a place behind a legal token");
    }
    assert_eq!(output.len(), tokens * k as usize);
    assert_eq!(fault(&constraints, b"", output.as_bytes()), None, "{output}");
    output
}

#[test]
fn exactly_half_of_a_long_sequence() {
    walk(r#"{"gc":"0.5:0.5","gc_windows":["50:0.3:0.7"],"max_run":4,"forbid_sites":["BsaI"]}"#, 2, 500);
}

#[test]
fn windows_with_one_possible_content() {
    walk(r#"{"gc_windows":["20:0.5:0.5","7:0.3:0.6"],"max_run":2,"forbid":["CG"]}"#, 2, 300);
}

#[test]
fn a_long_suffix_and_open_frames() {
    walk(
        r#"{"suffix":"GGCGCTACGGTACCGTTCGAACCGGTGC","no_stop":["0","1","2"],"gc":"0.62:0.63","max_run":2}"#,
        3,
        150,
    );
}

#[test]
fn a_template_fixes_what_it_fixes() {
    let template = format!("{}ATG{}TAA{}", "N".repeat(300), "NNY".repeat(40), "W".repeat(7));
    let output =
        walk(&format!(r#"{{"template":"{template}","gc_windows":["30:0.1:0.8"]}}"#), 1, template.len());
    assert_eq!((&output[300..303], &output[423..426]), ("ATG", "TAA"));
}

#[test]
fn windows_of_64_bases_and_no_longer() {
    walk(r#"{"gc_windows":["64:0.45:0.55","63:0.45:0.55","1:0:1"]}"#, 2, 200);
    assert!(serde_json::from_str::<Constraints>(r#"{"gc_windows":["65:0:1"]}"#).is_err());
}

#[test]
fn motifs_with_too_many_words_are_refused_with_the_numbers() {
    let constraints: Constraints =
        serde_json::from_str(r#"{"forbid":["ACNNNNNNNNNNNNNNNNNNNNNNNNNNNNGT"]}"#).expect("constraints");
    let error = constraints.automata().expect_err("too many states");
    assert_eq!(error, Error::TooManyMotifStates { motifs: 1, limit: 1 << 18 });
}
