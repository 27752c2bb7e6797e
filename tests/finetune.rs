//! `kilobase finetune`, `predict` and `evaluate` as users type them, on sequences that differ in one motif or in their composition.

#[path = "finetune/cut.rs"]
mod cut;
mod program;
#[path = "finetune/regression.rs"]
mod regression;

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use tempfile::TempDir;

use program::program;

/// A decoder of random weights.
const DECODER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/generator-tiny");
/// A small decoder, which is trained for a moment.
const RECIPE: &str = r#"
goal = "causal"
[model]
model_type = "llama"
hidden_size = 32
num_hidden_layers = 1
num_attention_heads = 2
intermediate_size = 48
[tokenizer]
kmer = 3
[[data]]
name = "lambda"
files = ["lambda.fa.gz"]
[batch]
window = 192
windows = 4
[optimizer]
learning_rate = 3e-3
[schedule]
steps = 60
[held_out]
markov = 0
"#;
/// A DNABERT-2 of random weights.
const ENCODER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/demo-model");

/// The program with nothing of the environment that changes what it does.
fn kilobase<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = program();
    command.args(arguments);
    command
}

/// Tables of sequences; those of class `tata` have a motif at a fixed place.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut seed = 1_u32;
    let mut table = |name: &str, rows: usize| {
        let mut text = "sequence,label\n".to_owned();
        for row in 0..rows {
            let mut sequence: Vec<u8> = (0..36)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    b"ACGT"[(seed >> 30) as usize]
                })
                .collect();
            if row % 2 == 1 {
                sequence[12..24].copy_from_slice(b"TATAAATATAAA");
            }
            text += std::str::from_utf8(&sequence).unwrap();
            text += if row % 2 == 1 { ",tata\n" } else { ",other\n" };
        }
        fs::write(folder.path().join(name), text).expect("written");
    };
    table("train.csv", 160);
    table("dev.csv", 40);
    table("test.csv", 60);
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

struct Files {
    train: PathBuf,
    dev: PathBuf,
    test: PathBuf,
    out: PathBuf,
}

fn files(folder: &TempDir) -> Files {
    let at = |name: &str| folder.path().join(name);
    Files { train: at("train.csv"), dev: at("dev.csv"), test: at("test.csv"), out: at("out") }
}

/// A decoder of the recipe.
fn pretrained(folder: &TempDir) -> PathBuf {
    let lambda = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lambda.fa.gz");
    fs::copy(lambda, folder.path().join("lambda.fa.gz")).expect("copied");
    fs::write(folder.path().join("recipe.toml"), RECIPE).expect("written");
    let decoder = folder.path().join("run");
    let recipe = folder.path().join("recipe.toml");
    kilobase(["pretrain", text(&recipe), "-o", text(&decoder), "-q"]).assert().success();
    decoder
}

/// The Matthews correlation of each method in a table of `evaluate`.
fn mcc(table: &str) -> Vec<f64> {
    table.lines().skip(1).map(|line| line.split('\t').nth(3).unwrap().parse().unwrap()).collect()
}

#[test]
fn classifiers_are_trained_measured_and_used() {
    let start = tempfile::tempdir().expect("a temporary folder");
    let decoder = pretrained(&start);
    let low_rank = "--learning-rate 1e-2 --epochs 14 --warmup 5 --lora-rank 4 --lora-target q_proj --lora-target v_proj \
                    --lora-target o_proj --lora-target down_proj";
    for (model, flags) in [
        (ENCODER, "--learning-rate 2e-3 --epochs 6 --warmup 5"),
        (text(&decoder), "--learning-rate 3e-3 --epochs 10 --warmup 5"),
        (text(&decoder), low_rank),
    ] {
        let folder = folder();
        let files = files(&folder);
        let line =
            ["finetune", text(&files.train), "--dev", text(&files.dev), "-m", model, "-o", text(&files.out)];
        kilobase(line.into_iter().chain(flags.split_whitespace()))
            .assert()
            .success()
            .stderr(predicate::str::contains("2 classes").and(predicate::str::contains("best step")));
        let line = ["evaluate", text(&files.test), "-m", text(&files.out), "-q"];
        let baseline = ["--train", text(&files.train), "--dev", text(&files.dev), "--k", "4"];
        let report = folder.path().join("report.html");
        let page = ["--report", text(&report)];
        let output = kilobase(line.into_iter().chain(baseline).chain(page)).assert().success();
        let table = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        let found = mcc(&table);
        assert_eq!(found.len(), 2, "{table}");
        assert!(found[0] > 0.8 && found[1] > 0.8, "{flags}: {table}");
        let html = fs::read_to_string(&report).unwrap();
        for cell in table.lines().flat_map(|line| line.split('\t')) {
            assert!(html.contains(&format!(">{cell}<")), "{cell}");
        }
        assert_eq!((html.matches("<h2>").count(), html.matches("<svg").count()), (2, 2));
        // The same classes for the same sequences, from FASTA.
        let fasta = folder.path().join("a.fa");
        fs::write(
            &fasta,
            ">a\nACGTGGCATCGATATAAATATAAACGGCATTACGGA\n>b\nACGTGGCATCGACCGTACGGTTACCGGCATTACGGA\n",
        )
        .unwrap();
        kilobase(["predict", text(&fasta), "-m", text(&files.out), "-q"]).assert().success().stdout(
            predicate::str::contains("record\tclass\tp_other\tp_tata\na\ttata\t")
                .and(predicate::str::contains("\nb\tother\t")),
        );
        assert!(!Path::new(&format!("{}.partial", text(&files.out))).exists());
        let adapter = files.out.join("adapter");
        assert_eq!(adapter.join("adapter_config.json").is_file(), flags.contains("lora"));
        assert_eq!(adapter.join("adapter_model.safetensors").is_file(), flags.contains("lora"));
    }
}

