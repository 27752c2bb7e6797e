//! Loading, refusing, and rules that hold for any text.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

static DEMO: LazyLock<HfTokenizer> =
    LazyLock::new(|| HfTokenizer::from_dir(repository("tests/data/demo-model")).unwrap());
static GENERATOR: LazyLock<KmerTokenizer> =
    LazyLock::new(|| KmerTokenizer::from_dir(repository("tests/fixtures/generator-tiny")).unwrap());

fn pieces(tokenizer: &dyn Tokenizer, text: &str) -> Vec<String> {
    let encoding = tokenizer.encode(text.as_bytes(), false).unwrap();
    encoding.spans.iter().map(|span| text[span.start..span.end].to_owned()).collect()
}

/// A whole vocabulary of 1-mers with the given first lines.
fn vocabulary(first: &str) -> String {
    format!("{first}A\nT\nC\nG\n")
}

fn refused(vocabulary: &str) -> String {
    KmerTokenizer::new(vocabulary.as_bytes(), &KmerConfig::new(1), "vocab.txt").unwrap_err().to_string()
}

#[test]
fn special_tokens_are_found_by_the_names_in_the_configuration() {
    let expected = SpecialTokens { unk: Some(0), start: Some(1), end: Some(2), pad: Some(3), mask: Some(4) };
    assert_eq!(*DEMO.special(), expected);
    assert_eq!(*GENERATOR.special(), expected);
    assert_eq!((DEMO.token(4), GENERATOR.token(4)), (Some("[MASK]"), Some("<mask>")));
    assert_eq!((DEMO.vocab_size(), GENERATOR.vocab_size()), (1024, 4128));
    assert_eq!((DEMO.name(), GENERATOR.name()), ("bpe", "6-mer"));
}

#[test]
fn added_marks_have_no_place_in_the_text() {
    let encoding = DEMO.encode(b"ACGT[MASK]N", true).unwrap();
    assert_eq!((encoding.special.first(), encoding.special.last()), (Some(&true), Some(&true)));
    assert_eq!(encoding.special.iter().filter(|special| **special).count(), 2);
    assert_eq!((encoding.spans[0], encoding.spans.last().unwrap().is_empty()), (Span::default(), true));
    let mask = encoding.ids.iter().position(|&id| id == 4).unwrap();
    assert_eq!((encoding.spans[mask], encoding.special[mask]), (Span { start: 4, end: 10 }, false));
}

#[test]
fn pairs_have_segments_and_spans_of_their_own() {
    let pair = DEMO.encode_pair(b"ACGT", b"GG", true).unwrap();
    let second = pair.second.unwrap();
    let last = pair.len() - 1;
    assert_eq!((pair.ids[0], pair.ids[second - 1], pair.ids[last]), (1, 2, 2));
    assert!(pair.type_ids[..second].iter().all(|&kind| kind == 0));
    assert!(pair.type_ids[second..].iter().all(|&kind| kind == 1));
    assert_eq!((pair.spans[second].start, pair.spans[last - 1].end), (0, 2));
    assert!(matches!(GENERATOR.encode_pair(b"A", b"A", true), Err(Error::NoPairs { .. })));
}

