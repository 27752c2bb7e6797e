//! Agreement with readers written by others, on genomes and reads as they come from the archives.

mod shared;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use kilobase_data::fastx::{Format, Reader, Record};

fn inflated(path: &Path) -> Box<dyn BufRead> {
    let file = File::open(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    }
}

fn files(folder: &Path, kinds: &[&str]) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| kinds.iter().any(|kind| path.to_string_lossy().ends_with(kind)))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn ours(path: &Path) -> (Option<Format>, Vec<Record>) {
    let mut reader = Reader::open(path).unwrap();
    let records = reader.by_ref().collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error}"));
    (reader.format(), records)
}

#[test]
fn genomes_read_as_bio_and_noodles_read_them() {
    let Some(folder) = shared::folder("data/genomes") else { return };
    for path in files(&folder, &[".fa", ".fa.gz", ".fna.gz"]) {
        let (format, records) = ours(&path);
        assert_eq!(format, Some(Format::Fasta));
        let mut bio = bio::io::fasta::Reader::from_bufread(inflated(&path)).records();
        let mut noodles = noodles_fasta::io::Reader::new(inflated(&path));
        let mut noodles = noodles.records();
        for record in &records {
            let other = bio.next().unwrap().unwrap();
            assert_eq!((record.id.as_str(), &record.sequence[..]), (other.id(), other.seq()));
            assert_eq!(record.description, other.desc().unwrap_or_default().trim());
            let other = noodles.next().unwrap().unwrap();
            assert_eq!(record.id.as_bytes(), other.name());
            assert_eq!(record.sequence, other.sequence().as_ref());
        }
        assert!(bio.next().is_none() && noodles.next().is_none(), "{}", path.display());
    }
}

#[test]
fn reads_read_as_bio_and_noodles_read_them() {
    let Some(folder) = shared::folder("data/reads") else { return };
    for path in files(&folder, &[".fq.gz"]) {
        let (format, records) = ours(&path);
        assert_eq!(format, Some(Format::Fastq));
        let mut bio = bio::io::fastq::Reader::from_bufread(inflated(&path)).records();
        let mut noodles = noodles_fastq::io::Reader::new(inflated(&path));
        let mut noodles = noodles.records();
        for record in &records {
            let quality = record.quality.as_deref().unwrap();
            let other = bio.next().unwrap().unwrap();
            assert_eq!(
                (record.id.as_str(), &record.sequence[..], quality),
                (other.id(), other.seq(), other.qual())
            );
            let other = noodles.next().unwrap().unwrap();
            assert_eq!(record.id.as_bytes(), other.name());
            assert_eq!(record.description.as_bytes(), other.description().trim_ascii());
            assert_eq!((&record.sequence[..], quality), (other.sequence(), other.quality_scores()));
        }
        assert!(bio.next().is_none() && noodles.next().is_none(), "{}", path.display());
    }
}
