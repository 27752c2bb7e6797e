//! Accuracy and speed on the gene families of the paper: `cargo run --release --example gene_families -- [--cm-only]`.
#![allow(clippy::print_stdout, reason = "a report")]

use std::time::Instant;

use kilobase_codecs::compress::bytes::{Compressor, Kind};
use kilobase_codecs::compress::cm::{Example, Trainer};
use kilobase_codecs::compress::measures::Confusion;
use kilobase_codecs::compress::zlib::Deflater;
use kilobase_codecs::compress::{CodeLength, Distance, knn};

#[path = "../tests/gene_family/mod.rs"]
mod gene_family;
#[path = "../tests/shared/mod.rs"]
mod shared;

const CLASSES: usize = 7;

/// Accuracy and macro-F1.
fn figures(pairs: &[(usize, usize)]) -> (f64, f64) {
    let confusion = Confusion::of(CLASSES, pairs.iter().copied());
    (confusion.accuracy(), confusion.macro_f1())
}

fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    for species in ["chimp", "dog"] {
        let (Some(rows), Some((train, test))) =
            (gene_family::rows(species), gene_family::random_split(species))
        else {
            return;
        };
        let sequences: Vec<Vec<u8>> = train.iter().map(|&row| rows[row].0.clone()).collect();
        let classes: Vec<usize> = train.iter().map(|&row| rows[row].1).collect();

        let begun = Instant::now();
        let examples: Vec<Example> =
            sequences.iter().zip(&classes).map(|(sequence, &class)| Example { sequence, class }).collect();
        let model =
            Trainer::new((0..CLASSES).map(|class| class.to_string()).collect()).train(&examples).unwrap();
        let trained = begun.elapsed();
        let begun = Instant::now();
        let mut pairs = Vec::new();
        for &row in &test {
            let score = model.score(&rows[row].0);
            let decision = score.decide(model.temperature());
            pairs.push((rows[row].1, decision.class));
        }
        let scored = begun.elapsed();
        let letters: usize = test.iter().map(|&row| rows[row].0.len()).sum();
        println!(
            "{species} cm: accuracy, F1 {:.4?}; trained in {trained:.2?}, {:.0} queries/s of {} letters on average; temperature {:.1}",
            figures(&pairs),
            test.len() as f64 / scored.as_secs_f64(),
            letters / test.len(),
            model.temperature(),
        );

        if std::env::args().any(|argument| argument == "--cm-only") {
            continue;
        }
        let begun = Instant::now();
        let gzip = Compressor::new(Kind::Gzip, 9).unwrap();
        let corpus = gzip.corpus(&sequences).unwrap();
        let prepared = begun.elapsed();
        let pairs: Vec<(usize, usize)> = test
            .iter()
            .map(|&row| {
                let distances = Distance::Ncd.row(&*corpus, &rows[row].0).unwrap();
                (rows[row].1, knn::vote(&distances, &classes, CLASSES, 1).unwrap().class)
            })
            .collect();
        let all = begun.elapsed();
        let count = test.len() * train.len();
        let fast = all.saturating_sub(prepared).as_secs_f64() / count as f64;
        println!(
            "{species} gzip NCD: accuracy, F1 {:.4?}; {all:.2?} with {prepared:.2?} to prepare; {:.2} us a pair",
            figures(&pairs),
            1e6 * fast
        );

        // C zlib on an even sample of the pairs, and that all of these sizes are equal.
        let mut zlib = Deflater::new(9);
        let (mut slow, mut sampled, mut joined) = (std::time::Duration::ZERO, 0, Vec::new());
        for &row in test.iter().step_by(20) {
            let distances = corpus.row(&rows[row].0).unwrap();
            for (at, other) in sequences.iter().enumerate().step_by(7) {
                let begun = Instant::now();
                joined.clear();
                joined.extend_from_slice(&rows[row].0);
                joined.push(b' ');
                joined.extend_from_slice(other);
                let size = zlib.size(&joined) + 18;
                slow += begun.elapsed();
                sampled += 1;
                assert_eq!(8 * size, distances.joint[at] as u64, "the sizes are those of zlib");
            }
        }
        let slow = slow.as_secs_f64() / f64::from(sampled);
        println!(
            "{species} C zlib level 9: {:.1} us a pair of {sampled}; ratio {:.1}",
            1e6 * slow,
            slow / fast
        );
    }
}
