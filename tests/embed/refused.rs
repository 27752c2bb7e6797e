//! Inputs, models and devices that are refused.

use crate::*;
use predicates::prelude::*;

#[test]
fn wrong_sequences_are_refused() {
    let folder = folder();
    for (name, content, words) in [
        ("empty.fa", "", &["empty.fa: no records"][..]),
        (
            "protein.fa",
            ">ins\nMALWMRLLPLLALLALWGPDPAAA\n",
            &["protein.fa: record 1 (id ins), line 2", "looks like protein"],
        ),
        ("text.fa", "hello\n", &["text.fa", "line 1", "before the first header"]),
        ("hollow.fa", ">a\nACGT\n>b\n>c\nAC\n", &["hollow.fa: record 2 (id b) has no bases", "--skip-empty"]),
        ("cut.fq", "@a\nACGT\n+\nII", &["cut.fq: record 1 (id a)", "quality has 2 letters, sequence 4"]),
        // The fault is in the last record: found before the first is embedded.
        ("late.fa", ">a\nACGT\n>b\nACGT!\n", &["late.fa: record 2 (id b), line 4", "'!'"]),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        refuses(text(&path), MODEL, 1, words);
    }
    let mut cut = fs::read(LAMBDA).unwrap();
    cut.truncate(cut.len() / 2);
    let path = folder.path().join("cut.fa.gz");
    fs::write(&path, cut).unwrap();
    refuses(text(&path), MODEL, 1, &["cut.fa.gz", "truncated"]);
    refuses(text(&folder.path().join("none.fa")), MODEL, 3, &["none.fa"]);
}

#[test]
fn models_that_are_not_there_exit_3() {
    refuses(LAMBDA, "./no/such/folder", 3, &["./no/such/folder"]);
    refuses(LAMBDA, "not-a-model-name", 3, &["not-a-model-name"]);
    let empty = folder();
    refuses(LAMBDA, text(empty.path()), 3, &["config.json"]);
}

/// Without the feature nothing can compute there; with it, no machine has so many devices.
#[test]
fn a_device_that_is_not_there_exits_3_and_writes_nothing() {
    let folder = folder();
    let out = folder.path().join("a.npy");
    let device = if cfg!(feature = "cuda") { "cuda:4096" } else { "cuda" };
    kilobase(["embed", LAMBDA, "-m", MODEL, "-o", text(&out), "--device", device])
        .assert()
        .code(3)
        .stderr(predicate::str::starts_with("kilobase: error: ").and(predicate::str::contains("--device")));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
