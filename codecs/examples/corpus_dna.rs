//! Bits a base and speed on files of DNA: `cargo run --release --example corpus_dna -- [FILE]...`, by default the corpus of
//! DNA compression beside the repository.
#![allow(clippy::print_stdout, reason = "a report")]

use std::io::Read;
use std::path::PathBuf;
use std::time::Instant;

use kilobase_codecs::compress::bytes::{Encoder, Kind};
use kilobase_codecs::compress::fasta;

#[path = "../tests/shared/mod.rs"]
mod shared;

const PEERS: [(Kind, u8); 4] = [(Kind::Gzip, 9), (Kind::Xz, 9), (Kind::Zstd, 19), (Kind::Brotli, 11)];

fn main() {
    let mut files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if files.is_empty() {
        let Some(folder) = shared::folder("data/corpus_dna") else { return };
        files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
    }
    println!(
        "| file | bases | kilobase | gzip-9 | xz-9 | zstd-19 | brotli-11 | MB/s | back MB/s |\n|---|---|---|---|---|---|---|---|---|"
    );
    let mut sums = [0.0; 1 + PEERS.len()];
    for path in &files {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).unwrap();
        if flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).is_err() {
            bytes = std::fs::read(path).unwrap();
        }
        let begun = Instant::now();
        let mut packed = Vec::new();
        let report = fasta::compress(&mut &bytes[..], &mut packed, fasta::BLOCK, |_, _| ()).unwrap();
        let there = begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        let mut again = Vec::new();
        fasta::decompress(&mut &packed[..], &mut again, |_| ()).unwrap();
        let back = begun.elapsed().as_secs_f64();
        assert!(again == bytes, "compression loses nothing");
        let bases: u64 = report.blocks.iter().map(|report| report.bases).sum();
        let sizes = PEERS.map(|(kind, level)| Encoder::new(kind, level).size(&bytes));
        let bits: Vec<f64> = std::iter::once(packed.len() as u64)
            .chain(sizes)
            .map(|size| 8.0 * size as f64 / bases as f64)
            .collect();
        print!("| {} | {bases}", path.file_stem().unwrap().to_string_lossy());
        for (sum, bits) in sums.iter_mut().zip(&bits) {
            *sum += bits;
            print!(" | {bits:.4}");
        }
        let speed = |seconds: f64| bytes.len() as f64 / 1e6 / seconds;
        println!(" | {:.2} | {:.2} |", speed(there), speed(back));
    }
    print!("| mean |");
    for sum in sums {
        print!(" | {:.4}", sum / files.len() as f64);
    }
    println!(" | | |");
}
