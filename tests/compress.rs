//! `kilobase compress` and `decompress`, as users type them.

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use tempfile::TempDir;

use program::program;

const LAMBDA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lambda.fa.gz");

/// The program with nothing of the environment that changes what it does.
fn kilobase(folder: &TempDir, line: &str) -> Command {
    let mut command = program();
    command.current_dir(folder.path());
    command.args(line.split_whitespace());
    command
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("written");
    }
    folder
}

fn lambda() -> Vec<u8> {
    let mut text = Vec::new();
    let file = fs::File::open(LAMBDA).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(file), &mut text).unwrap();
    text
}

fn read(folder: &TempDir, name: &str) -> Vec<u8> {
    fs::read(folder.path().join(name)).unwrap()
}

const ODD: &[u8] = b">one with words\r\nACGTacgtNNNNRYK\r\n\r\n>two\nAC-GT*\n;not a header\n>\n\nUUACGU";

#[test]
fn a_genome_comes_back_byte_for_byte_in_less_than_two_bits_a_base() {
    let text = lambda();
    let folder = folder(&[("lambda.fa", &text)]);
    let output = kilobase(&folder, "compress lambda.fa --json").assert().success();
    let facts: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(facts["bytes"], text.len());
    assert!(facts["bits_per_base"].as_f64().unwrap() < 1.98, "{facts}");
    let packed = read(&folder, "lambda.fa.kbz");
    assert_eq!(facts["compressed"], packed.len());
    kilobase(&folder, "decompress lambda.fa.kbz")
        .assert()
        .code(1)
        .stderr(predicate::str::contains("lambda.fa"));
    kilobase(&folder, "decompress lambda.fa.kbz -o again.fa").assert().success();
    assert_eq!(read(&folder, "again.fa"), text);
}

#[test]
fn every_oddity_of_a_file_survives_pipes() {
    let folder = folder(&[]);
    let packed = kilobase(&folder, "compress - -q").write_stdin(ODD).assert().success().stderr("");
    let packed = packed.get_output().stdout.clone();
    let restored = kilobase(&folder, "decompress - -q").write_stdin(packed).assert().success();
    assert_eq!(restored.get_output().stdout, ODD);
    let empty = kilobase(&folder, "compress - -q").write_stdin("").assert().success();
    let empty = empty.get_output().stdout.clone();
    kilobase(&folder, "decompress -").write_stdin(empty).assert().success().stdout("");
}

#[test]
fn threads_and_runs_give_the_same_file() {
    let text = lambda().repeat(40);
    let folder = folder(&[("a.fa", &text)]);
    kilobase(&folder, "compress a.fa --block 1 -o one --threads 1").assert().success();
    kilobase(&folder, "compress a.fa --block 1 -o two --threads 2").assert().success();
    assert_eq!(read(&folder, "one"), read(&folder, "two"));
    kilobase(&folder, "decompress one -o a2.fa --threads 2").assert().success();
    assert_eq!(read(&folder, "a2.fa"), text);
}

#[test]
fn damage_is_told_with_its_block_and_leaves_no_file() {
    let folder = folder(&[("odd.fa", ODD)]);
    kilobase(&folder, "compress odd.fa").assert().success();
    let packed = read(&folder, "odd.fa.kbz");
    let mut damaged = packed.clone();
    damaged[40] ^= 1;
    for (bytes, text) in [
        (&damaged[..], "block 1 is damaged"),
        (&packed[..packed.len() - 3], "ends inside block 2"),
        (ODD, "not a file of kilobase compress"),
    ] {
        fs::write(folder.path().join("bad.kbz"), bytes).unwrap();
        let error = predicate::str::contains("bad.kbz").and(predicate::str::contains(text));
        kilobase(&folder, "decompress bad.kbz -o out").assert().code(1).stdout("").stderr(error);
        assert!(!folder.path().join("out").exists());
    }
    kilobase(&folder, "decompress odd.fa").assert().code(2);
    kilobase(&folder, "decompress absent.kbz").assert().code(3);
    kilobase(&folder, "compress odd.fa").assert().code(1).stderr(predicate::str::contains("odd.fa.kbz"));
    kilobase(&folder, "compress odd.fa --force").assert().success();
}

#[test]
fn report_stands_beside_other_compressors_and_a_decoder() {
    let text: Vec<u8> = lambda().into_iter().take(6000).collect();
    let folder = folder(&[("a.fa", &text)]);
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/generator-tiny");
    let line = format!("compress a.fa --report r.tsv --model {model} --neural-bases 600 --device cpu");
    kilobase(&folder, &line).assert().success();
    let report = String::from_utf8(read(&folder, "r.tsv")).unwrap();
    let lines: Vec<Vec<&str>> = report.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines[0][..4], ["#block", "bytes", "bases", "kilobase"]);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].len(), lines[1].len());
    let bits = |name: &str| -> f64 {
        let column =
            lines[0].iter().position(|cell| *cell == name).unwrap_or_else(|| panic!("{name}: {report}"));
        lines[1][column].parse().unwrap()
    };
    for peer in ["gzip_9", "xz_9", "zstd_19", "brotli_11"] {
        assert!(bits("kilobase") < bits(peer), "{peer}: {report}");
    }
    assert!(bits("generator") > 0.5, "a decoder of random weights knows nothing: {report}");
    assert!((bits("neural_bases") - 600.0).abs() < 1e-9);
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that checks nothing must say so")]
fn malformed_and_small_files_come_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !root.is_dir() {
        eprintln!("SKIPPED: {} is not there", root.display());
        return;
    }
    let mut files = Vec::new();
    collect(&root.join("malformed"), &mut files);
    collect(&root.join("corpus_dna"), &mut files);
    assert!(files.len() > 50, "{}", files.len());
    let text: Vec<u8> = files.iter().flat_map(|path| fs::read(path).unwrap()).collect();
    // One after the other in one file, and the first of them alone: a process each would take minutes.
    let folder = folder(&[("all", &text)]);
    kilobase(&folder, "compress all").assert().success();
    kilobase(&folder, "decompress all.kbz -o again").assert().success();
    assert_eq!(read(&folder, "again"), text);
    for path in &files {
        kilobase_codecs_check(path);
    }
}

/// The library's own round trip, in this process.
fn kilobase_codecs_check(path: &Path) {
    let bytes = fs::read(path).unwrap();
    if bytes.len() < 20_000 {
        kilobase::codecs::compress::fasta::check(&bytes, 1 << 12);
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
