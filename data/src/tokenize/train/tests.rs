//! Against the trainer of the reference, on the same lines.

use proptest::prelude::*;
use serde_json::Value;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerBuilder,
};

use super::*;
use crate::tokenize::{HfTokenizer, Tokenizer};

/// What the reference finds: tokens by id, and merges.
fn reference(lines: &[&[u8]], options: &Options) -> (Vec<String>, Vec<(String, String)>) {
    let special = options.special.iter().map(|token| AddedToken::from(token.clone(), true)).collect();
    let mut trainer = BpeTrainer::builder()
        .vocab_size(options.vocabulary)
        .min_frequency(options.min_frequency)
        .special_tokens(special)
        .initial_alphabet(['A', 'C', 'G', 'T'].into())
        .show_progress(false)
        .build();
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
    tokenizer.train(&mut trainer, lines.iter().map(|line| std::str::from_utf8(line).unwrap())).unwrap();
    let json: Value = serde_json::from_str(&tokenizer.to_string(false).unwrap()).unwrap();
    let mut tokens: Vec<(u64, String)> = json["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(token, id)| (id.as_u64().unwrap(), token.clone()))
        .collect();
    tokens.sort();
    let half = |pair: &Value, at: usize| pair[at].as_str().unwrap().to_owned();
    let merges =
        json["model"]["merges"].as_array().unwrap().iter().map(|pair| (half(pair, 0), half(pair, 1)));
    (tokens.into_iter().map(|(_, token)| token).collect(), merges.collect())
}

fn ours(text: &[u8], options: &Options) -> Trained {
    let mut trainer = Trainer::new(options.clone()).unwrap();
    trainer.add(text);
    trainer.train(|_| ()).unwrap()
}

fn agree(text: &[u8], options: &Options) -> Result<(), TestCaseError> {
    let runs = text.split(|byte| !b"ACGT".contains(byte)).filter(|run| !run.is_empty());
    let lines: Vec<&[u8]> = runs.flat_map(|run| run.chunks(options.line)).collect();
    let trained = ours(text, options);
    let (tokens, merges) = reference(&lines, options);
    let text = |id: u32| trained.tokens()[id as usize].clone();
    let found: Vec<_> = trained.merges().iter().map(|&(a, b)| (text(a), text(b))).collect();
    prop_assert_eq!(&found, &merges);
    prop_assert_eq!(trained.tokens(), &tokens[..]);
    Ok(())
}

/// Random bases with a generator of its own, so that the text is the same everywhere.
fn bases(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut text = Vec::new();
    while text.len() < count {
        // Repeats of what was there make some pairs frequent.
        let (start, length) = (next() % text.len().max(1), next() % 40);
        if next() % 3 > 0 && start + length < text.len() {
            text.extend_from_within(start..start + length);
        } else {
            text.push(b"ACGT"[next() % 4]);
        }
    }
    text
}

#[test]
fn parts_and_threads_do_not_change_the_merges() {
    let text = bases(2_500_000);
    let options = Options { vocabulary: 150, line: 500, ..Options::default() };
    let lines: Vec<&[u8]> = text.chunks(options.line).collect();
    assert!(text.len() > 2 * (1 << 20), "more than two parts");
    let trained = ours(&text, &options);
    assert_eq!(trained.tokens(), reference(&lines, &options).0);
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(alone.install(|| ours(&text, &options)), trained);
}

#[test]
fn the_file_loads_and_is_read_by_our_encoder() {
    let text = bases(20_000);
    let options = Options { vocabulary: 300, ..Options::default() };
    let json = ours(&text, &options).to_json().to_string();
    let tokenizer = HfTokenizer::from_bytes(json.as_bytes(), "x").unwrap();
    assert!(tokenizer.is_fast());
    assert_eq!((tokenizer.vocab_size(), tokenizer.special().mask), (300, Some(4)));
    let encoding = tokenizer.encode(&text, true).unwrap();
    assert_eq!(encoding, tokenizer.encode_by_reference(&text, true).unwrap());
    assert_eq!((encoding.ids[0], encoding.ids[encoding.len() - 1]), (1, 2));
    assert!(encoding.len() < text.len() / 3);
    let bare = Options { special: vec!["[UNK]".into()], vocabulary: 40, ..Options::default() };
    let json = ours(&text, &bare).to_json().to_string();
    let tokenizer = HfTokenizer::from_bytes(json.as_bytes(), "x").unwrap();
    assert_eq!(
        tokenizer.encode(b"ACNGT", true).unwrap(),
        tokenizer.encode_by_reference(b"ACNGT", true).unwrap()
    );
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let new = |options| Trainer::new(options).map(|_| ()).unwrap_err().to_string();
    assert_eq!(
        new(Options { vocabulary: 8, ..Options::default() }),
        "a vocabulary of 8 tokens: expected 9 to 16384"
    );
    assert!(new(Options { vocabulary: 1 << 20, ..Options::default() }).contains("expected 9 to 16384"));
    assert_eq!(new(Options { line: 0, ..Options::default() }), "lines of 0 bases");
    for special in [&["ACG"][..], &[""], &["[A]", "[A]"]] {
        let special = special.iter().map(|&token| token.to_owned()).collect();
        assert!(new(Options { special, ..Options::default() }).contains("cannot be a special token"));
    }
    let mut empty = Trainer::new(Options::default()).unwrap();
    empty.add(b"NNNacgt");
    assert_eq!(empty.train(|_| ()).unwrap_err(), Error::Empty);
}

#[test]
fn training_ends_when_nothing_is_frequent_enough() {
    let trained = ours(b"ACGT", &Options::default());
    assert_eq!(trained.tokens()[9..], ["AC", "GT", "ACGT"]);
    let trained = ours(b"ACACGT", &Options { min_frequency: 2, ..Options::default() });
    assert_eq!(trained.tokens()[9..], ["AC"]);
}

proptest! {
    #[test]
    fn merges_are_those_of_the_reference(
        parts in prop::collection::vec(("[ACGTN]{1,8}", 1..9_usize), 1..30), vocabulary in 9..120_usize, line in 1..200_usize,
        min_frequency in 0..4_u64,
    ) {
        let text: String = parts.iter().map(|(unit, times)| unit.repeat(*times)).collect();
        prop_assume!(text.bytes().any(|byte| byte != b'N'));
        agree(text.as_bytes(), &Options { vocabulary, min_frequency, line, ..Options::default() })?;
    }

    #[test]
    fn runs_of_one_letter_are_merged_as_the_reference_does(text in "(A{1,30}|C{1,9}|[ACGT]){1,20}", vocabulary in 9..60_usize) {
        agree(text.as_bytes(), &Options { vocabulary, ..Options::default() })?;
    }
}
