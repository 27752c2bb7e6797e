//! Our CPU path against PyTorch on the same machine, in the same run: time and peak memory.
//!
//! ```sh
//! cargo bench --bench peers -- encoder --shape 8x512 --dtype f32,bf16 --threads 1,2
//! cargo bench --bench peers -- encoder --lengths 512,100,37
//! cargo bench --bench peers -- layer --shape 8x512
//! cargo bench --bench peers -- gemm --shape 4096x3072x768
//! cargo bench --bench peers -- attention --shape 1x12x4096x64 --bias
//! cargo bench --bench peers -- prefill --shape 1x4096
//! cargo bench --bench peers -- decode --shape 1x4096       # a run is 16 tokens after 4096
//! cargo bench --bench peers -- llr --reference REF.fa --table T.csv --count 312 --peer-count 6   # llr-alone, vep
//! ```
//!
//! Every figure comes from a process of its own: this program starts itself for ours and `benches/peers/run.sh` for theirs
//! (which makes a virtual environment on first use), in turn, `--rounds` times; medians are shown. Models and inputs are random with a fixed seed, of one size
//! in both. A line of the table is printed as soon as it is measured; the ratio is PyTorch's best form over ours.
//!
//! `llr`, `llr-alone` and `vep` score the first `--count` single-base variants of a table (contig, position in the first sequence
//! of REF, reference, alternate), ours with the shared pass of `kilobase variants`, and of each allele alone, and by the score
//! of GENERator's authors; theirs the first `--peer-count`. Their figures are variants a second.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints what it measures")]

use kilobase::data::batch::PackedBatch;
use kilobase::models::cache::{KvCache, PagePool, Pipeline, Store};
use kilobase::models::checkpoint::{Checkpoint, Precision as Stored, write_safetensors};
use kilobase::models::device::DeviceRequest;
use kilobase::models::family::{Model, dnabert2, generator, random};
use kilobase::models::nn::Precision;
use kilobase_kernels::attention::{AttnSpec, Heads, KeyForm, PosRule, Sequence, Strided, forward};
use kilobase_kernels::matmul::{PackedMatrix, Rows, linear};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

#[path = "peers/variants.rs"]
mod variants;

const HIDDEN: usize = 768;
const HEADS: usize = 12;

/// One line of the table.
#[derive(Clone)]
struct Row {
    what: String,
    /// `--shape` and what follows, as the peer scripts take it.
    shape: Vec<String>,
    dtype: String,
    threads: usize,
    repeats: usize,
    warm_up: usize,
    rounds: usize,
    /// PyTorch's kinds of attention, by commas; eager takes several times as long on long sequences.
    forms: String,
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if arguments.first().is_some_and(|a| a == "--ours") {
        arguments.remove(0);
        return ours(&parse(&arguments)[0]);
    }
    let rows = parse(&arguments);
    let models = tempfile::tempdir().expect("a temporary folder");
    match rows[0].what.as_str() {
        "encoder" => write_encoder(models.path(), 12),
        "layer" => write_encoder(models.path(), 1),
        "prefill" | "decode" => write_decoder(models.path()),
        what if variants::is_about(what) => write_decoder(models.path()),
        _ => {}
    }
    println!(
        "| what | shape | dtype | threads | ours s | torch s (form) | ratio | ours MiB | torch MiB | memory |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for row in rows {
        let forms: Vec<&str> = match row.what.as_str() {
            "gemm" | "attention" => vec![""],
            _ => row.forms.split(',').collect(),
        };
        let mut measured: Vec<Vec<Value>> = vec![Vec::new(); 1 + forms.len()];
        for _ in 0..row.rounds {
            measured[0].push(run(Command::new(std::env::current_exe().expect("this program"))
                .args(["--ours", &row.what])
                .args(row.arguments())
                .env("KILOBASE_BENCH_MODEL", models.path())
                .env("RAYON_NUM_THREADS", row.threads.to_string())));
            for (form, values) in forms.iter().zip(&mut measured[1..]) {
                // What ran out of memory once does so again.
                if values.last().is_none_or(|value| value["seconds"].is_f64()) {
                    values.push(peer(&row, form));
                }
            }
        }
        let mut medians = measured.into_iter().map(middle);
        let ours = medians.next().expect("ours");
        let theirs: Vec<(String, Value)> = forms.iter().map(|form| (*form).to_owned()).zip(medians).collect();
        print_row(&row, &ours, &theirs);
    }
}

