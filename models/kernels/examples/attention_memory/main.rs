//! Peak memory of attention from 4k to 64k tokens, forward and backward: a table and a plot.
//!
//! ```sh
//! cargo run --release -p kilobase-kernels --example attention_memory [FOLDER]
//! ```
//!
//! writes `attention-memory.tsv` and `attention-memory.svg` to `FOLDER`, by default `docs`. Each row is a process of its
//! own, whose peak resident memory (`VmHWM`, so Linux only) holds everything: program, inputs, outputs, gradients.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod plot;

use kilobase_kernels::attention::{AttnSpec, Heads, KeyForm, PosRule, Sequence, Strided, backward, forward};
use kilobase_kernels::rotary::{RopeStyle, Rotary};
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

const HEADS: usize = 12;
const DIM: usize = 64;
const TOKENS: [usize; 5] = [4096, 8192, 16384, 32768, 65536];
const LAYERS: [&str; 2] = ["alibi-bidirectional", "rope-causal"];
const PASSES: [&str; 2] = ["forward", "forward+backward"];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, layer, pass, tokens] = &arguments[..]
        && flag == "--row"
    {
        run(layer, pass == PASSES[1], tokens.parse()?);
        println!("{}", peak_kib()?);
        return Ok(());
    }
    let folder = arguments
        .first()
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")), PathBuf::from);
    let mut table = String::from("layer\tpass\ttokens\tpeak_kib\tf32_scores_kib\n");
    let mut lines = Vec::new();
    for layer in LAYERS {
        for pass in PASSES {
            let mut points = Vec::new();
            for tokens in TOKENS {
                let peak = child(layer, pass, tokens)?;
                eprintln!("{layer} {pass} {tokens}: {} MiB", peak / 1024);
                writeln!(table, "{layer}\t{pass}\t{tokens}\t{peak}\t{}", scores_kib(tokens))?;
                points.push((tokens as f64, peak as f64 / 1024.0));
            }
            lines.push(plot::Line { name: format!("{layer}, {pass}"), points, computed: false });
        }
    }
    lines.push(plot::Line {
        name: format!("f32 scores of {HEADS} heads (computed)"),
        points: TOKENS.iter().map(|&n| (n as f64, scores_kib(n) as f64 / 1024.0)).collect(),
        computed: true,
    });
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("attention-memory.tsv"), table)?;
    std::fs::write(folder.join("attention-memory.svg"), plot::svg(&lines))?;
    Ok(())
}

/// What the scores of all heads would take if they existed at once.
fn scores_kib(tokens: usize) -> usize {
    HEADS * tokens * tokens * size_of::<f32>() / 1024
}

/// One row, in a process that does nothing else.
fn child(layer: &str, pass: &str, tokens: usize) -> Result<usize, Box<dyn Error>> {
    let output =
        Command::new(std::env::current_exe()?).args(["--row", layer, pass, &tokens.to_string()]).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

fn peak_kib() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|_| "no /proc/self/status: peak memory is read on Linux only")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn run(layer: &str, gradients: bool, tokens: usize) {
    let (spec, kv_heads) = layer_of(layer);
    let [q, k, v] = [HEADS, kv_heads, kv_heads].map(|heads| noise(tokens * heads * DIM, heads as u64));
    let positions: Vec<u32> = (0..tokens as u32).collect();
    let kv = Strided {
        k: Heads::contiguous(&k, tokens, kv_heads, DIM),
        v: Heads::contiguous(&v, tokens, kv_heads, DIM),
        positions: &positions,
        form: KeyForm::Raw,
    };
    let q = Heads::contiguous(&q, tokens, HEADS, DIM);
    let sequences = [Sequence { rows: 0..tokens, kv: &kv }];
    let (mut out, mut lse) = (vec![0.0; tokens * HEADS * DIM], vec![0.0; tokens * HEADS]);
    forward(q, &positions, &sequences, &spec, None, &mut out, &mut lse);
    if gradients {
        let d_out = noise(out.len(), 3);
        backward(q, &positions, &sequences, &spec, &out, &lse, &d_out, None);
    }
}

/// DNABERT-2's encoder layer (every head has keys of its own), or a generator's (three query heads share keys).
fn layer_of(name: &str) -> (AttnSpec, usize) {
    let spec = AttnSpec::new((DIM as f32).powf(-0.5));
    if name == LAYERS[0] {
        // Slopes of 12 heads: those of 8, then every other one of 16 (Press et al. 2022).
        let exponents = (1..=8).map(|h| -f32::from(h as u8)).chain([-0.5, -1.5, -2.5, -3.5]);
        let slopes = exponents.map(f32::exp2).collect();
        (AttnSpec { pos: PosRule::Alibi { slopes, cap: None }, ..spec }, HEADS)
    } else {
        let rotary = Arc::new(Rotary::plain(10_000.0, DIM, RopeStyle::Half));
        (AttnSpec { causal: true, pos: PosRule::Rope { rotary, cap: None }, ..spec }, HEADS / 3)
    }
}

/// Numbers from -1 to 1.
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}
