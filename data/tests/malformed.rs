//! What the reader makes of a corpus of damaged, odd and valid files: one expectation a file, in `malformed.txt`.
//!
//! The corpus is the Biopython/FormatSpecimens collection, files of needletail's and seqkit's tests, and damage done to
//! phage lambda and to real reads. It is not part of the repository; the test says when it is absent.
//! Files that other collections call valid and that are refused here, with the reason:
//! proteins (the default alphabet is nucleotides), `example1.txt` (spaces inside the sequence), `f003.fasta` (comment
//! lines), wrapped FASTQ (where a record ends can only be guessed), and files compressed with something else than gzip.

mod shared;

use std::fmt::Write as _;

use kilobase_data::fastx::{Alphabet, Reader, WarningKind};

/// What reading a file to its end gives, in the words of the table.
fn outcome(reader: Reader) -> String {
    let (mut records, mut letters) = (0, 0);
    for record in reader {
        match record {
            Ok(record) => {
                records += 1;
                letters += record.len();
            }
            Err(error) => return format!("error after {records}: {error}"),
        }
    }
    format!("{records} records, {letters} letters")
}

/// Whether the outcome holds what the table says: the count exactly, of an error's text every part given.
fn agrees(expected: &str, found: &str) -> bool {
    match expected.strip_prefix("error") {
        None => expected == found,
        Some(text) => {
            let (count, parts) = text.split_once(':').expect("`error after N: text`");
            found.starts_with(&format!("error{count}:"))
                && parts.split(": ").all(|part| found.contains(part.trim()))
        }
    }
}

#[test]
fn every_file_of_the_corpus_reads_as_the_table_says() {
    let Some(corpus) = shared::folder("data/malformed") else { return };
    let table = include_str!("malformed.txt");
    let mut complaints = String::new();
    for row in table.lines() {
        let (file, expected) = row.split_once("  ").expect("a file and its outcome");
        let found =
            outcome(Reader::open(corpus.join(file)).expect("the corpus holds every file of the table"));
        if !agrees(expected.trim(), &found) {
            writeln!(complaints, "{file}: expected {}, found {found}", expected.trim()).unwrap();
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn the_table_misses_no_file_of_the_corpus() {
    let Some(corpus) = shared::folder("data/malformed") else { return };
    let table = include_str!("malformed.txt");
    for folder in ["derived", "needletail", "seqkit", "specimen/FASTA", "specimen/FASTQ"] {
        for entry in std::fs::read_dir(corpus.join(folder)).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().display());
            let listed = table.lines().any(|row| row.split_whitespace().next() == Some(name.as_str()));
            assert!(listed || name.ends_with("index.toml"), "{name} has no row");
        }
    }
}

#[test]
fn proteins_are_read_when_any_letter_is_allowed() {
    let Some(corpus) = shared::folder("data/malformed") else { return };
    let table = include_str!("malformed.txt");
    let proteins = table.lines().filter(|row| row.contains("looks like protein"));
    for file in proteins.map(|row| row.split_whitespace().next().unwrap()) {
        let reader = Reader::builder().alphabet(Alphabet::Any).open(corpus.join(file)).unwrap();
        assert!(!outcome(reader).starts_with("error"), "{file}");
    }
}

#[test]
fn oddities_of_the_corpus_are_warned_of() {
    let Some(corpus) = shared::folder("data/malformed/derived") else { return };
    for (file, kind) in [
        ("lambda_dupids.fa", WarningKind::DuplicateId),
        ("lambda_empty_records.fa", WarningKind::EmptyId),
        ("lambda.trailing_garbage.fa.gz", WarningKind::TrailingBytes),
        ("lambda.bgzf_noeof.fa.gz", WarningKind::NoEndBlock),
    ] {
        let mut reader = Reader::open(corpus.join(file)).unwrap();
        assert!(reader.by_ref().all(|record| record.is_ok()));
        let kinds: Vec<_> = reader.warnings().iter().map(|warning| warning.kind).collect();
        assert_eq!(kinds, [kind], "{file}");
    }
}
