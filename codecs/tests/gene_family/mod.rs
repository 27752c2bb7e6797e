//! The gene families of the paper, and the public splits.
#![allow(dead_code, reason = "each test uses its part")]

use std::io::Read;

use super::shared;

/// Sequences with the numbers of their classes.
pub(crate) fn rows(species: &str) -> Option<Vec<(Vec<u8>, usize)>> {
    let path = shared::folder("data/genefamily")?.join(format!("{species}_data.txt.gz"));
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let row = |line: &str| {
        let (sequence, class) = line.split_once('\t').unwrap();
        (sequence.as_bytes().to_vec(), class.trim().parse().unwrap())
    };
    Some(text.lines().skip(1).map(row).collect())
}

/// A file of the public fixtures.
pub(crate) fn fixtures(name: &str) -> Option<String> {
    Some(std::fs::read_to_string(shared::folder("fixtures/ncd")?.join(name)).unwrap())
}

/// Rows of the public random split: for training and for testing.
pub(crate) fn random_split(species: &str) -> Option<(Vec<usize>, Vec<usize>)> {
    let splits: serde_json::Value = serde_json::from_str(&fixtures("splits_public.json")?).unwrap();
    let part = |name: &str| {
        let list = splits[species]["random"][name].as_array().unwrap();
        list.iter().map(|row| row.as_u64().unwrap() as usize).collect()
    };
    Some((part("train"), part("test")))
}