/// The run of median time.
fn middle(mut runs: Vec<Value>) -> Value {
    let seconds = |run: &Value| run["seconds"].as_f64().unwrap_or(f64::INFINITY);
    runs.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
    runs.swap_remove(runs.len() / 2)
}

fn parse(arguments: &[String]) -> Vec<Row> {
    let usage = "peers encoder|layer|gemm|attention|prefill|decode (--shape AxB | --lengths A,B) [--bias], or \
                 llr|llr-alone|vep --reference FASTA --table CSV --count N --peer-count N, [--dtype f32,bf16] [--threads 1,2] [--forms sdpa,eager] [--repeats N] [--warm-up N] [--rounds N]";
    let what = arguments.first().unwrap_or_else(|| panic!("usage: {usage}")).clone();
    let mut row = Row {
        what,
        shape: Vec::new(),
        dtype: String::new(),
        threads: 0,
        repeats: 3,
        warm_up: 1,
        rounds: 1,
        forms: "sdpa,eager".to_owned(),
    };
    let (mut dtypes, mut threads) = ("f32".to_owned(), "2".to_owned());
    let mut rest = arguments[1..].iter();
    while let Some(flag) = rest.next() {
        let mut value =
            || rest.next().unwrap_or_else(|| panic!("{flag} takes a value; usage: {usage}")).clone();
        match flag.as_str() {
            "--shape" | "--lengths" | "--reference" | "--table" | "--count" | "--peer-count" => {
                row.shape.extend([flag.clone(), value()]);
            }
            "--bias" => row.shape.push(flag.clone()),
            "--dtype" => dtypes = value(),
            "--threads" => threads = value(),
            "--forms" => row.forms = value(),
            "--repeats" => row.repeats = value().parse().expect("a number"),
            "--rounds" => row.rounds = value().parse().expect("a number"),
            "--warm-up" => row.warm_up = value().parse().expect("a number"),
            _ => panic!("{flag} is not known; usage: {usage}"),
        }
    }
    let each = |dtype: &str| {
        let row = row.clone();
        let dtype = dtype.to_owned();
        let threads: Vec<usize> = threads.split(',').map(|n| n.parse().expect("a number")).collect();
        threads.into_iter().map(move |threads| Row { dtype: dtype.clone(), threads, ..row.clone() })
    };
    dtypes.split(',').flat_map(each).collect()
}

impl Row {
    fn arguments(&self) -> Vec<String> {
        let mut arguments = self.shape.clone();
        for (flag, value) in [
            ("--dtype", self.dtype.clone()),
            ("--threads", self.threads.to_string()),
            ("--repeats", self.repeats.to_string()),
            ("--warm-up", self.warm_up.to_string()),
        ] {
            arguments.extend([flag.to_owned(), value]);
        }
        arguments
    }

    /// What follows a flag.
    fn value(&self, flag: &str) -> &str {
        let at = self.shape.iter().position(|part| part == flag);
        &self.shape[1 + at.unwrap_or_else(|| panic!("{flag} is missing"))]
    }

    fn numbers(&self) -> Vec<usize> {
        self.shape[1].split(['x', ',']).map(|n| n.parse().expect("a number")).collect()
    }

    /// Lengths of the sequences of an encoder's batch.
    fn lengths(&self) -> Vec<usize> {
        let numbers = self.numbers();
        if self.shape[0] == "--lengths" { numbers } else { vec![numbers[1]; numbers[0]] }
    }

    fn precision(&self) -> Precision {
        if self.dtype == "bf16" { Precision::Bf16 } else { Precision::F32 }
    }
}

/// The last line of what a command printed, as JSON.
fn run(command: &mut Command) -> Value {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|_| {
        eprintln!("{command:?} gave {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        json!({ "seconds": null, "error": "killed" })
    })
}

fn peer(row: &Row, form: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/run.sh");
    let mut command = Command::new(script);
    let script = match row.what.as_str() {
        "layer" => "encoder",
        "prefill" | "decode" => "decoder",
        what if variants::is_about(what) => "variants",
        what => what,
    };
    command.arg(script);
    if variants::is_about(&row.what) {
        let row = Row { shape: Vec::new(), ..row.clone() };
        command.args(["--score", row.what.trim_end_matches("-alone")]).args(row.arguments());
    } else {
        command.args(row.arguments());
    }
    if row.what == "decode" {
        command.arg("--decode");
    }
    if !form.is_empty() {
        command.args(["--attention", form]);
    }
    if row.what == "layer" {
        command.arg("--layer");
    }
    for (flag, theirs) in
        [("--reference", "--reference"), ("--table", "--table"), ("--peer-count", "--count")]
    {
        if variants::is_about(&row.what) {
            command.args([theirs, row.value(flag)]);
        }
    }
    if row.shape[0] == "--lengths" {
        command.arg("--unpad");
    }
    run(&mut command)
}

