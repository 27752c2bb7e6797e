//! Values in place of classes.

use std::fmt::Write;
use std::fs;

use predicates::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::{DECODER, ENCODER, files, kilobase, pretrained, text};

/// Tables of sequences whose value is 10 and half of their share of G and C in hundredths.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut seed = 1_u32;
    let mut next = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 24
    };
    let mut table = |name: &str, rows: usize| {
        let mut table = "sequence,label\n".to_owned();
        for _ in 0..rows {
            let share = next();
            let mut letter = || match (next() < share, next() < 128) {
                (true, true) => 'G',
                (true, false) => 'C',
                (false, true) => 'A',
                (false, false) => 'T',
            };
            let sequence: String = (0..40).map(|_| letter()).collect();
            let gc = sequence.chars().filter(|letter| "GC".contains(*letter)).count();
            let _ = writeln!(table, "{sequence},{}", 10.0 + 50.0 * gc as f64 / 40.0);
        }
        fs::write(folder.path().join(name), table).expect("written");
    };
    table("train.csv", 160);
    table("dev.csv", 40);
    table("test.csv", 60);
    folder
}

#[test]
fn values_are_learnt_measured_and_predicted() {
    let start = tempfile::tempdir().expect("a temporary folder");
    let decoder = pretrained(&start);
    let low_rank = "--learning-rate 1e-2 --epochs 14 --lora-rank 4 --best-by spearman --lora-target q_proj --lora-target v_proj \
                    --lora-target o_proj --lora-target down_proj";
    for (model, flags) in [(ENCODER, "--learning-rate 2e-3 --epochs 8"), (text(&decoder), low_rank)] {
        let folder = folder();
        let files = files(&folder);
        let line =
            ["finetune", text(&files.train), "--dev", text(&files.dev), "-m", model, "-o", text(&files.out)];
        kilobase(
            line.into_iter().chain(["--task", "regression", "--warmup", "5"]).chain(flags.split_whitespace()),
        )
        .assert()
        .success()
        .stderr(predicate::str::contains("values of mean 3").and(predicate::str::contains("dev spearman")));
        let config: Value =
            serde_json::from_slice(&fs::read(files.out.join("config.json")).unwrap()).unwrap();
        assert_eq!((&config["problem_type"], &config["num_labels"]), (&"regression".into(), &1.into()));
        let scale =
            ["kilobase_target_mean", "kilobase_target_deviation"].map(|key| config[key].as_f64().unwrap());
        let report = folder.path().join("report.html");
        let line = ["evaluate", text(&files.test), "-m", text(&files.out), "-q", "--report", text(&report)];
        let baseline = ["--train", text(&files.train), "--dev", text(&files.dev), "--k", "2"];
        let output = kilobase(line.into_iter().chain(baseline)).assert().success();
        let table = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
        assert_eq!(rows[0], ["method", "sequences", "rmse", "mae", "pearson", "spearman", "r2"]);
        assert!(
            rows.len() == 3 && rows[2][0].starts_with("ridge regression, 1- to 2-mers, penalty "),
            "{table}"
        );
        let number = |row: usize, column: usize| rows[row][column].parse::<f64>().unwrap();
        assert!(number(1, 5) > 0.6 && number(1, 6) > 0.2, "{flags}: {table}");
        // Composition is a linear function of 1-mers.
        assert!(number(2, 6) > 0.98, "{table}");
        let html = fs::read_to_string(&report).unwrap();
        assert_eq!((html.matches("<h2>").count(), html.matches("<svg").count()), (2, 2));
        // 60 sequences by two methods.
        assert_eq!(html.matches("h0").count(), 120);
        assert!(html.contains(&format!(">{}<", rows[1][2])));
        // The same numbers from JSON, and by hand from what is predicted.
        let json =
            kilobase(["evaluate", text(&files.test), "-m", text(&files.out), "--json"]).assert().success();
        let json: Value = serde_json::from_slice(&json.get_output().stdout).unwrap();
        let measures = &json["methods"][0]["measures"];
        assert!((measures["rmse"].as_f64().unwrap() - number(1, 2)).abs() < 1e-4, "{json}");
        let (mut fasta, mut truth) = (String::new(), Vec::new());
        for (n, line) in fs::read_to_string(&files.test).unwrap().lines().skip(1).enumerate() {
            let (sequence, value) = line.split_once(',').unwrap();
            let _ = writeln!(fasta, ">s{n} value={value}\n{sequence}");
            truth.push(value.parse::<f64>().unwrap());
        }
        let path = folder.path().join("test.fa");
        fs::write(&path, fasta).unwrap();
        let predicted = predict(text(&path), text(&files.out));
        let errors = predicted.iter().zip(&truth).map(|(p, t)| (p - t).abs());
        let mae = errors.sum::<f64>() / 60.0;
        assert!((mae - measures["mae"].as_f64().unwrap()).abs() < 1e-4, "{mae} {json}");
        // Labels from headers of FASTA are the same.
        let again = kilobase(["evaluate", text(&path), "-m", text(&files.out), "-q"]).assert().success();
        assert_eq!(String::from_utf8_lossy(&again.get_output().stdout).lines().nth(1), table.lines().nth(1));
        // A checkpoint of Hugging Face says no scale: its head's number is the value.
        let mut plain = config.clone();
        plain
            .as_object_mut()
            .unwrap()
            .retain(|key, _| !key.starts_with("kilobase_target") && key != "num_labels");
        fs::write(files.out.join("config.json"), plain.to_string()).unwrap();
        for (standard, value) in predict(text(&path), text(&files.out)).iter().zip(&predicted) {
            assert!((scale[0] + scale[1] * standard - value).abs() < 1e-4, "{standard} {value}");
        }
    }
}

