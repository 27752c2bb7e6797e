//! `kilobase stats`, `tokenize` and `tokenizer`, as users type them.

mod program;

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use assert_cmd::Command;
use predicates::prelude::*;
use tempfile::TempDir;

use program::program;

const LAMBDA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lambda.fa.gz");
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/demo-model");
const GENERATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/generator-tiny");

/// The program with nothing of the environment that changes what it does.
fn kilobase(folder: &TempDir, line: &str) -> Command {
    let mut command = program();
    command.current_dir(folder.path());
    let places = line.replace("LAMBDA", LAMBDA).replace("DEMO", DEMO).replace("GENERATOR", GENERATOR);
    command.args(places.split_whitespace());
    command
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("written");
    }
    folder
}

fn stdout(folder: &TempDir, line: &str) -> String {
    String::from_utf8(kilobase(folder, line).assert().success().get_output().stdout.clone()).unwrap()
}

fn sequence_of(fasta: &str) -> String {
    fasta.lines().filter(|line| !line.starts_with('>')).collect()
}

#[test]
fn stats_are_a_table_or_a_document() {
    let folder = folder(&[("a.fa", b">x\nACGTN\n>y\nGG\n"), ("b.fq", b"@r\nACGT\n+\n!5?I\n")]);
    let table = stdout(&folder, "stats a.fa b.fq -q");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    let cell = |row: usize, name: &str| rows[row][rows[0].iter().position(|column| *column == name).unwrap()];
    assert_eq!(
        (cell(1, "file"), cell(1, "format"), cell(1, "records"), cell(1, "bases")),
        ("a.fa", "fasta", "2", "7")
    );
    assert_eq!(
        (cell(1, "n"), cell(1, "n50"), cell(1, "gc"), cell(1, "quality_mean")),
        ("1", "5", "0.6667", "")
    );
    assert_eq!(
        (cell(2, "format"), cell(2, "quality_mean"), cell(2, "q20"), cell(2, "q30")),
        ("fastq", "22.5000", "0.7500", "0.5000")
    );
    let document: serde_json::Value = serde_json::from_str(&stdout(&folder, "stats LAMBDA --json")).unwrap();
    assert_eq!(
        (document["files"][0]["bases"].as_u64(), document["files"][0]["records"].as_u64()),
        (Some(48_502), Some(1))
    );
}

#[test]
fn stats_refuse_damage_and_nothing() {
    let folder = folder(&[("cut.fq", b"@r\nACGT\n+\n!5\n"), ("none.fa", b"")]);
    kilobase(&folder, "stats cut.fq")
        .assert()
        .code(1)
        .stdout("")
        .stderr(predicate::str::contains("record 1 (id r), line 4"));
    kilobase(&folder, "stats none.fa").assert().code(1).stderr(predicate::str::contains("no records"));
    kilobase(&folder, "stats none.fa --allow-empty").assert().success();
    kilobase(&folder, "stats missing.fa").assert().code(3);
}