fn print_row(row: &Row, ours: &Value, theirs: &[(String, Value)]) {
    let seconds = |v: &Value| v["seconds"].as_f64();
    let mib = |v: &Value| v["peak_rss_bytes"].as_f64().unwrap_or(f64::NAN) / f64::from(1 << 20);
    let (form, best) = theirs
        .iter()
        .min_by(|a, b| {
            let key = |v: &Value| seconds(v).unwrap_or(f64::INFINITY);
            key(&a.1).total_cmp(&key(&b.1))
        })
        .expect("a form");
    let rate = variants::is_about(&row.what);
    let told = |s: f64| if rate { format!("{:.3}/s", 1.0 / s) } else { format!("{s:.3}") };
    let shape = if rate { format!("{} variants", row.value("--count")) } else { row.shape.join(" ") };
    let each: Vec<String> = theirs
        .iter()
        .map(|(form, v)| match seconds(v) {
            Some(s) => format!("{} {form}", told(s)),
            None => format!("{} {form}", v["error"].as_str().unwrap_or("failed")),
        })
        .collect();
    let (ours_s, best_s) = (seconds(ours).unwrap_or(f64::NAN), seconds(best).unwrap_or(f64::NAN));
    println!(
        "| {} | {} | {} | {} | {} | {} | {:.2} | {:.0} | {:.0} ({form}) | {:.2} |",
        row.what,
        shape.replace("--shape ", "").replace("--", ""),
        row.dtype,
        row.threads,
        told(ours_s),
        each.join(", ").trim_end(),
        best_s / ours_s,
        mib(ours),
        mib(best),
        mib(ours) / mib(best),
    );
}

/// One row of ours, in this process.
fn ours(row: &Row) {
    let seconds = match row.what.as_str() {
        "encoder" | "layer" => encoder(row),
        "prefill" | "decode" => decoder(row),
        "gemm" => gemm(row),
        "attention" => attend(row),
        what if variants::is_about(what) => variants::score(row),
        other => panic!("{other} is not known"),
    };
    println!("{}", json!({ "seconds": seconds, "peak_rss_bytes": peak() }));
}

