//! Bits a base on the corpus of DNA compression.
#![allow(clippy::print_stdout)]
use std::io::Read;
fn main() {
    let folder = "/work/shared/data/corpus_dna";
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let begun = std::time::Instant::now();
    let (mut sum, mut total) = (0.0, 0);
    let mut line = String::new();
    for path in &names {
        let mut bytes = Vec::new();
        flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
        let bases: Vec<u8> = bytes.iter().filter_map(|b| match b.to_ascii_uppercase() { b'A' => Some(0), b'C' => Some(1), b'G' => Some(2), b'T' => Some(3), _ => None }).collect();
        let bits = kilobase_codecs::compress::dna::bits(&bases) / bases.len() as f64;
        line += &format!("{} {bits:.4}  ", path.file_stem().unwrap().to_str().unwrap());
        sum += bits; total += bases.len();
    }
    println!("{line}\nmean {:.4}  {:.2} MB/s", sum / names.len() as f64, total as f64 / 1e6 / begun.elapsed().as_secs_f64());
}
