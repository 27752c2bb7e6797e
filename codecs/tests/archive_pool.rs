//! Files to pools and back, through errors and losses.

use std::io::Cursor;

use kilobase_codecs::archive::channel::{CHANNELS, Channel, Rng};
use kilobase_codecs::archive::decode::{Decoder, recognise};
use kilobase_codecs::archive::encode::{Pool, Source};
use kilobase_codecs::archive::enzymes::Enzyme;
use kilobase_codecs::archive::manifest::Manifest;
use kilobase_codecs::archive::report::Report;
use kilobase_codecs::archive::{Book, Error, Format, PRESETS, Preset, Result};
use kilobase_codecs::dloco::alphabet::{to_ascii, to_symbols};

fn random(bytes: usize, seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..bytes).map(|_| rng.bits() as u8).collect()
}

/// The oligos, in letters, and the manifest.
fn encode(file: &[u8], format: &Format, redundancy: f64, level: Option<i32>) -> (Vec<Vec<u8>>, Manifest) {
    let source = Source::spool(Cursor::new(file.to_vec()), level, "file").unwrap();
    let mut pool = Pool::plan(source, format, redundancy, vec![Enzyme::find("EcoRI").unwrap()]).unwrap();
    let mut fasta = Vec::new();
    let counts = pool.write(&mut fasta, |_| ()).unwrap();
    let oligos: Vec<Vec<u8>> = fasta
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty() && line[0] != b'>')
        .map(<[u8]>::to_vec)
        .collect();
    assert_eq!(counts.strands, oligos.len() as u64);
    assert_eq!(counts.nucleotides, pool.nucleotides());
    (oligos, pool.manifest("file"))
}

fn sequence(oligos: &[Vec<u8>], channel: &Channel, seed: u64) -> Vec<Vec<u8>> {
    let reads = oligos
        .iter()
        .enumerate()
        .flat_map(|(number, oligo)| channel.read(&to_symbols(oligo).unwrap(), number as u64, seed));
    reads.map(|read| to_ascii(&read.symbols)).collect()
}

fn decode(manifest: &Manifest, reads: &[Vec<u8>]) -> (Report, Result<Vec<u8>>) {
    let mut decoder = Decoder::new(manifest.clone()).unwrap();
    reads.chunks(1000).for_each(|reads| decoder.push(reads));
    let mut out = Vec::new();
    let (report, outcome) = decoder.finish(&mut out);
    (report, outcome.map(|()| out))
}

fn std150() -> Format {
    Preset::find("std150").unwrap().format(42)
}

#[test]
fn files_of_every_kind_come_back_with_every_preset() {
    let files: [(&str, Vec<u8>); 4] =
        [("empty", vec![]), ("one byte", vec![7]), ("zeros", vec![0; 20_000]), ("random", random(6000, 1))];
    let formats = PRESETS.into_iter().map(|preset| preset.format(5));
    for format in formats.chain([Format::new(Book::Hamming, 3, 64, 2, 5).unwrap()]) {
        for (name, file) in &files {
            for level in [None, Some(3)] {
                let (oligos, manifest) = encode(file, &format, 0.15, level);
                let (report, back) = decode(&manifest, &oligos);
                assert_eq!(&back.unwrap(), file, "{name} {format:?}");
                assert_eq!(report.understood, report.reads);
                assert!(report.groups.iter().all(|group| group.restored && group.tries == 1));
            }
        }
    }
}

#[test]
fn oligos_keep_the_rules() {
    let (oligos, _) = encode(&random(20_000, 3), &std150(), 0.15, None);
    let run = |oligo: &[u8]| oligo.chunk_by(|a, b| a == b).map(<[u8]>::len).max().unwrap();
    assert!(oligos.iter().all(|oligo| run(oligo) <= 3 && oligo.len() == 191));
    let site = |oligo: &&Vec<u8>| oligo.windows(6).any(|window| window == b"GAATTC");
    assert_eq!(oligos.iter().filter(site).count(), 0);
}

#[test]
fn published_noise_is_survived() {
    let file = random(12_000, 2);
    for preset in ["robust", "std150"] {
        let format = Preset::find(preset).unwrap().format(9);
        let (oligos, manifest) = encode(&file, &format, 0.15, None);
        let (report, back) = decode(&manifest, &sequence(&oligos, &CHANNELS[0].1, 4));
        assert_eq!(back.unwrap(), file, "{preset}");
        assert!(report.understood * 2 > report.reads, "{report:?}");
        let missing = report.coverage[0];
        assert!(missing > 0 && missing < oligos.len() as u64 / 20, "{missing} strands were dropped");
    }
}

#[test]
fn reads_that_say_nothing_alone_are_understood_together() {
    let file = random(1500, 8);
    let format = Preset::find("robust").unwrap().format(1);
    let (oligos, manifest) = encode(&file, &format, 0.3, None);
    let (report, back) = decode(&manifest, &sequence(&oligos, &CHANNELS[2].1, 4));
    assert_eq!(back.unwrap(), file);
    assert!(report.understood * 4 < report.reads && report.clusters_understood > 0, "{report:?}");
    let [substitutions, deletions, insertions] = report.clustered_edits.rates();
    assert!((0.01..0.04).contains(&substitutions), "{substitutions}");
    assert!((0.05..0.1).contains(&deletions) && (0.005..0.02).contains(&insertions));
}

