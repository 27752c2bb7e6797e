use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use noodles_bgzf as bgzf;
use noodles_fasta as fasta;
use proptest::prelude::*;

use super::*;
use crate::fastx::{Damage, WarningKind};

const TEXT: &str = ">chr1 first\nACGTac\ngtnn\n>chr2\nGG\n>empty\n>chrM\r\nACG\r\nTTA\r\nC";

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// bgzf in blocks of a few bytes, so that small texts have many.
fn bgzf(text: &[u8], block: usize) -> Vec<u8> {
    let mut writer = bgzf::io::Writer::new(Vec::new());
    for piece in text.chunks(block) {
        writer.write_all(piece).unwrap();
        writer.flush().unwrap();
    }
    writer.finish().unwrap()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(text).unwrap();
    writer.finish().unwrap()
}

fn message(path: &Path) -> String {
    Reference::open(path).unwrap_err().to_string()
}

#[test]
fn every_kind_of_file_gives_the_same_bases() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, origin) in [
        ("a.fa", TEXT.as_bytes().to_vec(), IndexOrigin::Built),
        ("a.fa.bgz", bgzf(TEXT.as_bytes(), 7), IndexOrigin::Built),
        ("a.fa.gz", gzip(TEXT.as_bytes()), IndexOrigin::Memory),
        ("ragged.fa", TEXT.replace("ACGTac\ngtnn", "ACG\nTacgt\n\nnn").into_bytes(), IndexOrigin::Memory),
        ("bom.fa", [b"\xef\xbb\xbf\n", TEXT.as_bytes()].concat(), IndexOrigin::Built),
    ] {
        let genome = Reference::open(write(folder.path(), name, &bytes)).unwrap();
        assert_eq!(genome.index_origin(), &origin, "{name}");
        let contigs: Vec<_> = genome.contigs().iter().map(|c| (c.name.as_str(), c.length)).collect();
        assert_eq!(contigs, [("chr1", 10), ("chr2", 2), ("empty", 0), ("chrM", 7)], "{name}");
        assert_eq!(genome.fetch_raw("chr1", 0..10).unwrap(), b"ACGTacgtnn", "{name}");
        assert_eq!(genome.fetch("chr1", 5..7).unwrap(), b"CG", "{name}");
        assert_eq!(genome.fetch("chr1", 10..10).unwrap(), b"", "{name}");
        assert_eq!(genome.fetch("chrM", 2..7).unwrap(), b"GTTAC", "{name}");
        assert_eq!(genome.fetch("empty", 0..0).unwrap(), b"", "{name}");
        assert!(matches!(
            genome.fetch("chr2", 1..3),
            Err(Error::PastEnd { start: 2, end: 3, length: 2, .. })
        ));
        assert!(matches!(
            genome.fetch("M", 0..1),
            Err(Error::UnknownContig { similar: Some(similar), .. }) if similar == "chrM"
        ));
        assert!(genome.warnings().is_empty(), "{name}");
    }
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 5, "nothing is written beside the files: {names:?}");
}

#[test]
fn genome_may_be_read_from_several_threads() {
    let folder = tempfile::tempdir().unwrap();
    let text = [b">a\n".to_vec(), b"ACGTTGCAAC\n".repeat(300)].concat();
    let genome = Reference::open(write(folder.path(), "a.fa.gz", &bgzf(&text, 64))).unwrap();
    let whole = genome.fetch("a", 0..3000).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (genome, whole) = (&genome, &whole);
            scope.spawn(move || {
                for start in (thread..2900).step_by(7) {
                    let found = genome.fetch("a", start..start + 100).unwrap();
                    assert_eq!(found, whole[start as usize..start as usize + 100]);
                }
            });
        }
    });
}

#[test]
fn index_files_are_used_while_they_belong_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let fai = "chr1\t10\t12\t6\t7\nchr2\t2\t30\t2\t3\nempty\t0\t40\t0\t0\nchrM\t7\t47\t3\t5\n";
    let path = write(folder.path(), "a.fa", TEXT.as_bytes());
    write(folder.path(), "a.fa.fai", fai.as_bytes());
    let genome = Reference::open(&path).unwrap();
    assert_eq!(genome.index_origin(), &IndexOrigin::File);
    assert_eq!(genome.fetch_raw("chrM", 0..7).unwrap(), b"ACGTTAC");

    let packed = write(folder.path(), "b.fa.gz", &bgzf(TEXT.as_bytes(), 16));
    write(folder.path(), "b.fa.gz.fai", fai.as_bytes());
    let genome = Reference::open(&packed).unwrap();
    assert_eq!(genome.index_origin(), &IndexOrigin::File);
    assert_eq!(genome.fetch_raw("chr1", 3..9).unwrap(), b"Tacgtn");

    for (text, stale) in [
        (TEXT.replace("first", "the first"), Stale::Longer),
        (TEXT.replace("chr2", "chr3"), Stale::Place { contig: "chr2".into() }),
        (format!("{TEXT}\n>new\nAC\n"), Stale::Longer),
    ] {
        fs::write(&path, &text).unwrap();
        let genome = Reference::open(&path).unwrap();
        assert!(
            matches!(genome.index_origin(), IndexOrigin::Rebuilt(found) if *found == stale),
            "{text:?} {:?}",
            genome.index_origin()
        );
        assert_eq!(genome.fetch_raw("chr1", 0..10).unwrap(), b"ACGTacgtnn");
    }
    fs::write(&path, TEXT).unwrap();
    for (index, line) in [("chr1\t10\t12\t6\n", 1), ("chr1\t10\t12\t6\t7\nchr1\t2\t30\t2\t3\n", 2), ("", 1)] {
        write(folder.path(), "a.fa.fai", index.as_bytes());
        let genome = Reference::open(&path).unwrap();
        assert_eq!(genome.index_origin(), &IndexOrigin::Rebuilt(Stale::Line { line }), "{index}");
    }
}

