//! How much noise an archive survives.
//!
//! ```sh
//! cargo run --release -p kilobase-codecs --example archive_trials -- speed BYTES PRESET
//! cargo run --release -p kilobase-codecs --example archive_trials -- trials BYTES PRESET CHANNEL REDUNDANCY SEEDS [key=value ...]
//! cargo run --release -p kilobase-codecs --example archive_trials -- curves [FOLDER]
//! cargo run --release -p kilobase-codecs --example archive_trials -- clusters FILE.json.gz
//! ```
//!
//! `speed` times encoding and decoding of reads without error. `trials` encodes a random file for each seed (`SEEDS` is their
//! number, or `FIRST..END`), reads it through a channel and prints a line of tab-separated values; `sub`, `del`, `ins`, `dropout` and `coverage` change the channel.
//! `curves` writes `archive-noise.tsv` and `archive-noise.svg` to `FOLDER`, by default `docs`. `clusters` takes clustered
//! reads of known strands (`{"id": {"ref": "ACGT...", "syn": ["ACGT...", ...]}}`) and tells how many strands their
//! consensus gives back exactly.

#![allow(clippy::print_stdout, reason = "an example reports")]

use std::io::{Cursor, Read};
use std::time::Instant;

use kilobase_codecs::archive::channel::{CHANNELS, Channel, Rng};
use kilobase_codecs::archive::consensus::consensus;
use kilobase_codecs::archive::decode::Decoder;
use kilobase_codecs::archive::encode::{Pool, Source};
use kilobase_codecs::archive::manifest::Manifest;
use kilobase_codecs::archive::report::Report;
use kilobase_codecs::archive::{Preset, Result};
use kilobase_codecs::dloco::alphabet::{to_ascii, to_symbols};
use rayon::prelude::*;

mod plot;

type Failure = Box<dyn std::error::Error>;

fn main() -> std::result::Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["speed", bytes, preset] => speed(bytes.parse()?, preset),
        ["trials", bytes, preset, channel, redundancy, seeds, ref changes @ ..] => {
            let channel = change(named(channel)?, changes)?;
            println!("{}", Trial::NAMES);
            let (first, end) = seeds.split_once("..").unwrap_or(("0", seeds));
            for seed in first.parse()?..end.parse()? {
                println!("{}", trial(bytes.parse()?, preset, &channel, redundancy.parse()?, seed)?);
            }
            Ok(())
        }
        ["curves", ref folder @ ..] => curves(folder.first().unwrap_or(&"docs")),
        ["clusters", file] => clusters(file),
        _ => Err("see the beginning of the source for the arguments".into()),
    }
}

fn named(name: &str) -> std::result::Result<Channel, Failure> {
    let found = CHANNELS.into_iter().find(|(known, _)| *known == name);
    Ok(found.ok_or_else(|| format!("no channel {name}"))?.1)
}

fn change(mut channel: Channel, changes: &[&str]) -> std::result::Result<Channel, Failure> {
    for change in changes {
        let (key, value) = change.split_once('=').ok_or("key=value is expected")?;
        let rate = match key {
            "sub" => &mut channel.substitution,
            "del" => &mut channel.deletion,
            "ins" => &mut channel.insertion,
            "dropout" => &mut channel.dropout,
            "coverage" => &mut channel.coverage,
            _ => return Err(format!("{key} is no rate").into()),
        };
        *rate = value.parse()?;
    }
    Ok(channel)
}

fn random(bytes: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed ^ 0x6669_6c65);
    (0..bytes).map(|_| rng.bits() as u8).collect()
}

fn encode(file: &[u8], preset: &str, redundancy: f64, seed: u64) -> Result<(Vec<u8>, Manifest, usize)> {
    let format = Preset::find(preset).expect("a preset").format(seed);
    let source = Source::spool(Cursor::new(file.to_vec()), None, "file")?;
    let mut pool = Pool::plan(source, &format, redundancy, Vec::new())?;
    let mut fasta = Vec::new();
    pool.write(&mut fasta, |_| ())?;
    let manifest = pool.manifest("file");
    Ok((fasta, manifest, pool.geometry().total() as usize))
}

fn oligos(fasta: &[u8]) -> impl Iterator<Item = &[u8]> {
    fasta.split(|&byte| byte == b'\n').skip(1).step_by(2).filter(|line| !line.is_empty())
}

fn decode(manifest: Manifest, reads: impl Iterator<Item = Vec<u8>>) -> (Report, Result<Vec<u8>>) {
    let mut decoder = Decoder::new(manifest).expect("a format of ours");
    let mut portion = Vec::with_capacity(8192);
    for read in reads {
        portion.push(read);
        if portion.len() == 8192 {
            decoder.push(&portion);
            portion.clear();
        }
    }
    decoder.push(&portion);
    let mut out = Vec::new();
    let (report, outcome) = decoder.finish(&mut out);
    (report, outcome.map(|()| out))
}

fn speed(bytes: usize, preset: &str) -> std::result::Result<(), Failure> {
    let file = random(bytes, 1);
    let start = Instant::now();
    let (fasta, manifest, strands) = encode(&file, preset, 0.15, 42)?;
    let encoding = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let (_, back) = decode(manifest, oligos(&fasta).map(<[u8]>::to_vec));
    let decoding = start.elapsed().as_secs_f64();
    assert!(back? == file, "another file came back");
    let threads = rayon::current_num_threads();
    println!(
        "{bytes} bytes, {preset}, {strands} strands, {threads} threads: encode {encoding:.2} s, decode {decoding:.2} s"
    );
    Ok(())
}

