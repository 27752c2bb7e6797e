//! `kilobase archive` and `kilobase codec`, as users type them.

mod program;

use std::fs;
use std::io::Write;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;

use predicates::str::contains;
use program::program;
use tempfile::TempDir;

fn kilobase(folder: &Path, line: &str) -> Command {
    let mut command = program();
    command.current_dir(folder).args(line.split_whitespace());
    command
}

/// A folder with a file to keep, of bytes that do not repeat.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut state = 1_u64;
    let bytes: Vec<u8> = (0..6000)
        .map(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    fs::write(folder.path().join("book.bin"), bytes).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn same(folder: &Path, other: &str) -> bool {
    fs::read(folder.join("book.bin")).unwrap() == fs::read(folder.join(other)).unwrap()
}

#[test]
fn file_goes_through_noise_and_comes_back() {
    let folder = folder();
    let at = folder.path();
    kilobase(at, "archive encode book.bin -o pool.fa --avoid EcoRI,BamHI").assert().success().stdout("");
    kilobase(at, "archive simulate pool.fa -o reads.fq --channel hedges --seed 3").assert().success();
    kilobase(at, "archive decode reads.fq -o back.bin --manifest pool.fa.manifest.json")
        .assert()
        .success()
        .stderr(contains("bytes 6000"));
    assert!(same(at, "back.bin"));
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(at.join("back.bin.report.json")).unwrap()).unwrap();
    assert!(
        report["groups"][0]["restored"].as_bool().unwrap()
            && report["groups"][0]["erasures"].as_u64() > Some(0)
    );
    assert!(report["understood_edits"]["substitutions"].as_u64() > Some(0));
    let table = fs::read_to_string(at.join("back.bin.report.tsv")).unwrap();
    assert!(table.starts_with("group\tstrands\tread\terasures") && table.lines().count() == 2);
    // The same command again would overwrite.
    kilobase(at, "archive decode reads.fq -o back.bin --manifest pool.fa.manifest.json").assert().code(1);
    let twice =
        kilobase(at, "archive simulate pool.fa --channel hedges --seed 3 -q").output().unwrap().stdout;
    assert_eq!(twice, fs::read(at.join("reads.fq")).unwrap(), "a seed gives the same reads");
}

#[test]
fn preset_is_recognised_and_streams_are_piped() {
    let folder = folder();
    let at = folder.path();
    let book = fs::read(at.join("book.bin")).unwrap();
    let pool = kilobase(at, "archive encode - -o - --preset dense200 --compress -q")
        .write_stdin(book.clone())
        .output()
        .unwrap();
    assert!(pool.status.success());
    let back = kilobase(at, "archive decode - -o -").write_stdin(pool.stdout).output().unwrap();
    assert_eq!(back.stdout, book);
    assert!(String::from_utf8(back.stderr).unwrap().contains("1 words of 200 nucleotides"));
    assert_eq!(names(at), ["book.bin"]);
}

#[test]
fn dry_run_prices_the_pool_and_writes_nothing() {
    let folder = folder();
    let line = "archive encode book.bin -o pool.fa --dry-run --price 0.001 --json --length 64 --words 2 --codebook hamming";
    let output = kilobase(folder.path(), line).output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let strands = summary["strands"].as_u64().unwrap();
    assert_eq!(summary["nucleotides"].as_u64().unwrap(), strands * (129 + 40));
    let cents = summary["cost"].as_f64().unwrap() * 100.0;
    assert!((cents - strands as f64 * 16.9).abs() <= 0.51, "{cents}");
    assert!(summary["bits_per_nt"].as_f64().unwrap() > 1.0);
    assert_eq!(names(folder.path()), ["book.bin"]);
}

#[test]
fn too_great_a_loss_is_one_error_and_no_file() {
    let folder = folder();
    let at = folder.path();
    kilobase(at, "archive encode book.bin -o pool.fa").assert().success();
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(at.join("pool.fa.manifest.json")).unwrap()).unwrap();
    let parity = manifest["parity_strands"].as_u64().unwrap() as usize;
    let pool = fs::read_to_string(at.join("pool.fa")).unwrap();
    let lines: Vec<&str> = pool.lines().collect();
    fs::write(at.join("some.fa"), lines[2 * parity..].join("\n")).unwrap();
    fs::write(at.join("few.fa"), lines[2 * parity + 2..].join("\n")).unwrap();
    kilobase(at, "archive decode some.fa -o some.bin --manifest pool.fa.manifest.json").assert().success();
    assert!(same(at, "some.bin"));
    kilobase(at, "archive decode few.fa -o few.bin --manifest pool.fa.manifest.json")
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("cause: group 0 misses 1: ").and(contains("would have served")));
    assert!(!at.join("few.bin").exists() && at.join("few.bin.report.tsv").exists());
}