#[test]
fn file_that_is_shorter_than_its_index_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.fa", &TEXT.as_bytes()[..TEXT.len() - 3]);
    write(
        folder.path(),
        "a.fa.fai",
        b"chr1\t10\t12\t6\t7\nchr2\t2\t30\t2\t3\nempty\t0\t40\t0\t0\nchrM\t7\t47\t3\t5\n",
    );
    let error = message(&path);
    assert!(
        error.contains("a.fa: contig chrM: the file ends 3 bytes before") && error.contains("a.fa.fai"),
        "{error}"
    );
}

#[test]
fn block_index_is_used_only_when_it_is_that_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let text: Vec<u8> = [b">a\n".to_vec(), b"ACGT".repeat(500), b"\n".to_vec()].concat();
    let bytes = bgzf(&text, 100);
    let path = write(folder.path(), "a.fa.gz", &bytes);
    let mut pairs = Vec::new();
    let (mut at, mut number) = (0, 0_u64);
    while at < bytes.len() {
        at += usize::from(u16::from_le_bytes([bytes[at + 16], bytes[at + 17]])) + 1;
        number += 1;
        pairs.push((at as u64, (number * 100).min(text.len() as u64)));
    }
    pairs.truncate(pairs.len() - 2);
    let index = |pairs: &[(u64, u64)]| {
        let numbers = pairs.iter().flat_map(|&(a, b)| [a, b]);
        std::iter::once(pairs.len() as u64).chain(numbers).flat_map(u64::to_le_bytes).collect::<Vec<u8>>()
    };
    let mut wrong = pairs.clone();
    wrong[3].1 += 1;
    for (index, is_used) in
        [(index(&pairs), true), (index(&wrong), false), (vec![7; 12], false), (vec![], false)]
    {
        write(folder.path(), "a.fa.gz.gzi", &index);
        let mut file = fs::File::open(&path).unwrap();
        let blocks = super::blocks::Blocks::from_index(&index, &mut file).unwrap();
        assert_eq!(blocks.is_some(), is_used);
        if let Some(blocks) = blocks {
            assert_eq!(Some(blocks), super::blocks::Blocks::walk(&mut file).unwrap());
        }
        let genome = Reference::open(&path).unwrap();
        assert_eq!(genome.fetch("a", 1234..1240).unwrap(), b"GTACGT");
    }
}

#[test]
fn damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| write(folder.path(), name, bytes);
    let packed = bgzf(TEXT.as_bytes(), 20);
    let mut broken = packed.clone();
    broken[24] ^= 0xff;
    assert!(matches!(
        Reference::open(path("cut.gz", &packed[..packed.len() - 33])),
        Err(Error::Damaged { damage: Damage::Truncated { .. }, .. })
    ));
    assert!(matches!(Reference::open(path("broken.gz", &broken)), Err(Error::Damaged { .. })));
    let genome = Reference::open(path("noend.gz", &packed[..packed.len() - 28])).unwrap();
    assert_eq!(genome.warnings()[0].kind, WarningKind::NoEndBlock);

    for (bytes, expected) in [
        (&b">a\nAC\n>b\nACGT\nACXT\n"[..], "contig b, base 7: 'X' is not a nucleotide code"),
        (b">a\nAC\rGT\n", "contig a, base 3: byte 0x0d"),
        (b"ACGT\n", "line 1: found 'A' before the first header"),
        (b"\n@r\nAC\n+\nII\n", "line 2: found '@'"),
        (b"", "has no sequence"),
        (b">a\nA\n>b\n>a\n", "has two contigs called a"),
        (b">a\xff\nA\n", "line 1: the id is not UTF-8"),
        (b"BZh91AY", "bzip2-compressed"),
    ] {
        let error = message(&path("bad.fa", bytes));
        assert!(error.contains(expected) && error.contains("bad.fa: "), "{error}");
        if !bytes.starts_with(b"BZ") {
            // However long the pieces are that the file is read in.
            let reader = std::io::BufReader::with_capacity(1, bytes);
            assert!(super::scan::scan(reader, "bad.fa").unwrap_err().to_string().contains(expected));
        }
    }
}