#[test]
fn tokens_come_back_as_the_genome_they_were() {
    let folder = folder(&[]);
    kilobase(&folder, "tokenize LAMBDA -t DEMO -o ids.npy --window 10000").assert().success();
    assert!(folder.path().join("ids.npy.meta.json").exists());
    let index = fs::read_to_string(folder.path().join("ids.npy.index.tsv")).unwrap();
    assert_eq!(index.lines().count(), 6);
    let from_npy = sequence_of(&stdout(&folder, "tokenizer decode ids.npy -t DEMO -q"));
    kilobase(&folder, "tokenize LAMBDA -t DEMO -o ids.tsv").assert().success();
    let from_tsv = sequence_of(&stdout(&folder, "tokenizer decode ids.tsv -t DEMO -q"));
    assert_eq!((from_npy.len(), &from_npy), (48_502, &from_tsv));
    kilobase(&folder, "tokenize LAMBDA -t DEMO -o ids.npy")
        .assert()
        .code(1)
        .stderr(predicate::str::contains("exists"));
    kilobase(&folder, "tokenize LAMBDA -t DEMO -o ids.safetensors --offsets").assert().success();
    let bytes = fs::read(folder.path().join("ids.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let ids = tensors.tensor("ids").unwrap();
    assert_eq!((ids.shape(), tensors.tensor("ends").unwrap().shape()), (ids.shape(), ids.shape()));
}

#[test]
fn unknown_letters_are_told_refused_or_allowed() {
    let folder = folder(&[("soft.fa", b">x\nACGTacgt\n")]);
    let line = "tokenize soft.fa -t DEMO --no-special";
    kilobase(&folder, line)
        .assert()
        .success()
        .stdout(predicate::str::ends_with(format!("\t{} 0 0 0 0\n", ids_of_acgt(&folder))))
        .stderr(predicate::str::contains("4 bases became 4 unknown tokens; --upper reads lower case"));
    kilobase(&folder, &format!("{line} --unknown error"))
        .assert()
        .code(1)
        .stderr(predicate::str::contains("no token for a at base 4"));
    kilobase(&folder, &format!("{line} --compat"))
        .assert()
        .success()
        .stderr(predicate::str::contains("warning").not());
    let upper = stdout(&folder, &format!("{line} --upper -q"));
    assert!(
        !upper.lines().nth(1).unwrap().split('\t').nth(4).unwrap().split(' ').any(|id| id == "0"),
        "{upper}"
    );
}

#[test]
fn regions_are_read_in_place_of_records() {
    let folder = folder(&[
        ("genome.fa", b">chr1\nAACCGGTTAA\n>chr2\nGATTACA\n"),
        ("genes.bed", b"#contig\nchr2\t0\t7\tall\nchr1\t2\t5\tback\t0\t-\n"),
        ("past.bed", b"chr1\t0\t4\nchr1\t8\t11\n"),
    ]);
    let table = stdout(&folder, "tokenize genome.fa --bed genes.bed -t DEMO --no-special -q");
    let cells: Vec<Vec<&str>> =
        table.lines().skip(1).map(|line| line.split('\t').take(3).collect()).collect();
    assert_eq!(cells, [["chr2:0-7", "0", "7"], ["chr1:2-5(-)", "0", "3"]]);
    let document: serde_json::Value =
        serde_json::from_str(&stdout(&folder, "stats genome.fa --bed genes.bed --json")).unwrap();
    // GATTACA, and CCG complemented.
    assert_eq!(document["files"][0]["a_c_g_t"], serde_json::json!([3, 2, 3, 2]));
    kilobase(&folder, "stats genome.fa --bed past.bed").assert().code(1).stdout("").stderr(
        predicate::str::contains("past.bed: line 2: ").and(predicate::str::contains("chr1 has 10 bases")),
    );
    kilobase(&folder, "stats - --bed genes.bed").assert().code(2);
    kilobase(&folder, "stats genome.fa --bed none.bed").assert().code(3);
}

#[test]
fn tokens_are_written_as_parquet() {
    let folder = folder(&[("a.fa", b">a\nACGTACGTAC\n")]);
    kilobase(&folder, "tokenize a.fa -t DEMO -o ids.parquet --offsets").assert().success();
    let file = fs::read(folder.path().join("ids.parquet")).unwrap();
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    assert!(folder.path().join("ids.parquet.meta.json").exists());
    assert!(!folder.path().join("ids.parquet.index.tsv").exists());
    kilobase(&folder, "tokenize a.fa -t DEMO --format parquet").assert().code(2);
}

fn ids_of_acgt(folder: &TempDir) -> String {
    fs::write(folder.path().join("acgt.fa"), ">x\nACGT\n").unwrap();
    let table = stdout(folder, "tokenize acgt.fa -t DEMO --no-special -q");
    table.lines().nth(1).unwrap().split('\t').nth(4).unwrap().to_owned()
}

#[test]
fn the_rest_of_kmers_is_unknown_or_dropped_from_the_left() {
    let folder = folder(&[("x.fa", b">x\nGGACGTAC\n")]);
    let line = "tokenize x.fa -t GENERATOR --no-special --offsets";
    kilobase(&folder, line)
        .assert()
        .success()
        .stderr(predicate::str::contains("2 bases became 1 unknown tokens"));
    let trimmed = stdout(&folder, &format!("{line} --trim"));
    assert_eq!(trimmed, "record\tstart\tend\tid\nx\t2\t8\t754\n");
    kilobase(&folder, "tokenize x.fa -t DEMO --trim").assert().code(2);
}

#[test]
fn a_trained_tokenizer_is_used_and_looked_into() {
    let folder = folder(&[]);
    kilobase(&folder, "tokenizer train LAMBDA --vocab 300 -o tokenizer.json")
        .assert()
        .success()
        .stderr(predicate::str::contains("vocabulary 300"));
    let facts: serde_json::Value =
        serde_json::from_str(&stdout(&folder, "tokenizer inspect LAMBDA -t tokenizer.json --json -q"))
            .unwrap();
    assert_eq!(
        (facts["vocabulary"].as_u64(), facts["encoder"].as_str()),
        (Some(300), Some("linear, exact to the reference"))
    );
    assert_eq!(facts["sequences"]["bases"], 48_502);
    assert!(facts["sequences"]["bases_per_token"].as_f64().unwrap() > 3.0, "{facts}");
    let text = stdout(&folder, "tokenizer inspect -t GENERATOR");
    assert!(text.contains("vocabulary\t4128\n") && text.contains("encoder\tk-mers\n"), "{text}");
    kilobase(&folder, "tokenize LAMBDA -t tokenizer.json -o ids.npy").assert().success();
    kilobase(&folder, "tokenizer train LAMBDA --vocab 3 -o other.json").assert().code(2);
    kilobase(&folder, "tokenizer train LAMBDA -o tokenizer.json").assert().code(1);
}

#[test]
fn a_reader_that_has_enough_ends_the_run_quietly() {
    let folder = folder(&[]);
    let program = assert_cmd::cargo::cargo_bin("kilobase");
    let mut child = std::process::Command::new(program)
        .args(["tokenize", LAMBDA, "-t", DEMO, "--offsets"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8(output.stderr).unwrap().contains("error")),
        (Some(0), false)
    );
}

#[test]
fn standard_input_is_read_and_its_damage_told() {
    let folder = folder(&[]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(b">x\nACGT\n").unwrap();
    let packed = packed.finish().unwrap();
    kilobase(&folder, "stats - --no-header")
        .write_stdin(packed.clone())
        .assert()
        .success()
        .stdout(predicate::str::contains("fasta\t1\t4"));
    kilobase(&folder, "stats -")
        .write_stdin(&packed[..packed.len() - 3])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("truncated"));
}
