//! Speed beside that of others, in one run: `cargo run --release -- JOB...`, see the README beside.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

mod data;
mod encode;
mod read;
mod train;

/// One way to do a job. It gives a number that all ways agree on.
pub(crate) type Way<'a> = (&'a str, Box<dyn Fn() -> u64 + 'a>);

/// Runs all ways in turn, `rounds` times, and prints the median speed of each and its ratio to the first, which is ours.
pub(crate) fn compare(job: &str, bytes: u64, rounds: usize, ways: &[Way<'_>]) {
    println!("\n{job}: {:.1} MB", bytes as f64 / 1e6);
    let mut times = vec![Vec::new(); ways.len()];
    let mut results = vec![0; ways.len()];
    for _ in 0..rounds {
        for (at, (_, way)) in ways.iter().enumerate() {
            let begun = Instant::now();
            results[at] = black_box(way());
            times[at].push(begun.elapsed().as_secs_f64());
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let medians: Vec<f64> = times.iter_mut().map(median).collect();
    for (at, (name, _)) in ways.iter().enumerate() {
        let speed = bytes as f64 / 1e6 / medians[at];
        let spread = times[at][times[at].len() - 1] / times[at][0];
        let differs = if results[at] == results[0] { "" } else { "  DIFFERENT RESULT" };
        println!(
            "  {name:<38} {speed:>9.1} MB/s   ours is {:>6.2} x   (slowest/fastest {spread:.2}){differs}",
            medians[at] / medians[0]
        );
    }
}

fn main() {
    let jobs: Vec<String> = std::env::args().skip(1).collect();
    let asked = |job: &str| jobs.is_empty() || jobs.iter().any(|asked| asked == job);
    let files = data::Files::make();
    if asked("fasta") {
        read::fasta(&files);
    }
    if asked("fastq") {
        read::fastq(&files);
    }
    if asked("gz") {
        read::gz(&files);
    }
    if asked("bgzf") {
        read::bgzf(&files);
    }
    if asked("bpe") {
        encode::bpe(&files);
    }
    if asked("kmer") {
        encode::kmer(&files);
    }
    if asked("mismatches") {
        encode::mismatches(&files);
    }
    if asked("train") {
        train::run(&files);
    }
}

pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path)
}