#[test]
fn loss_is_borne_to_the_last_parity_strand_and_told_beyond() {
    let file = random(5000, 4);
    let (oligos, manifest) = encode(&file, &std150(), 0.15, None);
    let parity = manifest.parity_strands;
    for first in [0, 37, oligos.len() - parity - 1] {
        let kept = |count: usize| -> Vec<Vec<u8>> {
            let lost = first..first + count;
            oligos
                .iter()
                .enumerate()
                .filter(|(at, _)| !lost.contains(at))
                .map(|(_, oligo)| oligo.clone())
                .collect()
        };
        let (report, back) = decode(&manifest, &kept(parity));
        assert_eq!(back.unwrap(), file);
        assert_eq!((report.groups[0].margin, report.groups[0].erasures), (0, parity));
        let (report, failure) = decode(&manifest, &kept(parity + 1));
        assert!(matches!(&failure, Err(Error::Lost { groups }) if groups.len() == 1 && groups[0].group == 0));
        let text = failure.unwrap_err().to_string();
        assert!(text.starts_with("group 0 misses 1: ") && text.contains("would have served"), "{text}");
        assert!(!report.groups[0].restored);
    }
}

#[test]
fn wrong_strands_are_outvoted_or_left_out_but_never_believed() {
    let file = random(3000, 6);
    let (oligos, manifest) = encode(&file, &std150(), 0.3, None);
    let (other, _) = encode(&random(3000, 7), &std150(), 0.3, None);
    // A pool that another file contaminates: each strand is outvoted two to one, but for those that only the other has.
    let mixed: Vec<Vec<u8>> = oligos[3..].iter().chain(&oligos).chain(&other[..40]).cloned().collect();
    assert_eq!(decode(&manifest, &mixed).1.unwrap(), file);
    let mixed: Vec<Vec<u8>> = oligos[2..].iter().chain(&other[..2]).cloned().collect();
    let (report, back) = decode(&manifest, &mixed);
    if let Ok(back) = back {
        assert_eq!(back, file);
        assert!(report.groups[0].tries > 1);
    }
    // Nothing but the other file: its strands agree, and the hash does not.
    assert!(matches!(decode(&manifest, &other).1, Err(Error::Hash)));
    let half: Vec<Vec<u8>> = (0..oligos.len()).map(|at| [&oligos, &other][at % 2][at].clone()).collect();
    assert!(matches!(decode(&manifest, &half).1, Err(Error::Contradiction { .. })));
}

#[test]
fn foreign_and_missing_reads_are_told() {
    let (_, manifest) = encode(b"file", &std150(), 0.15, None);
    assert!(matches!(decode(&manifest, &[]).1, Err(Error::Empty)));
    let mut rng = Rng::new(1);
    let mut noise =
        |length: usize| -> Vec<u8> { (0..length).map(|_| b"ACGTN"[rng.below(5) as usize]).collect() };
    let reads: Vec<Vec<u8>> = (0..200).map(&mut noise).chain([vec![]]).collect();
    assert!(matches!(decode(&manifest, &reads).1, Err(Error::Foreign { reads: 201 })));
    let (robust, _) = encode(b"file", &PRESETS[0].format(42), 0.15, None);
    assert!(matches!(decode(&manifest, &robust).1, Err(Error::Foreign { .. })));
}

#[test]
fn pool_of_a_preset_is_read_without_its_manifest() {
    let file = random(4000, 9);
    for (preset, level) in [("std150", None), ("dense200", Some(3))] {
        let (oligos, _) = encode(&file, &Preset::find(preset).unwrap().format(42), 0.15, level);
        let format = recognise(&oligos[..50], 42).unwrap();
        assert_eq!(format, Preset::find(preset).unwrap().format(42));
        let restore = |oligos: &[Vec<u8>]| {
            let mut decoder = Decoder::without_manifest(&format).unwrap();
            decoder.push(oligos);
            let mut out = Vec::new();
            decoder.finish(&mut out).1.map(|()| out)
        };
        assert_eq!(restore(&oligos).unwrap(), file);
        assert!(matches!(restore(&oligos[1..]), Err(Error::NoHeader)));
    }
    assert!(matches!(recognise(&[b"ACGT".to_vec()], 42), Err(Error::Foreign { reads: 1 })));
}

#[test]
fn bounds_are_told_before_anything_is_written() {
    let plan = |format: &Format, redundancy| {
        let source = Source::spool(Cursor::new(random(100_000, 1)), None, "file").unwrap();
        Pool::plan(source, format, redundancy, vec![]).err().expect("an error").to_string()
    };
    assert!(plan(&std150(), 0.95).contains("redundancy is 0.95"));
    let narrow = Format { index_bits: 8, ..std150() };
    assert!(plan(&narrow, 0.15).contains("8 bits of index count 256"), "{}", plan(&narrow, 0.15));
}
