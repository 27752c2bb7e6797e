//! Accuracy and speed on the gene families of the paper: `cargo run --release --example gene_families -- [--cm-only]`.
//!
//! One thread; times are those of the processor where the system tells them, so that other work beside does not count.
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

/// Seconds of processor time of this process, in hundredths; elapsed ones where the system does not tell.
fn seconds(begun: Instant) -> f64 {
    let times = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| {
        // Behind the name, which may hold anything: the 14th and 15th field, in hundredths on every Linux.
        let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
        fields.map(|field| field.parse::<f64>().ok()).sum::<Option<f64>>()
    });
    times.map_or_else(|| begun.elapsed().as_secs_f64(), |hundredths| hundredths / 100.0)
}

/// The median time of five runs, and what came out.
fn median<T>(mut run: impl FnMut() -> T) -> (f64, T) {
    let begun = Instant::now();
    let mut times = [0.0; 5];
    let mut out = None;
    for time in &mut times {
        let before = seconds(begun);
        out = Some(run());
        *time = seconds(begun) - before;
    }
    times.sort_by(f64::total_cmp);
    (times[2], out.expect("five runs"))
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

        let examples: Vec<Example> =
            sequences.iter().zip(&classes).map(|(sequence, &class)| Example { sequence, class }).collect();
        let names: Vec<String> = (0..CLASSES).map(|class| class.to_string()).collect();
        let (trained, model) =
            median(|| Trainer::new(names.clone()).train(&examples).expect("every class has sequences"));
        let (scored, pairs) = median(|| -> Vec<(usize, usize)> {
            let class = |sequence: &[u8]| model.score(sequence).decide(model.temperature()).class;
            test.iter().map(|&row| (rows[row].1, class(&rows[row].0))).collect()
        });
        let letters: usize = test.iter().map(|&row| rows[row].0.len()).sum();
        let kilobases: Vec<&[u8]> = test
            .iter()
            .map(|&row| &rows[row].0[..])
            .filter(|row| (1000..=2000).contains(&row.len()))
            .collect();
        let (scored_kilobases, _) =
            median(|| kilobases.iter().map(|sequence| model.score(sequence).bits[0]).sum::<f64>());
        println!(
            "{species} cm: accuracy, F1 {:.4?}; trained in {trained:.2} s; {:.0} queries/s of {} letters on average, {:.0} of 1 to 2 kb; temperature {:.1}",
            figures(&pairs),
            test.len() as f64 / scored,
            letters / test.len(),
            kilobases.len() as f64 / scored_kilobases,
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
