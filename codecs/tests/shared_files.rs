//! Every file of the larger test data goes through compression and back.

mod shared;

use std::path::{Path, PathBuf};

use kilobase_codecs::compress::fasta;
use rayon::prelude::*;

#[test]
#[ignore = "a minute or two in an optimised build: cargo test --release --test shared_files -- --ignored"]
fn every_file_comes_back() {
    let Some(folder) = shared::folder("data") else { return };
    let mut files = Vec::new();
    collect(&folder, &mut files);
    assert!(files.len() > 100, "{}", files.len());
    files.par_iter().for_each(|path| {
        let bytes = std::fs::read(path).unwrap();
        let mut packed = Vec::new();
        fasta::compress(&mut &bytes[..], &mut packed, fasta::BLOCK, |_, _| ()).unwrap();
        let mut again = Vec::new();
        fasta::decompress(&mut &packed[..], &mut again, |_| ()).unwrap();
        assert!(again == bytes, "{}", path.display());
    });
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
