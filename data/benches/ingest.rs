//! Speed beside the libraries that the tests use anyway: `cargo bench -p kilobase-data --bench ingest -- FASTA [TOKENIZER]`.
//! The wider comparison is in `peers/`.
#![allow(clippy::print_stdout, reason = "a benchmark says what it found")]

use std::path::Path;
use std::time::Instant;

use kilobase_data::fastx::Reader;
use kilobase_data::stats::Stats;
use kilobase_data::tokenize::train::{Options, Trainer};
use kilobase_data::tokenize::{HfTokenizer, Tokenizer};

fn timed<T>(what: &str, bytes: usize, rounds: usize, run: impl Fn() -> T) -> f64 {
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            std::hint::black_box(run());
            begun.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let median = times[rounds / 2];
    println!("{what:<44} {:>9.1} MB/s", bytes as f64 / 1e6 / median);
    median
}

fn main() {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/demo-model/tokenizer.json");
    let lambda = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/lambda.fa.gz");
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let path = Path::new(named.first().map_or(lambda, String::as_str));
    let tokenizer = named.get(1).map_or(demo, String::as_str);

    let bases: Vec<u8> = Reader::open(path)
        .expect("a FASTA file")
        .flat_map(|record| record.expect("a whole file").sequence.to_ascii_uppercase())
        .collect();
    let folder = std::env::temp_dir().join("kilobase-ingest.fa");
    let lines: Vec<u8> = bases.chunks(60).flat_map(|line| [line, b"\n"].concat()).collect();
    std::fs::write(&folder, [&b">chromosome\n"[..], &lines].concat()).expect("room for a temporary file");
    let ours = timed("FASTA stats, kilobase", lines.len(), 5, || {
        Stats::read(&mut Reader::open(&folder).expect("written above"), |_| ()).expect("a whole file")
    });
    let bio = timed("FASTA records, bio", lines.len(), 3, || {
        bio::io::fasta::Reader::from_file(&folder).expect("written above").records().count()
    });
    println!("  ratio {:.2}", bio / ours);
    let _ = std::fs::remove_file(&folder);

    let text: Vec<u8> = bases.iter().copied().filter(|base| b"ACGT".contains(base)).collect();
    let tokenizer = HfTokenizer::from_file(tokenizer).expect("a tokenizer.json");
    for (length, total) in [(1000, 1_000_000), (1_000_000, 1_000_000), (10_000_000, 10_000_000)] {
        let start = text.len() / 4;
        let Some(texts) = text.get(start..start + total) else { continue };
        let texts: Vec<&[u8]> = texts.chunks(length).collect();
        let ours = timed(&format!("BPE, texts of {length}, kilobase"), total, 5, || {
            let mut ids = Vec::new();
            for text in &texts {
                tokenizer.encode_ids(text, false, &mut ids).expect("DNA");
            }
            ids.len()
        });
        let reference = timed(&format!("BPE, texts of {length}, reference"), total, 1, || {
            texts
                .iter()
                .map(|text| tokenizer.encode_by_reference(text, false).expect("DNA").len())
                .sum::<usize>()
        });
        println!("  ratio {:.1}", reference / ours);
    }
    let mut different = 0;
    let compared = text.len().min(20_000_000);
    for part in text[..compared].chunks(1 << 16) {
        let (ours, reference) = (tokenizer.encode(part, true), tokenizer.encode_by_reference(part, true));
        different += usize::from(ours.expect("DNA") != reference.expect("DNA"));
    }
    println!("{compared} bases against the reference: {different} parts of 64 kb differ");

    let begun = Instant::now();
    let mut trainer = Trainer::new(Options::default()).expect("options");
    trainer.add(&bases);
    let memory = trainer.memory() / 1_000_000;
    let trained = trainer.train(|_| ()).expect("bases");
    println!(
        "training, {} bases, {} tokens: {:.1} s, {memory} MB",
        bases.len(),
        trained.tokens().len(),
        begun.elapsed().as_secs_f64()
    );
}