#[test]
fn truncation_and_padding_saved_in_the_file_are_not_obeyed() {
    let text = std::fs::read(repository("tests/data/demo-model/tokenizer.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    json["truncation"] =
        serde_json::json!({"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0});
    json["padding"] = serde_json::json!({"strategy": {"Fixed": 100}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 3, "pad_type_id": 0, "pad_token": "[PAD]"});
    let other = HfTokenizer::from_bytes(json.to_string().as_bytes(), "x").unwrap();
    for length in [0, 1, 40, 4000] {
        let text: Vec<u8> = b"GATTACAGC".iter().copied().cycle().take(length).collect();
        assert_eq!(other.encode(&text, true).unwrap(), DEMO.encode(&text, true).unwrap());
    }
    assert_ne!(other.fingerprint(), DEMO.fingerprint());
}

#[test]
fn text_that_is_not_utf8_is_an_error() {
    for tokenizer in [&*DEMO as &dyn Tokenizer, &*GENERATOR] {
        let error = tokenizer.encode(b"ACG\xff", true).unwrap_err();
        assert_eq!(error.to_string(), "the text is not UTF-8 at byte 3");
    }
}

#[test]
fn decoding_leaves_the_frame_out_and_refuses_unknown_ids() {
    let ids = DEMO.encode(b"ACGTTGCA[MASK]A", true).unwrap().ids;
    assert_eq!(DEMO.decode(&ids).unwrap(), "ACGTTGCA[MASK]A");
    let ids = GENERATOR.encode(b"<+>ACGTACTTTTTT", true).unwrap().ids;
    assert_eq!(GENERATOR.decode(&ids).unwrap(), "<+>ACGTACTTTTTT");
    for tokenizer in [&*DEMO as &dyn Tokenizer, &*GENERATOR] {
        let error = tokenizer.decode(&[9999]).unwrap_err().to_string();
        assert_eq!(error, format!("token id 9999 is not in the vocabulary of {}", tokenizer.vocab_size()));
    }
}

#[test]
fn the_start_mark_is_there_once_even_when_written_out() {
    assert_eq!(GENERATOR.encode(b"ACGTAC", true).unwrap().ids, [1, 754]);
    let written = GENERATOR.encode(b"<s>ACGTAC", true).unwrap();
    assert_eq!((&written.ids[..], &written.special[..]), (&[1, 754][..], &[false, false][..]));
    let mut both = KmerConfig::new(1);
    both.end = true;
    let tokenizer = KmerTokenizer::new(vocabulary("<oov>\n<s>\n</s>\n").as_bytes(), &both, "x").unwrap();
    assert_eq!(tokenizer.encode(b"AG", true).unwrap().ids, [1, 3, 6, 2]);
    assert_eq!(tokenizer.encode(b"AG", false).unwrap().ids, [3, 6]);
}

#[test]
fn kmers_keep_their_frame_over_n_and_lose_it_at_other_characters() {
    assert_eq!(pieces(&*GENERATOR, "ACGTNNACGTACA"), ["ACGTNN", "ACGTAC", "A"]);
    assert_eq!(
        pieces(&*GENERATOR, "ACaCG é<s>T<sx>"),
        ["AC", "a", "CG", " ", "é", "<s>", "T", "<", "s", "x", ">"]
    );
}

#[test]
fn vocabularies_that_would_give_wrong_numbers_are_refused() {
    assert_eq!(refused(""), "vocab.txt: the vocabulary is empty");
    assert_eq!(refused(&vocabulary("<oov>\n<s>\n\n")), "vocab.txt: line 3: expected a token");
    assert_eq!(refused("<oov> 0\n<s>\n"), "vocab.txt: line 2: expected a token and its id");
    assert_eq!(refused("<oov> 0\n<s> one\n"), "vocab.txt: line 2: expected a token and its id");
    assert_eq!(refused(&vocabulary("<oov>\n<s>\nA\n")), "vocab.txt: token A has two ids, 2 and 3");
    assert_eq!(refused("<oov> 0\n<s> 0\n"), "vocab.txt: tokens <oov> and <s> have the same id 0");
    assert_eq!(
        refused("<oov> 0\n<s> 4294967295\n"),
        "vocab.txt: token <s> has id 4294967295, the largest id can be 1"
    );
    assert_eq!(refused("<oov>\n<s>\nA\nC\nG\n"), "vocab.txt: the vocabulary has 3 of the 4 1-mers");
    assert_eq!(refused(&vocabulary("<oov>\n")), "vocab.txt: the start token <s> is not in the vocabulary");
    assert_eq!(refused(&vocabulary("<s>\n")), "vocab.txt: the unknown token <oov> is not in the vocabulary");
    assert!(refused(&"x\n".repeat(300_000)).ends_with("has 300000 entries, at most 262144 are read"));
    for k in [0, 9, u64::MAX] {
        let error =
            KmerTokenizer::new(vocabulary("<oov>\n<s>\n").as_bytes(), &KmerConfig::new(k), "x").unwrap_err();
        assert_eq!(error.to_string(), format!("x: k is {k}, expected 1 to 8"));
    }
}

#[test]
fn a_directory_is_read_by_the_files_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let refused = || from_dir(dir.path()).err().unwrap().to_string();
    assert!(refused().contains("has no tokenizer that is known here: expected tokenizer.json"));
    std::fs::write(dir.path().join("vocab.txt"), vocabulary("<oov>\n<s>\n")).unwrap();
    let config = dir.path().join("tokenizer_config.json");
    std::fs::write(&config, r#"{"tokenizer_class": "BertTokenizer"}"#).unwrap();
    assert!(refused().contains("known here (BertTokenizer)"));
    std::fs::write(&config, r#"{"tokenizer_class": "DNAKmerTokenizer"}"#).unwrap();
    assert!(refused().ends_with("vocab.txt: k is not given, expected 1 to 8"));
    std::fs::write(&config, "{").unwrap();
    assert!(refused().contains("is not a valid tokenizer configuration"));
    std::fs::write(&config, r#"{"kmer": 1, "bos_token": {"content": "<s>"}}"#).unwrap();
    assert_eq!(from_dir(dir.path()).unwrap().name(), "1-mer");
    std::fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
    assert!(refused().contains("tokenizer.json: is not a valid tokenizer"));
}

#[test]
fn a_file_beyond_the_limit_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("tokenizer.json")).unwrap();
    file.set_len(file::LIMIT + 1).unwrap(); // sparse
    assert!(from_dir(dir.path()).err().unwrap().to_string().contains("is larger than"));
}

#[test]
fn tokenizer_files_that_break_the_library_are_refused_first() {
    let refused = |from: &str, to: &str| {
        let json = SMALL.replacen(from, to, 1);
        assert_ne!(json, SMALL);
        HfTokenizer::from_bytes(json.as_bytes(), "x").err().expect(to).to_string()
    };
    assert!(HfTokenizer::from_bytes(SMALL.as_bytes(), "x").is_ok());
    assert!(refused("\"A C\"", "\"AC AC\"").contains("makes a token that is not in the vocabulary"));
    assert!(refused("\"A C\"", "[\"A\"]").contains("is not a pair of tokens"));
    assert!(refused("prefix\": null", "prefix\": \"###\"").contains("not in the vocabulary"));
    assert!(refused("\"dropout\": null", "\"dropout\": 0.1").contains("dropout is set"));
    assert!(refused("\"AC\": 3", "\"AC\": 2").contains("have the same id 2"));
    assert!(refused("\"AC\": 3", "\"AC\": 4294967295").contains("the largest id can be"));
    let marks = r#""post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 77], "cls": ["[CLS]", 0]}"#;
    assert!(
        refused("\"post_processor\": null", marks)
            .contains("adds token id 77, which is not in the vocabulary")
    );
    assert!(refused("\"decoder\": null", "\"decoder\": nul").contains("not a valid tokenizer configuration"));
}

/// What DNABERT-2's rule says: runs of `ACGT` on their own, one unknown token for any other character, no white space.
fn by_the_rule(tokenizer: &dyn Tokenizer, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    let mut run = String::new();
    for character in text.chars().chain([' ']) {
        if matches!(character, 'A' | 'C' | 'G' | 'T') {
            run.push(character);
            continue;
        }
        ids.extend(tokenizer.encode(run.as_bytes(), false).unwrap().ids);
        run.clear();
        if !character.is_whitespace() {
            ids.push(0);
        }
    }
    ids
}

/// The special tokens of today's GENERator vocabularies.
const SPECIAL: &str = "<oov> <s> </s> <pad> <mask> <bog> <eog> <bok> <eok> <+> <-> <cds> <pseudo> <tRNA> <rRNA> <ncRNA> \
<miscRNA> <mam> <vrt> <inv> <pln> <fng> <prt> <arc> <bct> <mit> <plt> <plm> <vir> <sp0> <sp1> <sp2>";

/// GENERator's rule over characters, without tables.
fn pieces_by_the_rule(mut text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    while let Some(first) = text.chars().next() {
        let token = SPECIAL.split(' ').find(|token| text.starts_with(token)).map(str::len);
        let letters = text.chars().take(6).take_while(char::is_ascii_uppercase).count();
        let length = token.unwrap_or(if letters > 0 { letters } else { first.len_utf8() });
        pieces.push(text[..length].to_owned());
        text = &text[length..];
    }
    pieces
}

const SMALL: &str = r#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{"id": 0, "content": "[UNK]",
"single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}], "normalizer": null,
"pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null, "model": {"type": "BPE", "dropout": null,
"unk_token": "[UNK]", "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
"vocab": {"[UNK]": 0, "A": 1, "C": 2, "AC": 3}, "merges": ["A C"]}}"#;

#[test]
fn the_longest_kmers_end_with_the_text() {
    let kmers = (0..4_usize.pow(8))
        .map(|index| (0..8).map(|at| char::from(b"ACGT"[index >> (2 * at) & 3])).collect());
    let tokens: Vec<String> =
        ["<oov>", "<s>", "</s>", "<pad>"].map(String::from).into_iter().chain(kmers).collect();
    let vocabulary = tokens.join("\n");
    let eight = KmerTokenizer::new(vocabulary.as_bytes(), &KmerConfig::new(8), "vocab.txt").unwrap();
    let text = "GATTACAC".repeat(17);
    for length in 0..=text.len() {
        let encoding = eight.encode(&text.as_bytes()[..length], false).unwrap();
        assert_eq!(encoding.len(), length.div_ceil(8), "{length} letters");
        assert!(encoding.spans.iter().all(|span| !span.is_empty()));
        let mut ids = Vec::new();
        eight.encode_ids(&text.as_bytes()[..length], false, &mut ids).unwrap();
        assert_eq!(ids, encoding.ids);
    }
}

proptest! {
    #[test]
    fn kmers_are_read_from_left_to_right(text in "[ACGT]{0,90}([Nacg<-]|<s>|[ACGT]{0,70}){0,3}[ACGT]{0,90}") {
        let encoding = GENERATOR.encode(text.as_bytes(), true).unwrap();
        let mut ids = Vec::new();
        GENERATOR.encode_ids(text.as_bytes(), true, &mut ids).unwrap();
        prop_assert_eq!(&ids, &encoding.ids);
        let unknown = GENERATOR.special().unk.unwrap();
        for ((id, span), &added) in ids.iter().zip(&encoding.spans).zip(&encoding.special) {
            let piece = &text[span.start..span.end];
            prop_assert!(added || piece == GENERATOR.token(*id).unwrap() || *id == unknown);
            // A piece of six bases is never unknown, and no piece ends where more letters would go into it.
            let plain = piece.bytes().all(|letter| b"ACGT".contains(&letter));
            prop_assert!(added || *id != unknown || !(plain && piece.len() == 6));
            let upper = piece.bytes().all(|letter| letter.is_ascii_uppercase());
            let next = text.as_bytes().get(span.end).is_some_and(u8::is_ascii_uppercase);
            prop_assert!(added || !upper || piece.len() == 6 || !next, "{piece}");
        }
    }

    #[test]
    fn tokens_of_plain_dna_spell_the_text(text in "[ACGT]{0,600}") {
        for tokenizer in [&*DEMO as &dyn Tokenizer, &*GENERATOR] {
            check(tokenizer, text.as_bytes());
            prop_assert_eq!(pieces(tokenizer, &text).concat(), text.as_str());
        }
        let bpe = DEMO.encode(text.as_bytes(), true).unwrap();
        prop_assert_eq!(DEMO.decode(&bpe.ids).unwrap(), text.as_str());
        let whole = &text[..text.len() - text.len() % 6];
        let kmers = GENERATOR.encode(whole.as_bytes(), true).unwrap();
        prop_assert_eq!(GENERATOR.decode(&kmers.ids).unwrap(), whole);
    }

    #[test]
    fn the_demo_tokenizer_follows_the_rule_of_dnabert2(text in "[ACGT]{0,9}([ACGTNacgtnU*é中 \n.-]|[ACGT]{1,9}){0,40}") {
        check(&*DEMO, text.as_bytes());
        prop_assert_eq!(DEMO.encode(text.as_bytes(), false).unwrap().ids, by_the_rule(&*DEMO, &text));
    }

    #[test]
    fn kmers_follow_the_rule_of_generator(text in "([ACGTNZa é-]|[ACGT]{3,9}|<s>|<[+]>|</s|<cds>|[<>s]){0,40}") {
        check(&*GENERATOR, text.as_bytes());
        prop_assert_eq!(pieces(&*GENERATOR, &text), pieces_by_the_rule(&text));
        let encoding = GENERATOR.encode(text.as_bytes(), false).unwrap();
        for (id, piece) in encoding.ids.iter().zip(pieces(&*GENERATOR, &text)) {
            prop_assert!(*id == 0 || GENERATOR.token(*id) == Some(&piece));
        }
    }

    #[test]
    fn damaged_tokenizer_files_are_refused_or_keep_the_rules(
        edits in proptest::collection::vec((0..SMALL.len(), any::<u8>(), 0_u8..3), 1..6), text in "[ACGTN \\[\\]]{0,30}"
    ) {
        let mut json = SMALL.as_bytes().to_vec();
        for (at, byte, kind) in edits {
            let at = at % json.len();
            match kind {
                0 => json[at] = byte,
                1 => json.insert(at, b"0123456789{}[]\",:A"[usize::from(byte) % 18]),
                _ => { json.remove(at); }
            }
        }
        check_tokenizer_json(&json, text.as_bytes());
    }

    #[test]
    fn damaged_vocabularies_are_refused_or_keep_the_rules(
        text in "(<oov>|<s>|[ACGT]|[a-z<>é]|[ 0-9\n]|<[ACGT]>){0,12}(\n[ACGT]){4}", k in 0_u64..4, input in "[ACGTN<s>]{0,20}"
    ) {
        check_kmer_vocabulary(text.as_bytes(), k, input.as_bytes());
    }
}
