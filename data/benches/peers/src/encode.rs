use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;

use bpe::byte_pair_encoding::BytePairEncoding;
use kilobase_data::tokenize::{self, HfTokenizer, Tokenizer};
use serde_json::Value;

use crate::data::{Draw, Files};
use crate::read::alone;
use crate::{compare, repository};

/// DNABERT-2's tokenizer where it is at hand, else the one of the tests.
fn tokenizer_file() -> std::path::PathBuf {
    match std::env::var_os("KILOBASE_BENCH_TOKENIZER") {
        Some(path) => path.into(),
        None => repository("tests/data/demo-model/tokenizer.json"),
    }
}

/// The same merges for rust-gems' encoder, whose tokens are numbered by rank.
fn rust_gems(json: &Value) -> (BytePairEncoding, Vec<u32>) {
    let vocabulary = json["model"]["vocab"].as_object().expect("a vocabulary");
    let half = |pair: &Value, at: usize| match pair {
        Value::String(text) => text.split_once(' ').map(|halves| [halves.0, halves.1][at].to_owned()),
        pair => pair[at].as_str().map(str::to_owned),
    };
    let mut tokens: Vec<Vec<u8>> = b"ACGT".iter().map(|&letter| vec![letter]).collect();
    for pair in json["model"]["merges"].as_array().expect("merges") {
        let token = half(pair, 0).expect("a half") + &half(pair, 1).expect("a half");
        tokens.push(token.into_bytes());
    }
    let id = |token: &Vec<u8>| vocabulary[std::str::from_utf8(token).expect("letters")].as_u64().expect("an id") as u32;
    let ids = tokens.iter().map(id).collect();
    let factor = bpe::byte_pair_encoding::find_hash_factor_for_dictionary(tokens.clone());
    (BytePairEncoding::from_dictionary(tokens, Some(factor)), ids)
}

fn sum(ids: impl IntoIterator<Item = u32>) -> u64 {
    ids.into_iter().fold(0, |sum: u64, id| sum.wrapping_mul(31).wrapping_add(u64::from(id)))
}

/// Runs of A, C, G and T of the chromosome, put together.
fn text(files: &Files) -> Vec<u8> {
    files.bases.iter().copied().filter(|letter| b"ACGT".contains(letter)).collect()
}

pub(crate) fn bpe(files: &Files) {
    let bytes = fs::read(tokenizer_file()).expect("a tokenizer.json");
    let json: Value = serde_json::from_slice(&bytes).expect("JSON");
    let ours = HfTokenizer::from_bytes(&bytes, "tokenizer.json").expect("a tokenizer");
    assert!(ours.is_fast(), "our encoder reads it");
    let reference = tokenizers::Tokenizer::from_bytes(&bytes).expect("a tokenizer");
    let (gems, gems_ids) = rust_gems(&json);
    let text = text(files);
    let (one, two) = (alone(1), alone(2));
    for (job, length, total, rounds) in [
        ("BPE, texts of 1 kb", 1_000, 4_000_000, 5),
        ("BPE, texts of 100 kb", 100_000, 4_000_000, 5),
        ("BPE, a text of 1 Mb", 1_000_000, 1_000_000, 5),
        ("BPE, a text of 10 Mb", 10_000_000, 10_000_000, 3),
    ] {
        // Each text is read once a round: the reference keeps words that it has seen.
        let texts: Vec<&[u8]> = text[text.len() / 4..][..total].chunks(length).collect();
        let our_ids = || {
            let mut ids = Vec::new();
            let mut all = 0_u64;
            for text in &texts {
                ids.clear();
                ours.encode_ids(text, false, &mut ids).expect("DNA");
                all = all.wrapping_add(sum(ids.iter().copied()));
            }
            all
        };
        let with_offsets = || {
            texts.iter().map(|text| sum(ours.encode(text, false).expect("DNA").ids)).fold(0, u64::wrapping_add)
        };
        compare(
            job,
            total as u64,
            rounds,
            &[
                ("kilobase ids, 1 thread", Box::new(|| one.install(our_ids))),
                ("kilobase ids and offsets, 1 thread", Box::new(|| one.install(with_offsets))),
                ("kilobase ids, 2 threads", Box::new(|| two.install(our_ids))),
                (
                    "rust-gems bpe, 1 thread",
                    Box::new(|| {
                        let ids = |text: &&[u8]| {
                            sum(gems.encode_via_backtracking(text).into_iter().map(|id| gems_ids[id as usize]))
                        };
                        texts.iter().map(ids).fold(0, u64::wrapping_add)
                    }),
                ),
                (
                    "Hugging Face tokenizers, 1 thread",
                    Box::new(|| {
                        let ids = |text: &&[u8]| {
                            let text = std::str::from_utf8(text).expect("letters");
                            sum(reference.encode_fast(text, false).expect("DNA").get_ids().iter().copied())
                        };
                        texts.iter().map(ids).fold(0, u64::wrapping_add)
                    }),
                ),
            ],
        );
    }
}

