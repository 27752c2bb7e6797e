use crate::*;
use predicates::prelude::*;

/// Columns before the numbers: record, start, end, tokens.
const PLACE: usize = 4;

fn embed(fasta: &Path, flags: &str) -> Vec<Vec<String>> {
    let flags = ["embed", text(fasta), "-m", MODEL, "-q"].into_iter().chain(flags.split_whitespace());
    rows(&stdout(&mut kilobase(flags)))
}

/// The largest difference of two tables that have the same places.
fn difference(a: &[Vec<String>], b: &[Vec<String>]) -> f64 {
    assert_eq!(a.len(), b.len());
    let mut largest = 0.0_f64;
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a[..PLACE], b[..PLACE]);
        for (a, b) in a[PLACE..].iter().zip(&b[PLACE..]) {
            largest = largest.max((number(a) - number(b)).abs());
        }
    }
    largest
}

#[test]
fn chunks_over_a_cache_give_what_the_whole_sequence_gives() {
    let folder = folder(&[("in.fa", &format!(">a\n{}\n>b\n{}\n", dna(300, 1), dna(48, 2)))]);
    let fasta = folder.path().join("in.fa");
    for pool in ["mean", "mean-no-special", "max", "cls", "last", "none"] {
        let whole = embed(&fasta, &format!("--pool {pool}"));
        assert_eq!(whole.len(), if pool == "none" { 51 + 9 } else { 2 }, "{pool}");
        for flags in ["--chunk 7", "--batch-tokens 16 --cache-policy full --context 20"] {
            let other = embed(&fasta, &format!("--pool {pool} {flags}"));
            assert!(difference(&whole, &other) < 1e-4, "{pool} {flags}");
        }
    }
    for layer in 0..3 {
        let whole = embed(&fasta, &format!("--layer {layer}"));
        let chunked = embed(&fasta, &format!("--layer {layer} --chunk 7"));
        assert!(difference(&whole, &chunked) < 1e-4, "layer {layer}");
    }
}

#[test]
fn beyond_the_context_a_sequence_is_read_in_passes_or_under_a_policy() {
    let sequence = dna(300, 1);
    // What the second pass of 20 tokens reads: 19 of the sequence, 10 of them behind the first 19 tokens.
    let second = &sequence[6 * 9..6 * 28];
    let folder =
        folder(&[("in.fa", &format!(">a\n{sequence}\n")), ("second.fa", &format!(">a\n{second}\n"))]);
    let (fasta, second) = (folder.path().join("in.fa"), folder.path().join("second.fa"));
    let flags = "--pool none --context 20 --context-overlap 10";
    let passes = embed(&fasta, flags);
    let alone = embed(&second, "--pool none");
    // Row 0 is the start token. The tenth and eleventh of the window were read by the first pass.
    for token in 11..=19 {
        let (ours, theirs) = (&passes[9 + token], &alone[token]);
        for (a, b) in ours[6..].iter().zip(&theirs[6..]) {
            assert!((number(a) - number(b)).abs() < 1e-4, "token {token}");
        }
    }
    kilobase(["embed", text(&fasta), "-m", MODEL, "--context", "20"])
        .assert()
        .success()
        .stderr(predicate::str::contains("1 of 1 sequences are longer than the context of 20 tokens"));
    let exact = embed(&fasta, "");
    let kept = embed(&fasta, "--cache-policy window --cache-budget 12 --chunk 4 --cache-dtype bf16");
    assert!(difference(&exact, &kept) > 1e-2);
    let room = embed(&fasta, "--cache-policy h2o --cache-budget 100 --chunk 4");
    assert!(difference(&exact, &room) < 1e-4);
}

