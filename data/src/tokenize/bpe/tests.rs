//! Against the reference, over random vocabularies and texts.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{
    DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerBuilder,
};

use super::load::Refusal;
use super::*;
use crate::tokenize::{HfTokenizer, Tokenizer};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

static DEMO: LazyLock<HfTokenizer> =
    LazyLock::new(|| HfTokenizer::from_dir(repository("tests/data/demo-model")).unwrap());

/// A vocabulary of single letters and merges, in the layout of `tokenizer.json`.
#[allow(clippy::needless_pass_by_value, reason = "callers make it on the spot")]
fn file(letters: &str, merges: &[(String, String)], words: Value) -> Value {
    let mut vocabulary = serde_json::Map::from_iter([("[UNK]".to_owned(), json!(0))]);
    let products = merges.iter().map(|(left, right)| format!("{left}{right}"));
    for token in letters.chars().map(String::from).chain(products) {
        let id = vocabulary.len();
        vocabulary.entry(token).or_insert(json!(id));
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null, "decoder": null,
        "added_tokens": [{"id": 0, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "pre_tokenizer": words,
        "model": {"type": "BPE", "dropout": null, "unk_token": "[UNK]", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "vocab": vocabulary,
            "merges": merges.iter().map(|(left, right)| format!("{left} {right}")).collect::<Vec<_>>()},
    })
}

fn load(json: &Value) -> HfTokenizer {
    HfTokenizer::from_bytes(json.to_string().as_bytes(), "x").unwrap()
}

/// Merges as training may give them: each joins two tokens that are there and makes a new one.
fn merges(letters: &str, choices: &[(prop::sample::Index, prop::sample::Index)]) -> Vec<(String, String)> {
    let mut tokens: Vec<String> = letters.chars().map(String::from).collect();
    let mut merges = Vec::new();
    for (left, right) in choices {
        let (left, right) = (left.get(&tokens).clone(), right.get(&tokens).clone());
        let product = format!("{left}{right}");
        if product.len() <= 70 && !tokens.contains(&product) {
            merges.push((left, right));
            tokens.push(product);
        }
    }
    merges
}

/// Merges that a trainer finds in random text with repeats.
fn trained(text: &str, size: usize) -> Vec<(String, String)> {
    let mut trainer = BpeTrainer::builder().vocab_size(size).show_progress(false).build();
    let mut tokenizer = TokenizerBuilder::<
        BPE,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >::new()
    .with_model(BPE::default())
    .build()
    .unwrap();
    tokenizer.train(&mut trainer, [text].iter()).unwrap();
    let json: Value = serde_json::from_str(&tokenizer.to_string(false).unwrap()).unwrap();
    json["model"]["merges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned()))
        .collect()
}

fn agree(tokenizer: &HfTokenizer, text: &[u8]) -> Result<(), TestCaseError> {
    for marks in [false, true] {
        let ours = tokenizer.encode(text, marks).unwrap();
        prop_assert_eq!(&ours, &tokenizer.encode_by_reference(text, marks).unwrap());
        let mut ids = vec![7];
        tokenizer.encode_ids(text, marks, &mut ids).unwrap();
        prop_assert_eq!(&ids[1..], &ours.ids);
    }
    Ok(())
}

/// Texts that repeat themselves, so that long tokens and long waits for a decision occur.
fn text(letters: &'static str) -> impl Strategy<Value = String> {
    let unit = proptest::string::string_regex(&format!("[{letters}]{{1,9}}")).unwrap();
    prop::collection::vec((unit, 1..12_usize), 0..14)
        .prop_map(|parts| parts.iter().map(|(unit, times)| unit.repeat(*times)).collect())
}

#[test]
fn the_vocabularies_of_the_project_are_read_by_our_encoder() {
    assert!(DEMO.is_fast());
}

#[test]
fn what_is_more_than_merges_is_left_to_the_reference() {
    let merges = [("A".to_owned(), "C".to_owned()), ("AC".to_owned(), "A".to_owned())];
    let plain = file("ACGT", &merges, json!({"type": "Whitespace"}));
    assert!(Bpe::load(&plain).is_ok());
    let refusal = |change: &dyn Fn(&mut Value)| {
        let mut json = plain.clone();
        change(&mut json);
        Bpe::load(&json).err()
    };
    let set = |key: &'static str, value: Value| refusal(&move |json| json["model"][key] = value.clone());
    assert_eq!(set("dropout", json!(0.1)), Some(Refusal::Setting("dropout")));
    assert_eq!(set("dropout", json!(0.0)), None);
    assert_eq!(set("byte_fallback", json!(true)), Some(Refusal::Setting("byte_fallback")));
    assert_eq!(set("ignore_merges", json!(true)), Some(Refusal::Setting("ignore_merges")));
    assert_eq!(set("fuse_unk", json!(true)), Some(Refusal::Setting("fuse_unk")));
    assert_eq!(
        set("continuing_subword_prefix", json!("##")),
        Some(Refusal::Setting("continuing_subword_prefix"))
    );
    assert_eq!(set("end_of_word_suffix", json!("</w>")), Some(Refusal::Setting("end_of_word_suffix")));
    assert_eq!(
        refusal(&|json| json["normalizer"] = json!({"type": "Lowercase"})),
        Some(Refusal::Setting("normalizer"))
    );
    assert_eq!(
        refusal(&|json| json["pre_tokenizer"]["type"] = json!("Digits")),
        Some(Refusal::Setting("pre_tokenizer"))
    );
    assert_eq!(
        refusal(&|json| json["added_tokens"][0]["content"] = json!("ACGT")),
        Some(Refusal::Setting("an added token that begins as sequences do"))
    );
    let twice = [("A", "C"), ("C", "A"), ("AC", "A"), ("A", "CA")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(Bpe::load(&file("ACGT", &twice, Value::Null)).err(), Some(Refusal::Product));
    let late = [("AC", "A"), ("A", "C")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(Bpe::load(&file("ACGT", &late, Value::Null)).err(), Some(Refusal::Order));
    let dashes = [("-", "-")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(Bpe::load(&file("A-", &dashes, json!({"type": "Whitespace"}))).err(), Some(Refusal::Letters));
    assert!(Bpe::load(&file("A-", &dashes, Value::Null)).is_ok());
}

#[test]
fn parts_that_repeats_keep_apart_are_read_in_one() {
    let merges = [("A", "A"), ("AA", "AA"), ("AAAA", "AAAA")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    let bpe = Bpe::load(&file("ACGT", &merges, Value::Null)).unwrap();
    let text = [&b"C"[..], &[b'A'; 5003], b"G", &[b'A'; 999], b"T"].concat();
    let whole = bpe.encode(&text).unwrap();
    // Eight from wherever a part starts: parts that start at other places have no token in common before the run's end.
    let units = bpe.units_of(&text, 100, 30).unwrap();
    assert_eq!(bpe.fill(&units), whole);
    assert!(units.len() < 20, "the run is one unit");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_merges_give_the_ids_of_the_reference(
        choices in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..120),
        text in text("ACGT"),
    ) {
        let tokenizer = load(&file("ACGT", &merges("ACGT", &choices), json!({"type": "Whitespace"})));
        prop_assert!(tokenizer.is_fast());
        agree(&tokenizer, text.as_bytes())?;
    }

    #[test]
    fn few_letters_make_long_tokens(
        choices in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..60),
        text in text("AC"),
    ) {
        let tokenizer = load(&file("ACGT", &merges("AC", &choices), Value::Null));
        prop_assert!(tokenizer.is_fast() || choices.is_empty());
        agree(&tokenizer, text.as_bytes())?;
    }

    #[test]
    fn letters_of_any_alphabet_are_read(
        choices in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..80),
        text in "([acgtnACGT]{0,30}[ \t-]?){0,6}",
        words in prop::sample::select(vec![Value::Null, json!({"type": "WhitespaceSplit"}), json!({"type": "Whitespace"})]),
    ) {
        let tokenizer = load(&file("acgtnA-", &merges("acgtn", &choices), words));
        prop_assert!(tokenizer.is_fast());
        agree(&tokenizer, text.as_bytes())?;
    }

    #[test]
    fn trained_merges_give_the_ids_of_the_reference(training in text("ACGT"), size in 5..200_usize, text in text("ACGT")) {
        let merges = trained(&training, size);
        let json = file("ACGT", &merges, json!({"type": "Whitespace"}));
        let tokenizer = load(&json);
        prop_assert!(merges.is_empty() || tokenizer.is_fast());
        agree(&tokenizer, text.as_bytes())?;
        agree(&tokenizer, training.as_bytes())?;
    }

    #[test]
    fn any_text_gives_what_the_reference_gives(
        text in "([ACGT]{1,20}|[ACGTNacgtnU*é中 \n\t\u{b}\u{85}.-]|\\[MASK\\]|\\[|MASK|_|[0-9]){0,40}",
    ) {
        agree(&DEMO, text.as_bytes())?;
    }

    #[test]
    fn parts_are_joined_without_a_trace(
        choices in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..100),
        text in text("ACGTN "), part in 1..60_usize, overlap in 0..40_usize,
    ) {
        let bpe = Bpe::load(&file("ACGT", &merges("ACGT", &choices), json!({"type": "Whitespace"}))).unwrap();
        let units = bpe.units_of(text.as_bytes(), part, overlap).unwrap();
        prop_assert_eq!(bpe.fill(&units), bpe.encode(text.as_bytes()).unwrap());
    }
}