pub(crate) fn kmer(files: &Files) {
    let ours = tokenize::from_dir(repository("tests/fixtures/generator-tiny")).expect("a tokenizer");
    let text = text(files);
    let text = &text[..20_000_000];
    let table: HashMap<&[u8], u32> = (0..ours.vocab_size() as u32)
        .filter_map(|id| Some((ours.token(id)?.as_bytes(), id)))
        .collect();
    // Text after text goes into the same memory.
    let ids = RefCell::new(Vec::new());
    let our_ids = || {
        let mut ids = ids.borrow_mut();
        ids.clear();
        ours.encode_ids(text, false, &mut ids).expect("DNA");
        sum(ids.iter().copied())
    };
    compare(
        "6-mers, a text of 20 Mb",
        text.len() as u64,
        5,
        &[
            ("kilobase ids", Box::new(our_ids)),
            ("kilobase ids and offsets", Box::new(|| sum(ours.encode(text, false).expect("DNA").ids))),
            // What the published tokenizer does, in Rust: a dictionary of strings. It itself is measured by `kmer.py`.
            ("a hash map of strings", Box::new(|| sum(text.chunks(6).map(|kmer| *table.get(kmer).unwrap_or(&0))))),
        ],
    );
}

/// Every token of real and random text against the reference.
pub(crate) fn mismatches(files: &Files) {
    let mut vocabularies = vec![("of the tests".to_owned(), fs::read(repository("tests/data/demo-model/tokenizer.json")).expect("a file"))];
    if let Some(list) = std::env::var_os("KILOBASE_BENCH_TOKENIZERS") {
        for path in std::env::split_paths(&list) {
            vocabularies.push((path.display().to_string(), fs::read(&path).expect("a tokenizer.json")));
        }
    }
    let mut draw = Draw(3);
    let random: Vec<u8> = (0..20_000_000).map(|_| b"ACGT"[(draw.next() % 4) as usize]).collect();
    let (mut letters, mut different) = (0_u64, 0_u64);
    for (name, bytes) in &vocabularies {
        let tokenizer = HfTokenizer::from_bytes(bytes, name).expect("a tokenizer");
        let longest = (0..tokenizer.vocab_size() as u32).filter_map(|id| tokenizer.token(id)).map(str::len).max();
        let mut tokens = 0;
        for text in [&files.bases[..], &random] {
            // The reference takes far more than linear time and memory on long texts.
            for part in text.chunks(1 << 18) {
                let ours = tokenizer.encode(part, true).expect("DNA");
                let reference = tokenizer.encode_by_reference(part, true).expect("DNA");
                letters += part.len() as u64;
                tokens += ours.len();
                different += u64::from(ours != reference);
            }
        }
        println!("{name}: fast {}, longest token {longest:?}, {tokens} tokens", tokenizer.is_fast());
    }
    println!("{letters} letters, {} vocabularies: {different} parts of 256 kb differ", vocabularies.len());
}