#[test]
fn bases_that_fill_no_token_are_told_or_dropped_from_the_left() {
    let sequence = dna(32, 3);
    let folder = folder(&[
        ("in.fa", &format!(">a\n{sequence}\n>b\nACGTA\n>c\n{}\n", &sequence[2..])),
        ("whole.fa", &format!(">a\n{}\n", &sequence[2..])),
    ]);
    let (fasta, whole) = (folder.path().join("in.fa"), folder.path().join("whole.fa"));
    kilobase(["embed", text(&fasta), "-m", MODEL])
        .assert()
        .success()
        .stderr(predicate::str::contains("2 of 3 sequences are not whole tokens of 6 bases"));
    kilobase(["embed", "-", "-m", MODEL])
        .write_stdin(fs::read(&fasta).unwrap())
        .assert()
        .success()
        .stderr(predicate::str::contains("2 of 3 sequences are not whole tokens of 6 bases"));
    let kept = embed(&fasta, "--pool last");
    assert_eq!(kept[0][..PLACE], ["a", "0", "32", "7"]);
    let trimmed = embed(&fasta, "--pool last --trim");
    assert_eq!(trimmed[0][..PLACE], ["a", "2", "32", "6"], "the row says which bases it is of");
    assert_eq!(trimmed[1][..PLACE], ["b", "0", "5", "2"], "a sequence without a whole token stays");
    assert_eq!(trimmed[0][PLACE..], trimmed[2][PLACE..]);
    assert_eq!(trimmed[0][PLACE..], embed(&whole, "--pool last")[0][PLACE..]);
    let line = ["embed", text(&fasta), "-m", MODEL, "--trim", "--json", "--pool", "none"];
    let told =
        kilobase(line).assert().success().stderr(predicate::str::contains("1 of 3 sequences have fewer"));
    let told = String::from_utf8(told.get_output().stderr.clone()).unwrap();
    assert!(told.contains("\"bases_trimmed\":2"), "{told}");
}

#[test]
fn what_does_not_go_together_is_told() {
    let folder = folder(&[("in.fa", &format!(">a\n{}\n", dna(300, 1)))]);
    let (fasta, out) = (folder.path().join("in.fa"), folder.path().join("out.npy"));
    for (model, flags, code, part) in [
        (ENCODER, "--context 100", 2, "--context is about decoders; dnabert2 is an encoder"),
        (ENCODER, "--cache-dtype bf16", 2, "--cache-dtype is about decoders"),
        (ENCODER, "--context-overlap 5", 2, "--context-overlap is about decoders"),
        (ENCODER, "--trim", 2, "of several lengths"),
        (MODEL, "--layer 1 --cache-policy h2o", 2, "--layer 1: under a cache policy"),
        (MODEL, "--context 6 --context-overlap 5", 1, "leaves none that is new"),
        (MODEL, "--cache-budget 5", 2, "--cache-policy"),
    ] {
        let all = ["embed", text(&fasta), "-m", model, "-o", text(&out)];
        kilobase(all.into_iter().chain(flags.split_whitespace()))
            .assert()
            .code(code)
            .stdout("")
            .stderr(predicate::str::contains(part));
        assert!(!out.exists(), "{part}");
        fs::remove_dir_all(folder.path().join("out.npy.partial")).ok();
    }
}

#[test]
fn a_dry_run_prices_what_is_read() {
    let folder = folder(&[("in.fa", &format!(">a\n{}\n>b\n{}\n", dna(602, 1), dna(30, 2)))]);
    let fasta = folder.path().join("in.fa");
    let price = |model: &str, flags: &str| -> serde_json::Value {
        let arguments = ["embed", text(&fasta), "-m", model, "--dry-run", "--json"];
        serde_json::from_str(&stdout(&mut kilobase(arguments.into_iter().chain(flags.split_whitespace()))))
            .unwrap()
    };
    let number = |of: &serde_json::Value, what: &str| of[what].as_u64().unwrap();
    assert_eq!(number(&price(MODEL, ""), "tokens"), 102 + 6);
    assert_eq!(number(&price(MODEL, "--trim"), "tokens"), 101 + 6);
    let (whole, chunked) = (price(MODEL, ""), price(MODEL, "--chunk 16"));
    assert_eq!(number(&whole, "linear_flop"), number(&chunked, "linear_flop"));
    assert!(number(&chunked, "activation_bytes") < number(&whole, "activation_bytes"));
    assert!(number(&chunked, "cache_bytes") > 0);
    let (one, none) = (price(MODEL, "--layer 1"), price(MODEL, "--layer 0"));
    assert_eq!(3 * number(&one, "linear_flop"), number(&whole, "linear_flop"));
    assert_eq!(number(&none, "linear_flop"), 0);
    let encoder = price(ENCODER, "");
    assert!(number(&encoder, "tokens") < 632 && number(&encoder, "attention_flop") > 0);
    assert!(encoder["estimated_seconds"].as_f64().unwrap() > 0.0);
}
