//! The gene families of the paper: accuracies on the public random splits, and bits a base on the corpus of DNA compression.

#![allow(clippy::float_cmp, reason = "figures are to be met exactly")]

mod gene_family;
mod shared;

use std::io::Read;

use kilobase_codecs::compress::bytes::{Compressor, Kind};
use kilobase_codecs::compress::cm::{Example, Trainer};
use kilobase_codecs::compress::dna;
use kilobase_codecs::compress::measures::Confusion;
use kilobase_codecs::compress::{CodeLength, Distance, knn};
use rayon::prelude::*;

const CLASSES: usize = 7;

struct Set {
    train: Vec<(Vec<u8>, usize)>,
    test: Vec<(Vec<u8>, usize)>,
}

fn random_split(species: &str) -> Option<Set> {
    let rows = gene_family::rows(species)?;
    let (train, test) = gene_family::random_split(species)?;
    let part = |numbers: &[usize]| numbers.iter().map(|&row| rows[row].clone()).collect();
    Some(Set { train: part(&train), test: part(&test) })
}

#[test]
fn gzip_neighbours_give_the_published_figures() {
    for (species, accuracy, f1) in [("chimp", 0.8309, 0.8412), ("dog", 0.6280, 0.6365)] {
        let Some(set) = random_split(species) else { return };
        let (sequences, classes): (Vec<Vec<u8>>, Vec<usize>) = set.train.into_iter().unzip();
        let gzip = Compressor::new(Kind::Gzip, 9).unwrap();
        let corpus = gzip.corpus(&sequences).unwrap();
        let predict = |(query, class): &(Vec<u8>, usize)| {
            let distances = Distance::Ncd.row(&*corpus, query).unwrap();
            (*class, knn::vote(&distances, &classes, CLASSES, 1).unwrap().class)
        };
        let pairs: Vec<(usize, usize)> = set.test.par_iter().map(predict).collect();
        let confusion = Confusion::of(CLASSES, pairs);
        let rounded = |value: f64| (1e4 * value).round() / 1e4;
        assert_eq!(
            (rounded(confusion.accuracy()), rounded(confusion.macro_f1())),
            (accuracy, f1),
            "{species}"
        );
    }
}

#[test]
fn class_models_are_far_better() {
    for (species, least) in [("chimp", 0.92), ("dog", 0.88)] {
        let Some(set) = random_split(species) else { return };
        let examples: Vec<Example> =
            set.train.iter().map(|(sequence, class)| Example { sequence, class: *class }).collect();
        let model =
            Trainer::new((0..CLASSES).map(|class| class.to_string()).collect()).train(&examples).unwrap();
        let verdicts: Vec<(usize, usize, f64)> = set
            .test
            .par_iter()
            .map(|(query, class)| {
                let decision = model.score(query).decide(model.temperature());
                (*class, decision.class, decision.confidence)
            })
            .collect();
        let confusion = Confusion::of(CLASSES, verdicts.iter().map(|&(truth, class, _)| (truth, class)));
        assert!(confusion.accuracy() >= least, "{species}: {}", confusion.accuracy());
        // Those it is surest of are right more often than the others.
        let right = |sure: bool| {
            let part: Vec<bool> = verdicts
                .iter()
                .filter(|(.., p)| (*p > 0.9) == sure)
                .map(|(truth, class, _)| truth == class)
                .collect();
            part.iter().filter(|&&right| right).count() as f64 / part.len().max(1) as f64
        };
        assert!(right(true) > right(false), "{species}: {} {}", right(true), right(false));
    }
}

#[test]
fn corpus_of_dna_stays_at_its_bits_a_base() {
    let Some(folder) = shared::folder("data/corpus_dna") else { return };
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let bits: Vec<f64> = files
        .par_iter()
        .map(|path| {
            let mut text = Vec::new();
            flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap())
                .read_to_end(&mut text)
                .unwrap();
            let code = |letter: &u8| b"acgt".iter().position(|base| base == letter).map(|base| base as u8);
            let bases: Vec<u8> = text.iter().filter_map(code).collect();
            assert_eq!(bases.len(), text.len());
            dna::bits(&bases) / bases.len() as f64
        })
        .collect();
    let mean = bits.iter().sum::<f64>() / bits.len() as f64;
    assert_eq!(bits.len(), 11);
    assert!(mean < 1.6900, "{mean}: {bits:?}");
}
