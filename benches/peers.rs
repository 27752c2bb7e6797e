//! Our CPU path against PyTorch on the same machine, in the same run: time and peak memory.
//!
//! ```sh
//! cargo bench --bench peers -- encoder --shape 8x512 --dtype f32,bf16 --threads 1,2
//! cargo bench --bench peers -- encoder --lengths 512,100,37
//! cargo bench --bench peers -- layer --shape 8x512
//! cargo bench --bench peers -- gemm --shape 4096x3072x768
//! cargo bench --bench peers -- attention --shape 1x12x4096x64 --bias
//! ```
//!
//! Every figure comes from a process of its own: this program starts itself for ours and `benches/peers/run.sh` for theirs
//! (which makes a virtual environment on first use), in turn. Models and inputs are random with a fixed seed, of one size
//! in both. A line of the table is printed as soon as it is measured; the ratio is PyTorch's best form over ours.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints what it measures")]

use kilobase::data::batch::PackedBatch;
use kilobase::models::checkpoint::{Checkpoint, Precision as Stored, write_safetensors};
use kilobase::models::device::DeviceRequest;
use kilobase::models::family::{Model, dnabert2};
use kilobase::models::nn::Precision;
use kilobase_kernels::attention::{AttnSpec, Heads, KeyForm, PosRule, Sequence, Strided, forward};
use kilobase_kernels::matmul::{PackedMatrix, Rows, linear};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

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
}

fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if arguments.first().is_some_and(|a| a == "--ours") {
        arguments.remove(0);
        return ours(&parse(&arguments)[0]);
    }
    let rows = parse(&arguments);
    let models = tempfile::tempdir().expect("a temporary folder");
    if rows.iter().any(|row| row.what == "encoder" || row.what == "layer") {
        write_model(models.path(), if rows[0].what == "layer" { 1 } else { 12 });
    }
    println!(
        "| what | shape | dtype | threads | ours s | torch s (form) | ratio | ours MiB | torch MiB | memory |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for row in rows {
        let ours = run(Command::new(std::env::current_exe().expect("this program"))
            .args(["--ours", &row.what])
            .args(row.arguments())
            .env("KILOBASE_BENCH_MODEL", models.path())
            .env("RAYON_NUM_THREADS", row.threads.to_string()));
        let forms: &[&str] =
            if matches!(row.what.as_str(), "encoder" | "layer") { &["sdpa", "eager"] } else { &[""] };
        let theirs: Vec<(String, Value)> =
            forms.iter().map(|form| ((*form).to_owned(), peer(&row, form))).collect();
        print_row(&row, &ours, &theirs);
    }
}

fn parse(arguments: &[String]) -> Vec<Row> {
    let usage = "peers encoder|layer|gemm|attention (--shape AxB | --lengths A,B) [--bias] [--dtype f32,bf16] \
                 [--threads 1,2] [--repeats N] [--warm-up N]";
    let what = arguments.first().unwrap_or_else(|| panic!("usage: {usage}")).clone();
    let mut row = Row { what, shape: Vec::new(), dtype: String::new(), threads: 0, repeats: 3, warm_up: 1 };
    let (mut dtypes, mut threads) = ("f32".to_owned(), "2".to_owned());
    let mut rest = arguments[1..].iter();
    while let Some(flag) = rest.next() {
        let mut value =
            || rest.next().unwrap_or_else(|| panic!("{flag} takes a value; usage: {usage}")).clone();
        match flag.as_str() {
            "--shape" | "--lengths" => row.shape.extend([flag.clone(), value()]),
            "--bias" => row.shape.push(flag.clone()),
            "--dtype" => dtypes = value(),
            "--threads" => threads = value(),
            "--repeats" => row.repeats = value().parse().expect("a number"),
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
    command.arg(if row.what == "layer" { "encoder" } else { &row.what }).args(row.arguments());
    if !form.is_empty() {
        command.args(["--attention", form]);
    }
    if row.what == "layer" {
        command.arg("--layer");
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
    let each: Vec<String> = theirs
        .iter()
        .map(|(form, v)| match seconds(v) {
            Some(s) => format!("{s:.3} {form}"),
            None => format!("{} {form}", v["error"].as_str().unwrap_or("failed")),
        })
        .collect();
    let (ours_s, best_s) = (seconds(ours).unwrap_or(f64::NAN), seconds(best).unwrap_or(f64::NAN));
    println!(
        "| {} | {} | {} | {} | {ours_s:.3} | {} | {:.2} | {:.0} | {:.0} ({form}) | {:.2} |",
        row.what,
        row.shape.join(" ").replace("--shape ", "").replace("--", ""),
        row.dtype,
        row.threads,
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
        "gemm" => gemm(row),
        "attention" => attend(row),
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
fn write_model(folder: &Path, layers: usize) {
    let config = json!({
        "alibi_starting_size": 512, "hidden_size": HIDDEN, "num_hidden_layers": layers,
        "num_attention_heads": HEADS, "intermediate_size": 4 * HIDDEN, "vocab_size": 4096
    });
    let sizes = dnabert2::Config::from_json(&config).expect("a configuration");
    std::fs::write(folder.join("config.json"), config.to_string()).expect("written");
    let weights = folder.join("model.safetensors");
    write_safetensors(&weights, dnabert2::random(&sizes, 42), Stored::F32).expect("written");
}

fn encoder(row: &Row) -> f64 {
    let folder = std::env::var("KILOBASE_BENCH_MODEL").expect("a model");
    let checkpoint = Checkpoint::open(Path::new(&folder)).expect("a checkpoint");
    let device = DeviceRequest::Cpu.open().expect("the processor");
    let model = Model::load(checkpoint, &device, row.precision()).expect("a model");
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
    let mut spec = AttnSpec::new(1.0 / (d as f32).sqrt());
    if row.shape.iter().any(|flag| flag == "--bias") {
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
