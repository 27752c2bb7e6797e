//! Runs that are killed, repeated, cut short or only priced.

use crate::*;
use predicates::prelude::*;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_killed_run_goes_on_where_it_stopped_and_gives_the_same_bytes() {
    let folder = folder();
    let (fasta, out, whole) =
        (folder.path().join("many.fa"), folder.path().join("many.npy"), folder.path().join("whole.npy"));
    fs::write(&fasta, lambda().repeat(60)).unwrap();
    let line = |out: &Path| {
        let out = text(out).to_owned();
        [
            "embed".to_owned(),
            text(&fasta).to_owned(),
            "-m".into(),
            MODEL.into(),
            "--window".into(),
            "2000".into(),
            "-o".into(),
            out,
        ]
    };
    let program = assert_cmd::cargo::cargo_bin("kilobase");
    let mut child = Process::new(program)
        .args(line(&out))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let index = suffixed(&out, ".partial").join("index.jsonl");
    let patience = Instant::now() + Duration::from_mins(2);
    while !fs::metadata(&index).is_ok_and(|file| file.len() > 0) {
        assert!(Instant::now() < patience, "no portion was written");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(!out.exists(), "an unfinished run has no output");
    // Another plan is not mixed with what is there.
    let line_out = line(&out);
    let other = line_out.iter().map(String::as_str).chain(["--pool", "max"]);
    kilobase(other).assert().code(1).stderr(predicate::str::contains("pooling"));
    kilobase(line_out.iter().map(String::as_str))
        .assert()
        .success()
        .stderr(predicate::str::contains("going on after"));
    let line_whole = line(&whole);
    kilobase(line_whole.iter().map(String::as_str)).assert().success();
    assert_eq!(fs::read(&out).unwrap(), fs::read(&whole).unwrap());
    let index = |out: &Path| fs::read(suffixed(out, ".index.tsv")).unwrap();
    assert_eq!(index(&out), index(&whole));
}

#[test]
fn an_output_that_exists_is_not_replaced_unasked() {
    let folder = folder();
    let out = folder.path().join("a.npy");
    fs::write(&out, "mine").unwrap();
    let line = ["embed", LAMBDA, "-m", MODEL, "-o", text(&out)];
    kilobase(line).assert().code(1).stderr(predicate::str::contains("--force"));
    assert_eq!(fs::read(&out).unwrap(), b"mine");
    kilobase(line).arg("--force").assert().success();
}

#[test]
fn the_reader_of_our_output_may_leave_early() {
    let mut child = Process::new(assert_cmd::cargo::cargo_bin("kilobase"))
        .args(["embed", LAMBDA, "-m", MODEL, "--pool", "none", "-q"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn what_would_be_done_is_told_without_doing_it() {
    let folder = folder();
    let out = folder.path().join("a.npy");
    let line = ["embed", LAMBDA, "-m", MODEL, "--window", "2000", "-o", text(&out), "--dry-run", "--json"];
    let printed = kilobase(line).output().unwrap().stdout;
    let report: serde_json::Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(
        (&report["records"], &report["windows"], &report["bases"]),
        (&1.into(), &25.into(), &48502.into())
    );
    assert!(report["weights_bytes"].as_u64().unwrap() > 500_000);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