#[test]
fn labels_that_cannot_be_learnt_are_refused_by_name() {
    let folder = folder();
    let files = files(&folder);
    let run = |train: &Path, dev: &Path| {
        let line = ["finetune", text(train), "--dev", text(dev), "-m", DECODER, "-o", text(&files.out)];
        let assert = kilobase(line).assert().failure();
        assert!(!files.out.exists());
        String::from_utf8(assert.get_output().stderr.clone()).unwrap()
    };
    let other = folder.path().join("other.csv");
    fs::write(&other, "sequence,label\nACGTACGT,tata\nACGTACGT,gcbox\n").unwrap();
    let error = run(&files.train, &other);
    assert!(
        error.contains(
            "other.csv: line 3 is of class gcbox, which the training set has not; it has other, tata"
        ),
        "{error}"
    );
    fs::write(&other, "sequence,label\nACGTACGT,tata\n").unwrap();
    assert!(
        run(&other, &files.dev).contains("at least two classes are needed; the training set has one (tata)")
    );
    fs::write(&other, "sequence,label\nACGTACGT\n").unwrap();
    assert!(run(&other, &files.dev).contains("other.csv: line 2"));
    fs::write(&other, "sequence,label\nACGTACGT,tata\nACGTACGT,\n").unwrap();
    assert!(run(&other, &files.dev).contains("other.csv: line 3: \"ACGTACGT,\" has no class"));
    fs::write(&other, ">a class=tata\nACGTACGT\n>b class=\nACGTACGT\n").unwrap();
    assert!(run(&other, &files.dev).contains("record 2 (id b) has no label: write class= in its header"));
    let line =
        ["finetune", text(&files.train), "--dev", text(&files.dev), "-m", DECODER, "-o", text(&files.out)];
    kilobase(line.into_iter().chain(["--lora-rank", "2", "--lora-target", "query"]))
        .assert()
        .failure()
        .stderr(
            predicate::str::contains("no module ends in query; there are")
                .and(predicate::str::contains("q_proj")),
        );
    assert!(!folder.path().join("out.partial").exists(), "what was not begun leaves nothing");
    // A model that is no classifier predicts nothing.
    kilobase(["evaluate", text(&files.test), "-m", DECODER])
        .assert()
        .failure()
        .stderr(predicate::str::contains("kilobase finetune makes a classifier"));
}

#[test]
fn training_that_explodes_is_told_and_leaves_no_model() {
    let folder = folder();
    let files = files(&folder);
    let line =
        ["finetune", text(&files.train), "--dev", text(&files.dev), "-m", DECODER, "-o", text(&files.out)];
    kilobase(line.into_iter().chain(["--learning-rate", "1e30", "--warmup", "0", "--save-every", "1"]))
        .assert()
        .code(1)
        .stderr(predicate::str::contains("kilobase: error: step ").and(predicate::str::contains(
            "a lower learning rate, stronger clipping or a longer warm-up may help",
        )));
    assert!(!files.out.exists());
    // A development set without one of the classes is told, and used.
    fs::write(&files.dev, "sequence,label\nACGTACGTACGTACGT,tata\n").unwrap();
    kilobase(line.into_iter().chain(["--max-steps", "1", "--restart"]))
        .assert()
        .success()
        .stderr(predicate::str::contains("dev.csv: no sequence is of class other"));
}

#[test]
fn a_suite_measures_what_is_there_beside_what_is_published() {
    let folder = folder();
    let data = folder.path().join("gue");
    for (task, parts) in [("tf/0", &["train", "dev", "test"][..]), ("EMP/H3", &["dev", "test"])] {
        fs::create_dir_all(data.join(task)).expect("a folder");
        for part in parts {
            let name = format!("{part}.csv");
            fs::copy(folder.path().join(&name), data.join(task).join(&name)).expect("copied");
        }
    }
    let line =
        ["evaluate", "--suite", "gue", "--data", text(&data), "-m", ENCODER, "--learning-rate", "2e-3"];
    let output = kilobase(line).assert().success().stderr(predicate::str::contains("EMP/H3: left out"));
    let table = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows.len(), 4, "{table}");
    assert!(rows.iter().all(|row| row[0] == "tf/0"));
    assert!(rows[0][1].ends_with("fine-tuned") && rows[1][1].contains("frozen"), "{table}");
    assert!(rows[..3].iter().all(|row| row[2] == "60"), "{table}");
    let mcc = |row: usize| rows[row][4].parse::<f64>().unwrap();
    assert!(mcc(0) > 0.5 && mcc(1) > 0.3 && mcc(2) > 0.8, "{table}");
    assert_eq!(rows[3][1..5], ["published: DNABERT-2-117M", "NA", "NA", "0.7199"]);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).expect("a folder");
    kilobase(["evaluate", "--suite", "gue", "--data", text(&empty), "-m", ENCODER])
        .assert()
        .failure()
        .stderr(predicate::str::contains("holds no task of GUE"));
}