/// Files can become 2 or 4 kB long, as on a disk that is full: less than the pool and the file.
#[cfg(unix)]
#[test]
fn full_disk_is_one_error_and_no_file() {
    let folder = folder();
    let at = folder.path();
    let fails = |line: &str, words: &str| {
        // A process that ignores the signal is told by an error.
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" \"$@\""]).arg(program().get_program());
        let failure = shell.current_dir(at).args(line.split_whitespace()).assert().code(1).stdout("");
        failure.stderr(contains(words).and(contains("File too large")));
    };
    fails("archive encode book.bin -o pool.fa", "pool.fa");
    assert_eq!(names(at), ["book.bin"]);
    kilobase(at, "archive encode book.bin -o pool.fa").assert().success();
    let before = names(at);
    fails("archive decode pool.fa -o back.bin --manifest pool.fa.manifest.json", "back.bin");
    let reports = ["back.bin.report.json", "back.bin.report.tsv"].map(str::to_owned);
    assert_eq!(names(at), [&reports[..], &before].concat());
}

#[test]
fn bad_input_is_one_clear_error() {
    let folder = folder();
    let at = folder.path();
    kilobase(at, "archive encode book.bin -o pool.fa").assert().success();
    let fails = |line: &str, code: i32, words: &str| {
        kilobase(at, line).assert().code(code).stdout("").stderr(contains(words));
        assert!(!at.join("out").exists(), "{line}");
    };
    let json = fs::read_to_string(at.join("pool.fa.manifest.json")).unwrap();
    fs::write(at.join("flipped.json"), json.replace("\"groups\": 1", "\"groups\": 3")).unwrap();
    fails(
        "archive decode pool.fa -o out --manifest flipped.json",
        1,
        "flipped.json: was changed after it was written",
    );
    fs::write(at.join("foreign.fa"), ">a\nACGTACGTTAGCATCGACTTAGC\n").unwrap();
    fails(
        "archive decode foreign.fa -o out --manifest pool.fa.manifest.json",
        1,
        "none of 1 reads is a strand",
    );
    fails("archive decode foreign.fa -o out", 1, "none of 1 reads is a strand");
    fs::write(at.join("empty.fa"), "").unwrap();
    fails("archive decode empty.fa -o out --manifest pool.fa.manifest.json", 1, "empty.fa");
    fails("archive decode none.fa -o out", 3, "none.fa");
    fails("archive decode pool.fa -o out --manifest none.json", 3, "none.json");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&fs::read(at.join("pool.fa")).unwrap()).unwrap();
    let gz = gz.finish().unwrap();
    fs::write(at.join("cut.fa.gz"), &gz[..gz.len() / 2]).unwrap();
    fails("archive decode cut.fa.gz -o out --manifest pool.fa.manifest.json", 1, "cut.fa.gz");
    // Another file's pool in place of half of this one.
    kilobase(at, "archive encode pool.fa -o other.fa").assert().success();
    fails(
        "archive decode other.fa -o out --manifest pool.fa.manifest.json",
        1,
        "cannot restore the file from other.fa",
    );
    fails("archive encode book.bin -o out --avoid EcoRX", 2, "EcoRX");
    fails("archive encode book.bin -o out --redundancy 2", 2, "redundancy is 2");
    fails("archive encode book.bin -o out --length 65", 2, "no divisor is listed");
    fails("archive encode book.bin -o out --forward-primer ACGN", 2, "forward_primer");
    fails("archive simulate pool.fa -o out --sub 3", 2, "substitution of 3");
    fails("archive simulate empty.fa -o out", 1, "empty.fa");
}

#[test]
fn words_are_encoded_and_corrected() {
    let folder = folder();
    let codec = |line: &str| {
        let output = kilobase(folder.path(), line).output().unwrap();
        assert!(output.status.success(), "{line}");
        String::from_utf8(output.stdout).unwrap()
    };
    // A vector of shared/specs: l = 1, m = 8, message 20, complement.
    assert_eq!(codec("codec encode --run-limit 1 --length 8 --complement 20"), "CATAGATA\n");
    let rows = codec("codec decode --run-limit 1 --length 8 CATAGATA CACAGATA ATAGATA");
    let rows: Vec<Vec<&str>> = rows.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[1][1..], ["clean", "20", "true", "0", ".", "CATAGATA"]);
    assert_eq!(rows[2][1..], ["corrected", "20", "true", "1", "2", "CATAGATA"]);
    assert_eq!(rows[3][1..], ["deletion", "20", "true", "1", ".", "CATAGATA"]);
    let table = codec("codec table --run-limit 3 --length 64");
    assert!(table.contains("3\t64\tresidue\t82343\t126\t109\t1.6769\t0.846\n"), "{table}");
    assert!(table.contains("3\t64\thamming\t.\t126\t117\t1.8000\t0.908\n"), "{table}");
    kilobase(folder.path(), "codec encode --length 8 1000000").assert().code(1).stderr(contains("2^5"));
    kilobase(folder.path(), "codec decode --length 8 ACGTNACG")
        .assert()
        .code(1)
        .stderr(contains("item 1: position 4"));
    kilobase(folder.path(), "codec encode --length 8 --divisor 4 1")
        .assert()
        .code(2)
        .stderr(contains("divisor 4"));
}