fn median(row: &Row, mut job: impl FnMut()) -> f64 {
    for _ in 0..row.warm_up {
        job();
    }
    let mut seconds: Vec<f64> = (0..row.repeats)
        .map(|_| {
            let start = Instant::now();
            job();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Largest resident memory of this process so far.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// A DNABERT-2-sized encoder of random weights.
fn write_encoder(folder: &Path, layers: usize) {
    let config = json!({
        "alibi_starting_size": 512, "hidden_size": HIDDEN, "num_hidden_layers": layers,
        "num_attention_heads": HEADS, "intermediate_size": 4 * HIDDEN, "vocab_size": 4096
    });
    let sizes = dnabert2::Config::from_json(&config).expect("a configuration");
    std::fs::write(folder.join("config.json"), config.to_string()).expect("written");
    let weights = folder.join("model.safetensors");
    write_safetensors(&weights, random(dnabert2::base(&sizes), 42), Stored::F32).expect("written");
}

/// The Llama of `benches/peers/decoder.py`.
fn write_decoder(folder: &Path) {
    let config = json!({
        "model_type": "llama", "hidden_size": HIDDEN, "num_hidden_layers": 14, "num_attention_heads": HEADS,
        "num_key_value_heads": 4, "intermediate_size": 2048, "vocab_size": 4128, "rms_norm_eps": 1e-5,
        "rope_theta": 500_000.0, "max_position_embeddings": 1 << 20
    });
    let sizes = generator::Config::from_json(&config).expect("a configuration");
    std::fs::write(folder.join("config.json"), config.to_string()).expect("written");
    let tensors = random(generator::expected(&sizes, 0, |_| false), 42);
    write_safetensors(&folder.join("model.safetensors"), tensors, Stored::F32).expect("written");
    let tokenizer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/generator-tiny");
    for name in ["vocab.txt", "tokenizer_config.json"] {
        std::fs::copy(tokenizer.join(name), folder.join(name)).expect("copied");
    }
}

/// Where the model of this run was written.
fn model_folder() -> PathBuf {
    std::env::var_os("KILOBASE_BENCH_MODEL").expect("a model").into()
}

fn load(row: &Row) -> Model {
    let checkpoint = Checkpoint::open(&model_folder()).expect("a checkpoint");
    let device = DeviceRequest::Cpu.open().expect("the processor");
    Model::load(checkpoint, &device, row.precision()).expect("a model")
}

/// Tokens that go through the layers at once.
const CHUNK: usize = 2048;
/// Tokens that are decoded in one run.
const STEPS: usize = 16;

fn decoder(row: &Row) -> f64 {
    let Model::Generator { model, .. } = load(row) else { panic!("a decoder") };
    let [batch, tokens] = row.numbers()[..] else { panic!("--shape BxS") };
    let ids: Vec<u32> = (0..tokens).map(|i| 32 + (i * 2_654_435_761 % 4096) as u32).collect();
    let store = if row.precision() == Precision::F32 { Store::F32 } else { Store::Bf16 };
    let prefill = || {
        let cache = || model.cache(&PagePool::new(64), Pipeline::none(), store, "").expect("a cache");
        let mut caches: Vec<KvCache> = (0..batch).map(|_| cache()).collect();
        let logits = model.next_logits(&mut caches, &vec![ids.as_slice(); batch], CHUNK).expect("room");
        (caches, logits.expect("a head"))
    };
    if row.what == "prefill" {
        return median(row, || drop(prefill()));
    }
    let (caches, logits) = prefill();
    let best = |logits: &[f32]| -> Vec<[u32; 1]> {
        let largest =
            |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("logits");
        logits.chunks_exact(logits.len() / batch).map(|row| [largest(row) as u32]).collect()
    };
    median(row, || {
        let mut caches: Vec<KvCache> = caches.iter().map(KvCache::fork).collect();
        let mut next = best(&logits);
        for _ in 0..STEPS {
            let ids: Vec<&[u32]> = next.iter().map(<[u32; 1]>::as_slice).collect();
            next = best(&model.next_logits(&mut caches, &ids, CHUNK).expect("room").expect("a head"));
        }
    })
}

fn encoder(row: &Row) -> f64 {
    let model = load(row);
    let mut offsets = vec![0];
    for length in row.lengths() {
        offsets.push(offsets[offsets.len() - 1] + length);
    }
    let tokens = offsets[offsets.len() - 1];
    let ids: Vec<u32> = (0..tokens).map(|i| 5 + (i * 2_654_435_761 % 4091) as u32).collect();
    let batch = PackedBatch::new(ids, None, offsets).expect("a batch");
    median(row, || drop(model.state(&batch, model.layers())))
}

fn gemm(row: &Row) -> f64 {
    let [m, n, k] = row.numbers()[..] else { panic!("--shape MxNxK") };
    let (x, w) = (noise(m * k, 1), noise(n * k, 2));
    let weights = PackedMatrix::new(Rows::new(&w, k), row.precision());
    let mut out = vec![0.0; m * n];
    median(row, || linear(Rows::new(&x, k), &weights, None, &mut out))
}

fn attend(row: &Row) -> f64 {
    let [b, h, s, d] = row.numbers()[..] else { panic!("--shape BxHxSxD") };
    let rows = b * s;
    let (q, k, v) = (noise(rows * h * d, 1), noise(rows * h * d, 2), noise(rows * h * d, 3));
    let positions: Vec<u32> = (0..rows).map(|i| (i % s) as u32).collect();
    let heads = |data| Heads::contiguous(data, rows, h, d);
    let view = |i: usize| Strided {
        k: heads(&k).slice(i * s..(i + 1) * s),
        v: heads(&v).slice(i * s..(i + 1) * s),
        positions: &positions[i * s..(i + 1) * s],
        form: KeyForm::Raw,
    };
    let views: Vec<Strided<'_>> = (0..b).map(view).collect();
    let sequences: Vec<Sequence<'_>> =
        views.iter().enumerate().map(|(i, kv)| Sequence { rows: i * s..(i + 1) * s, kv }).collect();
    let flag = |name: &str| row.shape.iter().any(|flag| flag == name);
    let mut spec = AttnSpec {
        causal: flag("--causal"),
        precision: row.precision(),
        ..AttnSpec::new(1.0 / (d as f32).sqrt())
    };
    if flag("--bias") {
        let slopes = kilobase::models::attention::alibi::slopes(h).into();
        spec.pos = PosRule::Alibi { slopes, cap: None };
    }
    let (mut out, mut lse) = (vec![0.0; rows * h * d], vec![0.0; rows * h]);
    median(row, || forward(heads(&q), &positions, &sequences, &spec, None, &mut out, &mut lse))
}

/// Numbers between -1 and 1.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
