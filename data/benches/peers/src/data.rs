//! What is read: real files where there are some, else a text that a seed makes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use kilobase_data::fastx::Reader;

/// Plain and packed forms of a chromosome and of reads.
pub(crate) struct Files {
    pub(crate) fasta: PathBuf,
    pub(crate) contigs: PathBuf,
    pub(crate) fastq: PathBuf,
    pub(crate) gz: PathBuf,
    pub(crate) bgzf: PathBuf,
    pub(crate) fastq_gz: PathBuf,
    /// The bases of the chromosome, upper case.
    pub(crate) bases: Vec<u8>,
}

const FASTQ_BYTES: usize = 200_000_000;

impl Files {
    /// `KILOBASE_BENCH_FASTA` and `KILOBASE_BENCH_FASTQ` name inputs, gzip or plain.
    pub(crate) fn make() -> Self {
        let folder = std::env::temp_dir().join("kilobase-peers");
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        let at = |name: &str| folder.join(name);
        let fasta = at("chromosome.fa");
        let sequence = match std::env::var_os("KILOBASE_BENCH_FASTA") {
            Some(path) => read(Path::new(&path)),
            None => bases(64_000_000),
        };
        write_once(&fasta, || lines("chromosome", &sequence));
        let contigs = at("contigs.fa");
        write_once(&contigs, || {
            let contig = |(number, bases): (usize, &[u8])| lines(&format!("contig{number}"), bases);
            sequence.chunks(3000).enumerate().flat_map(contig).collect()
        });
        let fastq = at("reads.fq");
        write_once(&fastq, || {
            let records: Vec<u8> = match std::env::var_os("KILOBASE_BENCH_FASTQ") {
                Some(path) => reads_of(Path::new(&path)),
                None => reads(&sequence),
            };
            let copies = FASTQ_BYTES.div_ceil(records.len());
            // Names differ, as in a file of one run.
            (0..copies).flat_map(|copy| renamed(&records, copy)).collect()
        });
        let (gz, bgzf, fastq_gz) = (at("chromosome.fa.gz"), at("chromosome.bgzf.fa.gz"), at("reads.fq.gz"));
        write_once(&gz, || gzip(&fs::read(&fasta).expect("written above")));
        write_once(&fastq_gz, || gzip(whole(&fs::read(&fastq).expect("written above"), FASTQ_BYTES / 2)));
        write_once(&bgzf, || blocks(&fs::read(&fasta).expect("written above")));
        let bases = sequence.to_ascii_uppercase();
        Self { fasta, contigs, fastq, gz, bgzf, fastq_gz, bases }
    }
}

pub(crate) fn size(path: &Path) -> u64 {
    fs::metadata(path).expect("the file was made").len()
}

fn write_once(path: &Path, make: impl FnOnce() -> Vec<u8>) {
    if !path.exists() {
        let temporary = path.with_extension("part");
        fs::write(&temporary, make()).expect("room for temporary files");
        fs::rename(temporary, path).expect("a name in the same folder");
    }
}

fn read(path: &Path) -> Vec<u8> {
    Reader::open(path).expect("a FASTA file").flat_map(|record| record.expect("a whole file").sequence).collect()
}

fn reads_of(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    for record in Reader::open(path).expect("a FASTQ file") {
        let record = record.expect("a whole file");
        for part in [&b"@"[..], record.id.as_bytes(), b"\n", &record.sequence, b"\n+\n"] {
            text.extend_from_slice(part);
        }
        text.extend_from_slice(&record.quality.expect("a FASTQ file"));
        text.push(b'\n');
    }
    text
}

fn renamed(records: &[u8], copy: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(records.len() + records.len() / 20);
    for (number, line) in records.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if number % 4 == 0 {
            write!(text, "@{copy}.").expect("a vector takes all");
            text.extend_from_slice(&line[1..]);
        } else {
            text.extend_from_slice(line);
        }
    }
    text
}

fn lines(name: &str, bases: &[u8]) -> Vec<u8> {
    let mut text = format!(">{name}\n").into_bytes();
    for line in bases.chunks(60) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text
}

/// Splitmix64.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }
}

/// Bases with repeats, as genomes have; seed 1.
fn bases(count: usize) -> Vec<u8> {
    let mut draw = Draw(1);
    let mut text: Vec<u8> = Vec::with_capacity(count + 400);
    while text.len() < count {
        let (start, length) = (draw.next() as usize % text.len().max(1), 20 + draw.next() as usize % 300);
        if draw.next() % 2 > 0 && start + length < text.len() {
            text.extend_from_within(start..start + length);
        } else {
            text.extend((0..length).map(|_| b"ACGTTAAT"[draw.next() as usize % 8]));
        }
    }
    text.truncate(count);
    text
}

/// Reads of 150 bases with falling quality; seed 2.
fn reads(sequence: &[u8]) -> Vec<u8> {
    let mut draw = Draw(2);
    let mut text = Vec::new();
    for number in 0..100_000 {
        let start = draw.next() as usize % (sequence.len() - 150);
        writeln!(text, "@read{number}").expect("a vector takes all");
        text.extend_from_slice(&sequence[start..start + 150]);
        text.extend_from_slice(b"\n+\n");
        text.extend((0..150).map(|place| b'!' + (40 - place / 10 - draw.next() % 5 * (draw.next() % 3)) as u8));
        text.push(b'\n');
    }
    text
}

/// The records among the first `bytes` that are whole.
fn whole(records: &[u8], bytes: usize) -> &[u8] {
    let ends = records[..bytes].iter().enumerate().filter(|&(_, &byte)| byte == b'\n').map(|(at, _)| at + 1);
    let end = ends.skip(3).step_by(4).last().unwrap_or(0);
    &records[..end]
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(text).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

/// As bgzip writes it: blocks of 65,280 bytes of text (SAM specification, 4.1).
fn blocks(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in text.chunks(65_280).chain([&b""[..]]) {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(part).expect("a vector takes all");
        let packed = encoder.finish().expect("a vector takes all");
        let mut sum = flate2::Crc::new();
        sum.update(part);
        out.extend_from_slice(&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, b'B', b'C', 2, 0]);
        out.extend_from_slice(&(packed.len() as u16 + 25).to_le_bytes());
        out.extend_from_slice(&packed);
        out.extend_from_slice(&sum.sum().to_le_bytes());
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
    }
    out
}
