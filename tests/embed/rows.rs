//! What a row is of, in every format.

use crate::*;
use predicates::prelude::*;

#[test]
fn a_genome_becomes_one_row_a_window_with_its_place() {
    let folder = folder();
    let out = folder.path().join("lambda.npy");
    kilobase(["embed", LAMBDA, "-m", MODEL, "--window", "2000", "--overlap", "200", "-o", text(&out)])
        .assert()
        .success()
        .stdout("")
        .stderr(predicate::str::contains("records 1, bases 53702, windows 27"));
    let (shape, values) = npy(&out);
    assert_eq!(shape, [27, WIDTH]);
    assert!(values.iter().all(|x| x.is_finite()) && values.iter().any(|x| x.abs() > 0.1));
    let index = lines(&suffixed(&out, ".index.tsv"));
    assert_eq!(index[0], ["row", "record", "start", "end", "tokens"]);
    assert_eq!(index[2][2..4], ["1800", "3800"]);
    assert_eq!(index[27][2..4], ["46800", "48502"], "the tail is not dropped");
    let metadata: serde_json::Value =
        serde_json::from_slice(&fs::read(suffixed(&out, ".meta.json")).unwrap()).unwrap();
    for key in ["model_name", "inputs", "layer", "pooling", "seed", "kilobase", "window", "sequences_sha256"]
    {
        assert!(!metadata[key].is_null(), "{key}");
    }
    for key in ["family", "weights_sha256", "tokenizer_sha256", "dtype"] {
        assert!(metadata["model"][key].is_string(), "{key}");
    }
    assert!(!suffixed(&out, ".partial").exists());
}

#[test]
fn every_format_holds_the_same_numbers() {
    let folder = folder();
    let out = |name: &str| folder.path().join(name);
    for name in ["a.npy", "a.safetensors", "a.tsv"] {
        kilobase(["embed", LAMBDA, "-m", MODEL, "--window", "10000", "-q", "-o", text(&out(name))])
            .assert()
            .success()
            .stderr("");
    }
    let (shape, values) = npy(&out("a.npy"));
    let bytes = fs::read(out("a.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = tensors.tensor("embeddings").unwrap();
    assert_eq!((tensor.shape(), floats(tensor.data())), (&shape[..], values.clone()));
    let table = lines(&out("a.tsv"));
    let from_text: Vec<f32> =
        table[1..].iter().flat_map(|row| &row[4..]).map(|cell| cell.parse().unwrap()).collect();
    assert_eq!(from_text, values);
    assert_eq!(table[0][..5], ["record", "start", "end", "tokens", "e0"]);
    // Standard output is the table, and nothing else.
    let printed = kilobase(["embed", LAMBDA, "-m", MODEL, "--window", "10000"]).output().unwrap().stdout;
    assert_eq!(printed, fs::read(out("a.tsv")).unwrap());
}

#[test]
fn input_may_be_plain_compressed_or_piped_and_gives_the_same() {
    let folder = folder();
    let plain = folder.path().join("lambda.fa");
    fs::write(&plain, lambda()).unwrap();
    let from_file = kilobase(["embed", text(&plain), "-m", MODEL]).output().unwrap();
    let from_gzip = kilobase(["embed", LAMBDA, "-m", MODEL]).output().unwrap();
    let from_pipe = kilobase(["embed", "-", "-m", MODEL]).write_stdin(lambda()).output().unwrap();
    assert!(!from_file.stdout.is_empty());
    assert_eq!(from_file.stdout, from_gzip.stdout);
    assert_eq!(from_file.stdout, from_pipe.stdout);
}

#[test]
fn order_of_output_is_order_of_input() {
    let folder = folder();
    let reads = folder.path().join("reads.fq");
    let bases = lambda();
    let bases: Vec<u8> = bases.split(|b| *b == b'\n').skip(1).flatten().copied().collect();
    let mut fastq = String::new();
    for (number, length) in [700, 30, 200, 31, 1, 500].into_iter().enumerate() {
        let sequence = std::str::from_utf8(&bases[number * 800..][..length]).unwrap();
        let record = ["@r", &number.to_string(), "\n", sequence, "\n+\n", &"I".repeat(length), "\n"];
        fastq.extend(record);
    }
    fs::write(&reads, fastq).unwrap();
    let run = |extra: &[&str]| {
        let out = folder.path().join("reads.tsv");
        let arguments = ["embed", text(&reads), "-m", MODEL, "--force", "-o", text(&out)];
        kilobase(arguments.iter().chain(extra).copied()).assert().success();
        lines(&out)
    };
    let table = run(&[]);
    let ids: Vec<&str> = table[1..].iter().map(|row| row[0].as_str()).collect();
    assert_eq!(ids, ["r0", "r1", "r2", "r3", "r4", "r5"]);
    // Neither the company in a batch nor the number of threads changes a row beyond rounding.
    for other in [run(&["--batch-tokens", "1"]), run(&["--threads", "1"])] {
        for (a, b) in table[1..].iter().zip(&other[1..]) {
            assert_eq!(a[..4], b[..4]);
            for (a, b) in a[4..].iter().zip(&b[4..]) {
                let (a, b): (f32, f32) = (a.parse().unwrap(), b.parse().unwrap());
                assert!((a - b).abs() < 1e-5, "{a} and {b}");
            }
        }
    }
}

#[test]
fn tokens_have_rows_of_their_own_with_the_bases_they_stand_for() {
    let folder = folder();
    let (fasta, out) = (folder.path().join("a.fa"), folder.path().join("a.tsv"));
    fs::write(&fasta, ">a\nACGTNNACGTacgtTTTTGGNCA\n").unwrap();
    kilobase(["embed", text(&fasta), "-m", MODEL, "--pool", "none", "--layer", "0", "-o", text(&out)])
        .assert()
        .success()
        .stderr(predicate::str::contains("4 of 23 letters are lower case"))
        .stderr(predicate::str::contains("are unknown to the tokenizer"));
    let table = lines(&out);
    assert_eq!(table[0][4..6], ["token_start", "token_end"]);
    let spans: Vec<(usize, usize)> =
        table[1..].iter().map(|row| (row[4].parse().unwrap(), row[5].parse().unwrap())).collect();
    let covered: usize = spans.iter().map(|(start, end)| end - start).sum();
    assert_eq!(covered, 23, "every base is in one token: {spans:?}");
    assert_eq!(spans.len(), table[1][3].parse::<usize>().unwrap());
}

#[test]
fn windows_of_a_record_become_one_row() {
    let run = |how: &str| {
        let line = ["embed", LAMBDA, "-m", MODEL, "--window", "9000", "--aggregate", how];
        let printed = kilobase(line).output().unwrap().stdout;
        let rows = String::from_utf8(printed).unwrap();
        rows.lines()
            .skip(1)
            .map(|row| row.split('\t').skip(3).map(|cell| cell.parse::<f64>().unwrap()).collect())
            .collect::<Vec<Vec<f64>>>()
    };
    let (windows, mean, max) = (run("none"), run("mean"), run("max"));
    assert_eq!((windows.len(), mean.len(), max.len()), (6, 1, 1));
    for column in 1..=WIDTH {
        let weighted: f64 = windows.iter().map(|row| row[0] * row[column]).sum();
        assert!((mean[0][column] - weighted / mean[0][0]).abs() < 1e-6);
        let largest = windows.iter().map(|row| row[column]).fold(f64::MIN, f64::max);
        assert!((max[0][column] - largest).abs() < 1e-9);
    }
}
