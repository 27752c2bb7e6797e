use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use helicase::input::{FromFile, FromMmap};
use helicase::{Config, FastxParser, HelicaseParser, ParallelFastxParser, ParserOptions};
use kilobase_data::alphabet::Counts;
use kilobase_data::fastx::{Reader, Record};
use kilobase_data::stats::Stats;

use crate::compare;
use crate::data::{Files, size};

const ROUNDS: usize = 7;

/// Our command: letters of each kind, lengths for N50, all letters checked.
fn ours(path: &Path, threads: usize) -> u64 {
    let mut reader = Reader::builder().threads(threads).open(path).expect("the file is there");
    Stats::read(&mut reader, |_| ()).expect("the file is whole").letters.total()
}

/// Our records, one after the other.
fn our_records(path: &Path, threads: usize) -> u64 {
    let mut reader = Reader::builder().threads(threads).open(path).expect("the file is there");
    let (mut record, mut bases) = (Record::default(), 0);
    while reader.read_record(&mut record).expect("the file is whole") {
        bases += record.len() as u64;
    }
    bases
}

const STRING: Config = ParserOptions::default().config();

/// Its records, mapped where it can, and their lengths.
fn helicase_records(path: &Path, mapped: bool) -> u64 {
    let mut bases = 0;
    let mut parser = if mapped {
        FastxParser::<STRING>::from_file_mmap(path).expect("the file is there")
    } else {
        FastxParser::<STRING>::from_file(path).expect("the file is there")
    };
    while let Some(event) = parser.next() {
        event.expect("the file is whole");
        bases += parser.get_dna_string().len() as u64;
    }
    bases
}

/// Its records and the letters of each kind, counted as ours are.
fn helicase_counts(path: &Path, mapped: bool) -> u64 {
    let mut counts = Counts::default();
    let mut parser = if mapped {
        FastxParser::<STRING>::from_file_mmap(path).expect("the file is there")
    } else {
        FastxParser::<STRING>::from_file(path).expect("the file is there")
    };
    while let Some(event) = parser.next() {
        event.expect("the file is whole");
        counts.add(parser.get_dna_string());
    }
    counts.total()
}

fn helicase_parallel(path: &Path, threads: usize) -> u64 {
    ParallelFastxParser::<STRING>::from_file(path)
        .expect("the file is there")
        .threads(threads)
        .for_each_with(
            || 0_u64,
            |bases, mut parser| {
                while let Some(event) = parser.next() {
                    event?;
                    *bases += parser.get_dna_string().len() as u64;
                }
                Ok(())
            },
        )
        .expect("the file is whole")
        .into_iter()
        .sum()
}

fn needletail(path: &Path) -> u64 {
    let mut reader = needletail::parse_fastx_file(path).expect("the file is there");
    let mut bases = 0;
    while let Some(record) = reader.next() {
        bases += record.expect("the file is whole").num_bases() as u64;
    }
    bases
}

fn bio_fasta(path: &Path) -> u64 {
    let records = bio::io::fasta::Reader::from_file(path).expect("the file is there").records();
    records.map(|record| record.expect("the file is whole").seq().len() as u64).sum()
}

fn bio_fastq(path: &Path) -> u64 {
    let records = bio::io::fastq::Reader::from_file(path).expect("the file is there").records();
    records.map(|record| record.expect("the file is whole").seq().len() as u64).sum()
}

fn noodles_fasta(path: &Path) -> u64 {
    let mut reader = noodles_fasta::io::Reader::new(BufReader::new(File::open(path).expect("the file is there")));
    reader.records().map(|record| record.expect("the file is whole").sequence().len() as u64).sum()
}

fn noodles_fastq(path: &Path) -> u64 {
    let mut reader = noodles_fastq::io::Reader::new(BufReader::new(File::open(path).expect("the file is there")));
    reader.records().map(|record| record.expect("the file is whole").sequence().len() as u64).sum()
}

pub(crate) fn alone(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")
}

pub(crate) fn fasta(files: &Files) {
    let one = alone(1);
    let two = alone(2);
    for (job, path) in [("FASTA, a chromosome", &files.fasta), ("FASTA, contigs of 3 kb", &files.contigs)] {
        compare(
            job,
            size(path),
            ROUNDS,
            &[
                ("kilobase stats, 1 thread", Box::new(|| one.install(|| ours(path, 1)))),
                ("kilobase stats, 2 threads", Box::new(|| two.install(|| ours(path, 2)))),
                ("kilobase records, 1 thread", Box::new(|| our_records(path, 1))),
                ("helicase records, mapped", Box::new(|| helicase_records(path, true))),
                ("helicase records and counts, mapped", Box::new(|| helicase_counts(path, true))),
                ("needletail records", Box::new(|| needletail(path))),
                ("bio records", Box::new(|| bio_fasta(path))),
                ("noodles records", Box::new(|| noodles_fasta(path))),
            ],
        );
    }
}

pub(crate) fn fastq(files: &Files) {
    let path = &files.fastq;
    compare(
        "FASTQ",
        size(path),
        ROUNDS,
        &[
            ("kilobase records", Box::new(|| our_records(path, 1))),
            ("kilobase stats", Box::new(|| ours(path, 1))),
            ("helicase records, mapped", Box::new(|| helicase_records(path, true))),
            ("helicase records and counts, mapped", Box::new(|| helicase_counts(path, true))),
            ("needletail records", Box::new(|| needletail(path))),
            ("bio records", Box::new(|| bio_fastq(path))),
            ("noodles records", Box::new(|| noodles_fastq(path))),
        ],
    );
}

/// Bytes that igzip inflates, and nothing else.
fn igzip(path: &Path) -> u64 {
    drain(isal::read::Decoder::new(File::open(path).expect("the file is there"), isal::Codec::Gzip))
}

fn zlib_rs(path: &Path) -> u64 {
    drain(flate2::bufread::MultiGzDecoder::new(BufReader::new(File::open(path).expect("the file is there"))))
}

fn drain(mut inner: impl Read) -> u64 {
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        match inner.read(&mut buffer).expect("the file is whole") {
            0 => return bytes,
            count => bytes += count as u64,
        }
    }
}

pub(crate) fn gz(files: &Files) {
    for (job, path) in [("gzip, a chromosome", &files.gz), ("gzip, FASTQ", &files.fastq_gz)] {
        let text = zlib_rs(path);
        compare(
            job,
            text,
            ROUNDS,
            &[
                ("kilobase stats", Box::new(|| ours(path, 2))),
                ("kilobase stats, 1 thread", Box::new(|| ours(path, 1))),
                ("helicase records", Box::new(|| helicase_records(path, false))),
                ("needletail records", Box::new(|| needletail(path))),
            ],
        );
        compare(
            "  the same, inflated and nothing else",
            text,
            ROUNDS,
            &[
                ("kilobase", Box::new(|| kilobase_data::fastx::inflated_bytes(path).expect("the file is whole"))),
                ("igzip", Box::new(|| igzip(path))),
                ("zlib-rs", Box::new(|| zlib_rs(path))),
            ],
        );
    }
}

pub(crate) fn bgzf(files: &Files) {
    let path = &files.bgzf;
    compare(
        "bgzf, a chromosome, on 2 threads",
        zlib_rs(path),
        ROUNDS,
        &[
            ("kilobase stats", Box::new(|| ours(path, 2))),
            ("kilobase records", Box::new(|| our_records(path, 2))),
            ("helicase records, parallel", Box::new(|| helicase_parallel(path, 2))),
            ("helicase records", Box::new(|| helicase_records(path, false))),
            ("needletail records", Box::new(|| needletail(path))),
        ],
    );
}
