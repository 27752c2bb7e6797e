//! `kilobase embed`, as users type it, on the genome and the demo model that ship with the project.

mod program;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use predicates::prelude::*;
use tempfile::TempDir;

use program::program;

const LAMBDA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lambda.fa.gz");
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/demo-model");
const WIDTH: usize = 64;

/// The program with nothing of the environment that changes what it does.
fn kilobase<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = program();
    command.args(arguments);
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn lambda() -> Vec<u8> {
    let mut bases = Vec::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(LAMBDA).unwrap()).read_to_end(&mut bases).unwrap();
    bases
}

/// Rows and columns and numbers of a `.npy` file, read by the format's own description.
fn npy(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.contains("'descr': '<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split_once('(').unwrap().1.split_once(')').unwrap().0;
    let shape: Vec<usize> = shape.split(',').map(|n| n.trim().parse().unwrap()).collect();
    (shape, floats(&bytes[end..]))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn lines(path: &Path) -> Vec<Vec<String>> {
    let reader = BufReader::new(fs::File::open(path).unwrap());
    reader.lines().map(|line| line.unwrap().split('\t').map(String::from).collect()).collect()
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

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

/// Runs on a wrong input: one error that holds `words`, the exit code, and nothing written.
fn refuses(input: &str, model: &str, code: i32, words: &[&str]) {
    let folder = folder();
    let out = folder.path().join("out.npy");
    let output = kilobase(["embed", input, "-m", model, "-o", text(&out)]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert_eq!(message.matches("kilobase: error: ").count(), 1, "{message}");
    assert!(!message.contains("panicked"), "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was written");
}

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

/// A copy of the demo model that `change` may spoil.
fn spoilt(change: impl FnOnce(&Path)) -> TempDir {
    let folder = folder();
    for entry in fs::read_dir(MODEL).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    change(folder.path());
    folder
}

/// The weights with other names, shapes or without some.
fn rewritten(change: impl Fn(&str, Vec<usize>) -> Option<(String, Vec<usize>)>) -> TempDir {
    spoilt(|model| {
        let path = model.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let views: Vec<_> = tensors
            .tensors()
            .into_iter()
            .filter_map(|(name, view)| {
                let (name, shape) = change(&name, view.shape().to_vec())?;
                let data = &view.data()[..4 * shape.iter().product::<usize>()];
                Some((name, safetensors::tensor::TensorView::new(view.dtype(), shape, data).unwrap()))
            })
            .collect();
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    })
}

#[test]
fn weights_that_are_not_the_models_are_refused() {
    let gated = "bert.encoder.layer.1.mlp.gated_layers.weight";
    let missing = rewritten(|name, shape| (name != gated).then(|| (name.to_owned(), shape)));
    refuses(LAMBDA, text(missing.path()), 1, &["1 missing", gated]);
    let extra = rewritten(|name, shape| {
        Some((if name == gated { "bert.encoder.layer.7.strange".into() } else { name.to_owned() }, shape))
    });
    refuses(LAMBDA, text(extra.path()), 1, &["1 missing", "1 unexpected (bert.encoder.layer.7.strange)"]);
    let shape = rewritten(|name, shape| {
        Some((name.to_owned(), if name == gated { vec![shape[0] / 2, shape[1]] } else { shape }))
    });
    refuses(LAMBDA, text(shape.path()), 1, &["of another shape", gated, "[192, 64], not [384, 64]"]);
}

#[test]
fn a_standard_bert_is_not_taken_for_dnabert2() {
    let vanilla = rewritten(|name, shape| Some((name.replace(".self.Wqkv.", ".self.query."), shape)));
    fs::write(vanilla.path().join("config.json"), r#"{"model_type": "bert", "hidden_size": 64}"#).unwrap();
    refuses(LAMBDA, text(vanilla.path()), 1, &["standard BERT", "not supported"]);
    let llama = rewritten(|name, shape| {
        Some((name.replace("bert.encoder", "model.layers").replace("Wqkv", "q"), shape))
    });
    for (config, part) in [
        (r#"{"model_type": "mistral"}"#, "model_type \"mistral\" is not supported"),
        (r#"{"model_type": "llama"}"#, "missing field `hidden_size`"),
        (
            r#"{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
                "intermediate_size": 96, "vocab_size": 261, "max_position_embeddings": 512}"#,
            "missing (lm_head.weight, model.embed_tokens.weight, model.layers.0.input_layernorm.weight, ...)",
        ),
    ] {
        fs::write(llama.path().join("config.json"), config).unwrap();
        refuses(LAMBDA, text(llama.path()), 1, &[part]);
    }
}

#[test]
fn damaged_and_hostile_safetensors_are_refused() {
    let weights = |model: &Path| model.join("model.safetensors");
    let truncated = spoilt(|model| {
        let bytes = fs::read(weights(model)).unwrap();
        fs::write(weights(model), &bytes[..bytes.len() - 100]).unwrap();
    });
    refuses(LAMBDA, text(truncated.path()), 1, &["model.safetensors"]);
    let huge = spoilt(|model| {
        let mut bytes = fs::read(weights(model)).unwrap();
        bytes[..8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
        fs::write(weights(model), bytes).unwrap();
    });
    refuses(LAMBDA, text(huge.path()), 1, &["model.safetensors"]);
    for header in [
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#,
        r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,800000000]}}"#,
    ] {
        let hostile = spoilt(|model| {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend([0; 12]);
            fs::write(weights(model), bytes).unwrap();
        });
        refuses(LAMBDA, text(hostile.path()), 1, &["model.safetensors"]);
    }
}

#[test]
fn a_pickle_that_calls_a_program_is_refused_and_not_run() {
    let folder = folder();
    let proof = folder.path().join("proof");
    let hostile = spoilt(|model| {
        fs::remove_file(model.join("model.safetensors")).unwrap();
        // cos\nsystem\n( X touch proof t R .
        let call = format!("touch {}", proof.display());
        let mut pickle = b"\x80\x02cos\nsystem\n(X".to_vec();
        pickle.extend((call.len() as u32).to_le_bytes());
        pickle.extend(call.as_bytes());
        pickle.extend(b"tR.");
        let mut zip = zip::ZipWriter::new(fs::File::create(model.join("pytorch_model.bin")).unwrap());
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, content) in [("archive/data.pkl", &pickle[..]), ("archive/version", b"3\n")] {
            zip.start_file(name, stored).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap();
    });
    refuses(LAMBDA, text(hostile.path()), 1, &["pytorch_model.bin", "os", "system"]);
    assert!(!proof.exists(), "the call was run");
}

#[test]
fn a_tokenizer_of_another_size_is_refused() {
    let other = spoilt(|model| {
        fs::remove_file(model.join("tokenizer.json")).unwrap();
        let kmers = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/generator-tiny");
        for name in ["vocab.txt", "tokenizer_config.json"] {
            fs::copy(Path::new(kmers).join(name), model.join(name)).unwrap();
        }
    });
    refuses(LAMBDA, text(other.path()), 1, &["the tokenizer has 4128 tokens, the model's vocabulary 1024"]);
    let none = spoilt(|model| fs::remove_file(model.join("tokenizer.json")).unwrap());
    refuses(LAMBDA, text(none.path()), 1, &["tokenizer"]);
}

#[test]
fn models_that_are_not_there_exit_3() {
    refuses(LAMBDA, "./no/such/folder", 3, &["./no/such/folder"]);
    refuses(LAMBDA, "not-a-model-name", 3, &["not-a-model-name"]);
    let empty = folder();
    refuses(LAMBDA, text(empty.path()), 3, &["config.json"]);
    let folder = folder();
    let out = folder.path().join("a.npy");
    kilobase(["embed", LAMBDA, "-o", text(&out)]).assert().code(2).stderr(predicate::str::contains("-m"));
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

/// Serves the files of the demo model as the hub does, until the value is dropped.
struct Hub {
    server: std::sync::Arc<tiny_http::Server>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Hub {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn start() -> Self {
        let server = std::sync::Arc::new(tiny_http::Server::http("127.0.0.1:0").expect("a port"));
        let thread = std::thread::spawn({
            let server = std::sync::Arc::clone(&server);
            move || server.incoming_requests().for_each(Self::answer)
        });
        Self { server, thread: Some(thread) }
    }

    fn address(&self) -> String {
        format!("http://{}", self.server.server_addr())
    }

    fn answer(request: tiny_http::Request) {
        let file = request.url().rsplit('/').next().unwrap_or_default().to_owned();
        let known = request.url().starts_with("/lab/demo/resolve/");
        let header = |name: &str, value: &str| tiny_http::Header::from_bytes(name, value).expect("a header");
        let answer = match fs::read(Path::new(MODEL).join(&file)) {
            Ok(bytes) if known => tiny_http::Response::from_data(bytes)
                .with_header(header("x-repo-commit", Self::COMMIT))
                .with_header(header("etag", &format!("\"{file}-1\"")))
                .with_chunked_threshold(usize::MAX),
            _ => tiny_http::Response::from_data(b"no such entry".to_vec()).with_status_code(404),
        };
        // The client may be gone; that is for its own test to tell.
        request.respond(answer).ok();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.server.unblock();
        self.thread.take().map(|thread| thread.join().ok());
    }
}

#[test]
fn a_model_is_fetched_by_name_once_and_then_used_offline() {
    let folder = folder();
    let run = |endpoint: &str, offline: &str| {
        let mut command = kilobase(["embed", LAMBDA, "-m", "lab/demo", "--window", "20000"]);
        command.env("HF_HOME", folder.path()).env("HF_ENDPOINT", endpoint).env("HF_HUB_OFFLINE", offline);
        command.env_remove("HF_HUB_CACHE").env_remove("HF_TOKEN");
        command.output().unwrap()
    };
    let before = run("http://127.0.0.1:9", "1");
    assert_eq!(before.status.code(), Some(3), "offline and not in the cache");
    let hub = Hub::start();
    let fetched = run(&hub.address(), "0");
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    drop(hub);
    let offline = run("http://127.0.0.1:9", "1");
    assert!(offline.status.success(), "{}", String::from_utf8_lossy(&offline.stderr));
    let local = kilobase(["embed", LAMBDA, "-m", MODEL, "--window", "20000"]).output().unwrap();
    assert_eq!(fetched.stdout, offline.stdout);
    assert_eq!(fetched.stdout, local.stdout);
}