/// The column of values.
fn predict(fasta: &str, model: &str) -> Vec<f64> {
    let output = kilobase(["predict", fasta, "-m", model, "-q"]).assert().success();
    let table = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("record\tvalue"));
    lines.map(|line| line.split_once('\t').unwrap().1.parse().unwrap()).collect()
}

#[test]
fn labels_that_are_no_values_and_tasks_that_differ_are_refused() {
    let folder = folder();
    let files = files(&folder);
    let bad = folder.path().join("bad.csv");
    let run = |train: &str, dev: &str, more: &[&str], code: i32| {
        let line =
            ["finetune", train, "--dev", dev, "-m", DECODER, "-o", text(&files.out), "--task", "regression"];
        let assert = kilobase(line.into_iter().chain(more.iter().copied())).assert().code(code);
        assert!(!files.out.exists());
        String::from_utf8(assert.get_output().stderr.clone()).unwrap()
    };
    for label in ["high", "nan", "inf", "1,5x,"] {
        // A table ends at the second column.
        let shown = label.split(',').next().unwrap();
        fs::write(&bad, format!("sequence,label\nACGTACGT,1.5\nACGTACGT,{label}\n")).unwrap();
        let error = if shown == "1" { continue } else { run(text(&bad), text(&files.dev), &[], 1) };
        let expected = format!("bad.csv: line 3 has the label \"{shown}\", which is no finite number");
        assert!(error.contains(&expected), "{error}");
        assert!(run(text(&files.train), text(&bad), &[], 1).contains(&expected));
    }
    fs::write(&bad, "sequence,label\nACGTACGT,0.1\nACGTACGA,0.1\nACGTACGC,0.1\n").unwrap();
    let error = run(text(&bad), text(&files.dev), &[], 1);
    assert!(error.contains("a regression needs values that differ"), "{error}");
    fs::write(&bad, ">a value=1\nACGTACGT\n>b class=2\nACGTACGA\n").unwrap();
    let error = run(text(&bad), text(&files.dev), &[], 1);
    assert!(error.contains("record 2 (id b) has no label: write value= in its header"), "{error}");
    let error = run(text(&files.train), text(&files.dev), &["--best-by", "mcc"], 2);
    assert!(error.contains("--best-by mcc"), "{error}");
    // Values that are taken for classes are told.
    kilobase([
        "finetune",
        text(&files.train),
        "--dev",
        text(&files.train),
        "-m",
        DECODER,
        "-o",
        text(&files.out),
    ])
    .args(["--max-steps", "1"])
    .assert()
    .success()
    .stderr(predicate::str::contains("--task regression would predict them as such"));
    kilobase(["evaluate", text(&files.test), "-m", text(&files.out), "--task", "regression"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("is a classifier"));
    // Without a model the labels are what --task says.
    let line =
        ["evaluate", text(&files.test), "--train", text(&files.train), "--dev", text(&files.dev), "--k", "2"];
    kilobase(line.into_iter().chain(["--task", "regression", "-q"]))
        .assert()
        .success()
        .stdout(predicate::str::contains("\nridge regression"));
    // A test set of one value has no correlation, and says so.
    fs::write(&bad, "sequence,label\nACGTACGT,0.1\nACGGACGA,0.1\nACCTCCGC,0.1\n").unwrap();
    let line = ["evaluate", text(&bad), "--train", text(&files.train), "--dev", text(&files.dev), "--k", "2"];
    kilobase(line.into_iter().chain(["--task", "regression", "-q"]))
        .assert()
        .success()
        .stdout(predicate::str::contains("\tNA\tNA\tNA\n"));
    let problem = "\"problem_type\": \"multi_label_classification\"";
    let config = files.out.join("config.json");
    let changed = fs::read_to_string(&config)
        .unwrap()
        .replace("\"problem_type\": \"single_label_classification\"", problem);
    fs::write(&config, changed).unwrap();
    kilobase(["predict", text(&files.out.join("none.fa")), "-m", text(&files.out)]).assert().failure();
    kilobase(["evaluate", text(&files.test), "-m", text(&files.out)]).assert().code(1).stderr(
        predicate::str::contains("config.json").and(predicate::str::contains("multi_label_classification")),
    );
}
