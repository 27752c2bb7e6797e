//! For short sequences: what the masks let through is what the checker lets through, no more and no less.

use std::collections::BTreeSet;

use kilobase_models::decode::constraint::{Constraints, Engine, Error, Place, Unit};
use kilobase_models::decode::vocabulary::Vocabulary;
use proptest::prelude::*;

use super::checker::fault;

type Tokens = Vec<u32>;

/// Every sequence of tokens that has the length and that the checker accepts.
fn expected(
    constraints: &Constraints,
    texts: &[&str],
    unit: Unit,
    prompt: &[u8],
    length: usize,
) -> BTreeSet<Tokens> {
    let mut found = BTreeSet::new();
    let mut open = vec![(Vec::new(), String::new())];
    while let Some((tokens, text)) = open.pop() {
        let reached = if unit == Unit::Tokens { tokens.len() } else { text.len() };
        if reached == length && fault(constraints, prompt, text.as_bytes()).is_none() {
            found.insert(tokens);
        } else if reached < length {
            let dna = texts.iter().enumerate().filter(|(_, text)| !text.starts_with('<'));
            open.extend(
                dna.map(|(id, more)| ([&tokens[..], &[id as u32]].concat(), format!("{text}{more}"))),
            );
        }
    }
    found
}

/// Every sequence of tokens that the masks lead to.
fn reached(engine: &mut Engine, start: Place) -> Result<BTreeSet<Tokens>, Error> {
    let mut found = BTreeSet::new();
    let mut open = vec![(Vec::new(), start)];
    while let Some((tokens, place)) = open.pop() {
        let mask = engine.legal(&place)?;
        if place.is_complete() {
            assert_eq!((mask.count(), engine.left(&place)), (0, 0), "nothing comes after the end");
            found.insert(tokens);
            continue;
        }
        assert!(mask.count() > 0, "dead end after {tokens:?}");
        for token in mask.iter() {
            let next = engine.advance(&place, token).expect("a place behind a legal token");
            open.push(([&tokens[..], &[token]].concat(), next));
        }
    }
    Ok(found)
}

/// Compares both for each prompt and length, all with one engine, whose memory must not matter.
fn compare(constraints: &Constraints, texts: &[&str], unit: Unit, cases: &[(String, usize)]) {
    let vocabulary = Vocabulary::new(texts.iter().copied().map(Some));
    let automata = constraints.automata().expect("automata");
    let mut engine = Engine::new(automata, &vocabulary, unit).expect("an engine");
    for (prompt, length) in cases {
        let expected = expected(constraints, texts, unit, prompt.as_bytes(), *length);
        let found = match engine.start(prompt.as_bytes(), *length) {
            Ok(start) => reached(&mut engine, start).expect("masks"),
            Err(Error::Contradiction { constraints, .. }) => {
                assert!(!constraints.is_empty());
                BTreeSet::new()
            }
            Err(Error::NotMultiple { .. }) => BTreeSet::new(),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(found, expected, "{constraints:?} {texts:?} {unit:?} {prompt} {length}");
    }
}

const SINGLES: &[&str] = &["<s>", "A", "T", "C", "G"];
const DIMERS: &[&str] =
    &["AA", "AC", "AG", "AT", "CA", "CC", "CG", "CT", "<s>", "GA", "GC", "GG", "GT", "TA", "TC", "TG", "TT"];
const RAGGED: &[&str] = &["<s>", "GATC", "A", "C", "AC", "G", "CCA", "T", "TT", "AC"];
const GAPPED: &[&str] = &["AC", "<s>", "GT", "TTA", "CA", "GGC", "A", "TG"];

fn vocabularies() -> impl Strategy<Value = (&'static [&'static str], Unit, usize)> {
    prop_oneof![
        Just((SINGLES, Unit::Tokens, 5)),
        Just((SINGLES, Unit::Bases, 5)),
        Just((DIMERS, Unit::Tokens, 2)),
        Just((DIMERS, Unit::Bases, 5)),
        Just((RAGGED, Unit::Tokens, 3)),
        Just((RAGGED, Unit::Bases, 5)),
        Just((GAPPED, Unit::Tokens, 3)),
        Just((GAPPED, Unit::Bases, 7)),
    ]
}

fn written(value: &str) -> serde_json::Value {
    serde_json::Value::String(value.to_owned())
}

