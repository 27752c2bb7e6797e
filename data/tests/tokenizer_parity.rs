//! Ids, tokens and offsets against cases that the reference implementations made.

mod shared;

use std::path::{Path, PathBuf};

use kilobase_data::tokenize::{self, HfTokenizer, KmerConfig, KmerTokenizer, Tokenizer};
use serde::Deserialize;

/// A text and what the reference makes of it. Without `ids_no_special`, `ids` were made without marks.
#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    tokens: Vec<String>,
    ids_no_special: Option<Vec<u32>>,
}

fn cases(dir: &Path) -> Vec<Case> {
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(dir.join("tokenizer_cases.json")).unwrap()).unwrap();
    assert!(!cases.is_empty());
    cases
}

fn agree(tokenizer: &dyn Tokenizer, cases: &[Case]) {
    for case in cases {
        let text = case.text.as_str();
        let bare = tokenizer.encode(text.as_bytes(), false).unwrap();
        assert_eq!(&bare.ids, case.ids_no_special.as_ref().unwrap_or(&case.ids), "{text}");
        let encoding = if case.ids_no_special.is_some() {
            tokenizer.encode(text.as_bytes(), true).unwrap()
        } else {
            bare
        };
        assert_eq!(encoding.ids, case.ids, "{text}");
        assert_eq!(encoding.len(), case.tokens.len(), "{text}");
        for ((id, span), token) in encoding.ids.iter().zip(&encoding.spans).zip(&case.tokens) {
            // References name an unknown piece by the unknown token, or by the piece itself.
            let known = tokenizer.token(*id) == Some(token);
            assert!(known || &text[span.start..span.end] == token, "{text}: {token}");
            if known && Some(*id) != tokenizer.special().unk && !span.is_empty() {
                assert_eq!(&text[span.start..span.end], token, "{text}");
            }
        }
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[test]
fn generator_cases_of_the_repository_agree() {
    let dir = repository("tests/fixtures/generator-tiny");
    agree(&*tokenize::from_dir(&dir).unwrap(), &cases(&dir));
}

#[test]
fn dnabert2_and_generator_cases_agree() {
    for name in ["fixtures/dnabert2-tiny", "fixtures/generator-tiny"] {
        let Some(dir) = shared::folder(name) else { continue };
        agree(&*tokenize::from_dir(&dir).unwrap(), &cases(&dir));
    }
}

#[test]
fn cases_of_further_models_agree() {
    let Some(list) = std::env::var_os("KILOBASE_EXTRA_FIXTURES") else { return };
    for dir in std::env::split_paths(&list).filter(|dir| dir.join("tokenizer_cases.json").is_file()) {
        if dir.join("tokenizer.json").is_file() || dir.join("vocab.txt").is_file() {
            agree(&*tokenize::from_dir(&dir).unwrap(), &cases(&dir));
        }
    }
}

#[test]
fn both_published_generator_vocabularies_are_read_as_written() {
    let Some(dir) = shared::folder("data/tokenizers/generator") else { return };
    let load = |file: &str| {
        KmerTokenizer::new(&std::fs::read(dir.join(file)).unwrap(), &KmerConfig::new(6), file).unwrap()
    };
    let (current, first) = (load("vocab.current.txt"), load("vocab.first-release.txt"));
    for tokenizer in [&current, &first] {
        assert_eq!(tokenizer.vocab_size(), 4128);
        assert_eq!((tokenizer.token(32), tokenizer.token(33)), (Some("AAAAAA"), Some("AAAAAT")));
        assert_eq!((tokenizer.token(1397), tokenizer.token(4127)), (Some("TTTTTT"), Some("GGGGGG")));
        for id in 32..4128 {
            let token = tokenizer.token(id).unwrap();
            let index = token.bytes().fold(0, |index, base| {
                index * 4 + b"ATCG".iter().position(|&letter| letter == base).unwrap() as u32
            });
            assert_eq!(id, 32 + index);
            assert_eq!(tokenizer.encode(token.as_bytes(), false).unwrap().ids, [id]);
        }
    }
    assert_eq!((current.token(11), first.token(11)), (Some("<cds>"), Some("<mam>")));
    assert_eq!(first.encode(b"<misc_RNA>", false).unwrap().len(), 1);
    assert_eq!(current.encode(b"<misc_RNA>", false).unwrap().len(), 8);
    assert_ne!(current.fingerprint(), first.fingerprint());
}

#[test]
fn a_fine_tuned_tokenizer_with_saved_truncation_gives_all_tokens() {
    let Some(dir) = shared::folder("data/tokenizers/dnabert2") else { return };
    let load = |file: &str| HfTokenizer::from_bytes(&std::fs::read(dir.join(file)).unwrap(), file).unwrap();
    let (plain, tuned) = (load("tokenizer.json"), load("tokenizer.finetuned-truncpad.json"));
    let text: Vec<u8> = b"GATTACAGCCATGNTTTACG".iter().copied().cycle().take(20_000).collect();
    let encoding = tuned.encode(&text, true).unwrap();
    assert!(encoding.len() > 636);
    assert_eq!(encoding, plain.encode(&text, true).unwrap());
    assert_eq!(tuned.encode(b"A", true).unwrap().ids, [1, 5, 2]);
}

#[test]
fn dnabert2_follows_its_rule_on_genomes() {
    let Some(dir) = shared::folder("fixtures/dnabert2-tiny") else { return };
    let tokenizer = tokenize::from_dir(&dir).unwrap();
    let records = kilobase_data::fastx::Reader::open(repository("tests/data/lambda.fa.gz")).unwrap();
    for record in records {
        let mut text = record.unwrap().sequence;
        for at in (0..text.len()).step_by(997) {
            text[at] = b"Nn-RU"[at % 5];
        }
        let encoding = tokenizer.encode(&text, false).unwrap();
        let mut end = 0;
        for (id, span) in encoding.ids.iter().zip(&encoding.spans) {
            assert_eq!(span.start, end, "nothing is left out");
            end = span.end;
            let piece = &text[span.start..span.end];
            if *id == 0 {
                assert!(piece.len() == 1 && !b"ACGT".contains(&piece[0]));
            } else {
                assert_eq!(tokenizer.token(*id).unwrap().as_bytes(), piece);
            }
        }
        assert_eq!(end, text.len());
        // Runs between unknown letters do not know each other.
        let mut apart = Vec::new();
        for run in text.split_inclusive(|letter| !b"ACGT".contains(letter)) {
            apart.extend(tokenizer.encode(run, false).unwrap().ids);
        }
        assert_eq!(apart, encoding.ids);
    }
}