#[test]
fn letters_are_checked_and_changes_met_when_bases_are_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.fa", b">a\nACGT\nACXT\n");
    write(folder.path(), "a.fa.fai", b"a\t8\t3\t4\t5\n");
    let genome = Reference::open(&path).unwrap();
    assert_eq!(genome.fetch("a", 0..6).unwrap(), b"ACGTAC");
    assert!(matches!(genome.fetch("a", 5..8), Err(Error::Letter { position: 7, found: b'X', .. })));
    fs::write(&path, b">a\nACGT\n").unwrap();
    assert!(matches!(genome.fetch("a", 3..6), Err(Error::Changed { start: 4, end: 6, .. })));
}

#[test]
fn limit_of_memory_says_what_helps() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a.fa.gz", &gzip(TEXT.as_bytes()));
    Reference::builder().max_in_memory(19).open(&path).unwrap();
    for limit in [5, 18] {
        let error = Reference::builder().max_in_memory(limit).open(&path).unwrap_err().to_string();
        assert!(error.contains("bgzip") && error.contains(&limit.to_string()), "{error}");
    }
}

/// A text of contigs with even lines.
fn genomes() -> impl Strategy<Value = Vec<u8>> {
    let contig = ("[ACGTNacgtn]{1,200}", 1usize..70, any::<bool>());
    prop::collection::vec(contig, 1..5).prop_map(|contigs| {
        let mut text = Vec::new();
        for (number, (bases, width, is_crlf)) in contigs.iter().enumerate() {
            let end: &[u8] = if *is_crlf { b"\r\n" } else { b"\n" };
            text.extend_from_slice(format!(">c{number} text").as_bytes());
            text.extend_from_slice(end);
            for line in bases.as_bytes().chunks(*width) {
                text.extend_from_slice(line);
                text.extend_from_slice(end);
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bases_are_those_that_noodles_reads(text in genomes(), block in 1usize..90, piece in 1usize..50) {
        let folder = tempfile::tempdir().unwrap();
        let plain = Reference::open(write(folder.path(), "a.fa", &text)).unwrap();
        let packed = Reference::open(write(folder.path(), "a.fa.gz", &bgzf(&text, block))).unwrap();
        let mut oracle = fasta::io::Reader::new(&text[..]);
        for (contig, record) in plain.contigs().iter().zip(oracle.records()) {
            let record = record.unwrap();
            let bases = record.sequence().as_ref();
            prop_assert_eq!(contig.length, bases.len() as u64);
            for start in (0..bases.len()).step_by(piece) {
                let end = (start + piece).min(bases.len());
                for genome in [&plain, &packed] {
                    let found = genome.fetch_raw(&contig.name, start as u64..end as u64).unwrap();
                    prop_assert_eq!(&found[..], &bases[start..end]);
                }
            }
        }
        // The index of another tool is taken for fresh, and leads to the same bases.
        let path = folder.path().join("a.fa");
        let index = fasta::fs::index(&path).unwrap();
        fasta::fai::fs::write(folder.path().join("a.fa.fai"), &index).unwrap();
        let indexed = Reference::open(&path).unwrap();
        prop_assert_eq!(indexed.index_origin(), &IndexOrigin::File);
        prop_assert_eq!(indexed.contigs(), plain.contigs());
        for contig in plain.contigs() {
            let all = |genome: &Reference| genome.fetch_raw(&contig.name, 0..contig.length).unwrap();
            prop_assert_eq!(all(&indexed), all(&plain));
        }
    }

    #[test]
    fn any_bytes_are_a_genome_or_an_error(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "(>[ab]\n|[ACGT]{0,5}\n|\r|>|N)*".prop_map(String::into_bytes),
        ],
        index in "([ab]\t[0-9]{1,3}\t[0-9]{1,3}\t[0-9]{1,2}\t[0-9]{1,2}\n){0,3}",
    ) {
        let folder = tempfile::tempdir().unwrap();
        for packed in [bytes.clone(), gzip(&bytes), bgzf(&bytes, 9)] {
            let path = write(folder.path(), "a.fa", &packed);
            for index in ["", &index] {
                write(folder.path(), "a.fa.fai", index.as_bytes());
                match Reference::open(&path) {
                    Ok(genome) => {
                        for contig in genome.contigs() {
                            if let Ok(bases) = genome.fetch(&contig.name, 0..contig.length) {
                                prop_assert_eq!(bases.len() as u64, contig.length);
                                prop_assert!(crate::alphabet::find_foreign(&bases).is_none());
                            }
                        }
                    }
                    Err(error) => prop_assert!(error.to_string().contains("a.fa")),
                }
            }
        }
    }
}
