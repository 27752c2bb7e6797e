//! Accuracy and speed on the gene families of the paper: `cargo run --release --example gene_families -- [FOLDER]`.
#![allow(clippy::print_stdout, reason = "a report")]

use std::time::Instant;

use kilobase_codecs::compress::bytes::{Compressor, Kind};
use kilobase_codecs::compress::cm::{Example, Trainer};
use kilobase_codecs::compress::zlib::Deflater;
use kilobase_codecs::compress::{CodeLength, Distance, knn};

#[path = "../tests/gene_family/mod.rs"]
mod gene_family;
#[path = "../tests/shared/mod.rs"]
mod shared;

const CLASSES: usize = 7;

fn macro_f1(pairs: &[(usize, usize)]) -> (f64, f64) {
    let right = pairs.iter().filter(|(a, b)| a == b).count();
    let f1 = |class: usize| {
        let count =
            |test: &dyn Fn(&(usize, usize)) -> bool| pairs.iter().filter(|pair| test(pair)).count() as f64;
        let both = count(&|&(a, b)| a == class && b == class);
        let either = count(&|&(a, _)| a == class) + count(&|&(_, b)| b == class);
        if either > 0.0 { 2.0 * both / either } else { 0.0 }
    };
    (right as f64 / pairs.len() as f64, (0..CLASSES).map(f1).sum::<f64>() / CLASSES as f64)
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
        let mut surprise = 0.0;
        for &row in &test {
            let score = model.score(&rows[row].0);
            let decision = score.decide(model.temperature());
            if decision.class == rows[row].1 {
                surprise -= decision.confidence.log2();
            }
            pairs.push((rows[row].1, decision.class));
        }
        let scored = begun.elapsed();
        let letters: usize = test.iter().map(|&row| rows[row].0.len()).sum();
        println!(
            "{species} cm: accuracy, F1 {:.4?}; trained in {trained:.2?}, {:.0} queries/s of {} letters on average; T {:.1}, {surprise:.1}",
            macro_f1(&pairs),
            test.len() as f64 / scored.as_secs_f64(),
            letters / test.len(),
            model.temperature(),
        );

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
        let fast = (all - prepared).as_secs_f64() / count as f64;
        println!(
            "{species} gzip NCD: accuracy, F1 {:.4?}; {all:.2?} with {prepared:.2?} to prepare; {:.2} us a pair",
            macro_f1(&pairs),
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
                assert_eq!(8.0 * size as f64, distances.joint[at]);
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