struct Trial {
    seed: u64,
    strands: usize,
    report: Report,
    outcome: &'static str,
    seconds: f64,
}

impl Trial {
    const NAMES: &'static str = "seed\tstrands\treads\tunderstood\tclusters\tclusters_understood\terasures\tleast_margin\toutcome\tseconds";
}

impl std::fmt::Display for Trial {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, strands, report, outcome, seconds } = self;
        let erasures: usize = report.groups.iter().map(|group| group.erasures).sum();
        let margin = report.groups.iter().map(|group| group.margin).min().unwrap_or(i64::MIN);
        write!(
            out,
            "{seed}\t{strands}\t{}\t{}\t{}\t{}\t{erasures}\t{margin}\t{outcome}\t{seconds:.1}",
            report.reads, report.understood, report.clusters, report.clusters_understood
        )
    }
}

fn trial(
    bytes: usize,
    preset: &str,
    channel: &Channel,
    redundancy: f64,
    seed: u64,
) -> std::result::Result<Trial, Failure> {
    let file = random(bytes, seed);
    let (fasta, manifest, strands) = encode(&file, preset, redundancy, seed)?;
    let start = Instant::now();
    let all: Vec<&[u8]> = oligos(&fasta).collect();
    let reads = all.chunks(4096).enumerate().flat_map(|(part, oligos)| {
        let reads: Vec<Vec<u8>> = oligos
            .par_iter()
            .enumerate()
            .flat_map_iter(|(number, oligo)| {
                let symbols = to_symbols(oligo).expect("letters of an oligo");
                channel.read(&symbols, (part * 4096 + number) as u64, seed)
            })
            .map(|read| to_ascii(&read.symbols))
            .collect();
        reads
    });
    let (report, back) = decode(manifest, reads);
    let outcome = match back {
        Ok(back) if back == file => "restored",
        Ok(_) => "WRONG",
        Err(_) => "failed",
    };
    Ok(Trial { seed, strands, report, outcome, seconds: start.elapsed().as_secs_f64() })
}

/// Share of files restored, against the rate of all errors and against the coverage.
fn curves(folder: &str) -> std::result::Result<(), Failure> {
    const SEEDS: u64 = 4;
    const BYTES: usize = 10_000;
    let mut text = "panel\tpreset\tvalue\trestored\ttrials\tmean_erasures\n".to_owned();
    let mut lines = Vec::new();
    let base = named("hedges")?;
    let total = base.substitution + base.deletion + base.insertion;
    for preset in ["robust", "std150", "dense150"] {
        for (panel, values) in [
            ("errors_percent", &[0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0][..]),
            ("coverage", &[1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0]),
        ] {
            let mut points = Vec::new();
            for &value in values {
                let mut channel = base;
                if panel == "coverage" {
                    channel.coverage = value;
                } else {
                    let factor = value / 100.0 / total;
                    channel.substitution *= factor;
                    channel.deletion *= factor;
                    channel.insertion *= factor;
                }
                let mut restored = 0;
                let mut erasures = 0;
                for seed in 0..SEEDS {
                    let trial = trial(BYTES, preset, &channel, 0.15, seed)?;
                    assert!(trial.outcome != "WRONG", "another file came back");
                    restored += u64::from(trial.outcome == "restored");
                    erasures += trial.report.groups.iter().map(|group| group.erasures).sum::<usize>();
                }
                let mean = erasures as f64 / SEEDS as f64;
                let line = format!("{panel}\t{preset}\t{value}\t{restored}\t{SEEDS}\t{mean:.1}\n");
                print!("{line}");
                text.push_str(&line);
                points.push((value, restored as f64 / SEEDS as f64));
            }
            lines.push(plot::Line { panel, name: preset, points });
        }
    }
    std::fs::write(format!("{folder}/archive-noise.tsv"), text)?;
    std::fs::write(format!("{folder}/archive-noise.svg"), plot::svg(&lines))?;
    Ok(())
}

fn clusters(file: &str) -> std::result::Result<(), Failure> {
    let mut json = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(file)?).read_to_string(&mut json)?;
    let clusters: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json)?;
    let parsed: Vec<(Vec<u8>, Vec<Vec<u8>>)> = clusters
        .values()
        .map(|cluster| {
            let symbols = |json: &serde_json::Value| to_symbols(json.as_str().unwrap_or("").as_bytes());
            let reads = cluster["syn"].as_array().ok_or("no reads")?.iter().map(symbols);
            let reads = reads.collect::<std::result::Result<_, _>>().map_err(|error| error.to_string())?;
            Ok((symbols(&cluster["ref"]).map_err(|error| error.to_string())?, reads))
        })
        .collect::<std::result::Result<_, String>>()?;
    for depth in [3, 5, 10, usize::MAX] {
        let start = Instant::now();
        let exact = parsed
            .par_iter()
            .filter(|(strand, reads)| {
                !reads.is_empty() && consensus(&reads[..reads.len().min(depth)]).symbols == *strand
            })
            .count();
        let seconds = start.elapsed().as_secs_f64();
        let shown = if depth == usize::MAX { "all".to_owned() } else { depth.to_string() };
        let share = 100.0 * exact as f64 / parsed.len() as f64;
        println!("{shown} reads a cluster: {exact} of {} exact ({share:.1} %), {seconds:.1} s", parsed.len());
    }
    Ok(())
}
