//! The model that ships: used where none is named, and taken out as a folder that any command reads.

mod program;

use predicates::prelude::*;
use program::program;

const LAMBDA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lambda.fa.gz");

fn stdout(arguments: &[&str]) -> String {
    let output = program().args(arguments).assert().success().get_output().stdout.clone();
    String::from_utf8(output).expect("text")
}

fn bits(table: &str) -> f64 {
    table
        .lines()
        .nth(1)
        .and_then(|line| line.split('\t').nth(5))
        .and_then(|bits| bits.parse().ok())
        .expect("a row")
}

#[test]
fn without_a_model_the_one_that_ships_is_used_and_named() {
    let scored = program()
        .args(["score", LAMBDA])
        .assert()
        .success()
        .stderr(predicate::str::contains("no -m: using kilobase-dna-3m"));
    let table = String::from_utf8(scored.get_output().stdout.clone()).expect("text");
    // It has never seen a phage. Two bits a base are what a model that knows nothing needs.
    assert!((1.8..1.99).contains(&bits(&table)), "{table}");
    let rows = stdout(&["embed", LAMBDA, "--window", "1536", "-q"]);
    assert_eq!(rows.lines().count(), 1 + 48_502_usize.div_ceil(1536));
    let generated = stdout(&["generate", "--prompt", "ATGAAACGCAAA", "--max-tokens", "20", "-q"]);
    let bases: usize = generated.lines().filter(|line| !line.starts_with('>')).map(str::len).sum();
    assert!(generated.starts_with('>') && bases == 120, "{generated}");
}

#[test]
fn taken_out_it_gives_the_same_numbers_and_its_card() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model");
    let text = path.to_str().expect("UTF-8");
    program().args(["model", "export", "-o", text]).assert().success();
    assert_eq!(stdout(&["score", LAMBDA, "-m", text, "-q"]), stdout(&["score", LAMBDA, "-q"]));
    let card = std::fs::read_to_string(path.join("README.md")).expect("a card");
    assert!(card.contains("Bits per base of held-out windows"), "{card}");
    program()
        .args(["model", "export", "-o", text])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("exists"));
}

#[test]
fn a_classifier_has_to_be_named() {
    program().args(["predict", LAMBDA]).assert().code(2).stderr(predicate::str::contains("finetune"));
}