/// One constraint as a key and its value.
fn constraint() -> impl Strategy<Value = (&'static str, serde_json::Value)> {
    let share = || prop::sample::select(vec!["0", "0.2", "0.25", "0.4", "0.5", "0.6", "0.75", "1"]);
    let range = || {
        (share(), share()).prop_map(|(a, b)| {
            let (a, b) = if a.parse::<f64>().ok() <= b.parse().ok() { (a, b) } else { (b, a) };
            format!("{a}:{b}")
        })
    };
    let windows = prop::collection::vec((1..7_usize, range()), 1..3);
    let windows =
        windows.prop_map(|all| all.into_iter().map(|(w, r)| written(&format!("{w}:{r}"))).collect());
    let texts = |all: Vec<String>| all.iter().map(|text| written(text)).collect();
    prop_oneof![
        (1..4_usize).prop_map(|longest| ("max_run", longest.into())),
        windows.prop_map(|all| ("gc_windows", serde_json::Value::Array(all))),
        range().prop_map(|range| ("gc", written(&range))),
        prop::collection::vec("[ACGTRYSWKMN]{1,4}", 1..4).prop_map(move |all| ("forbid", texts(all))),
        prop::sample::subsequence(vec!["HpaII", "RsaI", "TspRI", "HinfI", "BbvI", "MseI"], 1..4)
            .prop_map(|all| ("forbid_sites", all.into_iter().map(written).collect())),
        prop::sample::subsequence(vec!["0", "1", "2", "0:start", "1:start", "2:start"], 1..3)
            .prop_map(|all| ("no_stop", all.into_iter().map(written).collect())),
        "[ACGT]{1,3}".prop_map(|bases| ("prefix", written(&bases))),
        "[ACGT]{1,4}".prop_map(|bases| ("suffix", written(&bases))),
        "[ACGTRYSWKMBDHVN]{3,5}".prop_map(|motif| ("template", written(&motif))),
    ]
}

fn constraints(count: std::ops::Range<usize>) -> impl Strategy<Value = Constraints> {
    prop::collection::vec(constraint(), count).prop_map(|pairs| {
        let object = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        serde_json::from_value(serde_json::Value::Object(object)).expect("constraints")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_constraint_lets_through_exactly_what_is_legal(
        constraints in constraints(1..2),
        (texts, unit, longest) in vocabularies(),
        prompts in prop::collection::vec(("[ACGTacgtN]{0,8}", 0..8_usize), 1..3),
    ) {
        let cases: Vec<_> = prompts.into_iter().map(|(prompt, length)| (prompt, length % (longest + 1))).collect();
        compare(&constraints, texts, unit, &cases);
    }

    #[test]
    fn constraints_together_let_through_exactly_what_is_legal(
        constraints in constraints(2..6),
        (texts, unit, longest) in vocabularies(),
        prompts in prop::collection::vec(("[ACGTacgtN]{0,8}", 0..8_usize), 1..4),
    ) {
        let cases: Vec<_> = prompts.into_iter().map(|(prompt, length)| (prompt, length % (longest + 1))).collect();
        compare(&constraints, texts, unit, &cases);
    }
}

#[test]
fn constraints_that_contradict_each_other_are_named_without_the_others() {
    let constraints: Constraints = serde_json::from_str(
        r#"{"max_run":3,"gc":"0.5:1","forbid_sites":["EcoRI"],"prefix":"ATTA","suffix":"TTA","no_stop":["1"]}"#,
    )
    .expect("constraints");
    let vocabulary = Vocabulary::new(SINGLES.iter().copied().map(Some));
    let mut engine =
        Engine::new(constraints.automata().expect("automata"), &vocabulary, Unit::Tokens).expect("an engine");
    let error = engine.start(b"", 8).expect_err("at most 1 of 8 bases is G or C");
    assert_eq!(
        error.to_string(),
        "no sequence of 8 tokens satisfies total GC 0.5 to 1 and prefix ATTA and suffix TTA"
    );
    let error = engine.start(b"GAT", 4).expect_err("ATTA has no G or C");
    assert_eq!(
        error.to_string(),
        "no sequence of 4 tokens behind the prompt satisfies total GC 0.5 to 1 and suffix TTA"
    );
    // The same engine goes on for what is possible.
    assert!(engine.start(b"", 16).is_ok());
    let gapped = Vocabulary::new(["ACG", "<s>", "TG"].map(Some));
    let mut engine = Engine::new(Vec::new(), &gapped, Unit::Bases).expect("an engine");
    assert!(engine.start(b"", 7).is_ok());
    let error = engine.start(b"", 1).expect_err("no token is that short");
    assert_eq!(error.to_string(), "no sequence of 1 bases satisfies the lengths of the tokens");
    assert_eq!(
        Engine::new(Vec::new(), &Vocabulary::new([Some("<s>")]), Unit::Tokens).map(|_| ()),
        Err(Error::NoDna)
    );
}
