//! Files of `kilobase variants`: sorted, in bgzf with an index.

use crate::*;
use predicates::prelude::*;
use std::fmt::Write;
use std::io::Read;
use std::time::Duration;

const LENGTH: usize = 6_000;

/// Substitutions along two contigs, each `step` bases, those of the second contig first and backwards if `sorted` is not set.
fn vcf(step: usize, sorted: bool) -> String {
    let mut text = "##fileformat=VCFv4.2\n".to_owned();
    for contig in ["c1", "c2"] {
        writeln!(text, "##contig=<ID={contig},length={LENGTH}>").unwrap();
    }
    text.push_str("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n");
    let mut lines = Vec::new();
    for (contig, seed) in [("c1", 21), ("c2", 22)] {
        let bases = dna(LENGTH, seed);
        for at in (1000..LENGTH - 1000).step_by(step) {
            let base = &bases[at - 1..at];
            lines.push(format!(
                "{contig}\t{at}\t.\t{base}\t{}\t.\t.\t.\n",
                if base == "A" { "G" } else { "A" }
            ));
        }
    }
    if !sorted {
        lines.reverse();
    }
    text + &lines.concat()
}

fn reference() -> String {
    format!(">c1\n{}\n>c2\n{}\n", dna(LENGTH, 21), dna(LENGTH, 22))
}

fn arguments(input: &Path, fasta: &Path, out: &Path) -> Vec<String> {
    let paths = [text(input), "-r", text(fasta), "-m", MODEL, "-o", text(out)];
    let sizes = ["--left", "120", "--right", "30", "--share", "400"];
    ["variants"].iter().chain(&paths).chain(&sizes).map(ToString::to_string).collect()
}

fn inflated(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn records(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn bgzf_in_order_has_an_index_that_finds_each_record() {
    let folder = folder(&[("in.vcf", &vcf(700, false)), ("ref.fa", &reference())]);
    let at = |name: &str| folder.path().join(name);
    let run = |out: &str, flags: &[&str]| {
        let arguments = arguments(&at("in.vcf"), &at("ref.fa"), &at(out));
        kilobase(arguments.iter().map(String::as_str).chain(flags.iter().copied())).assert().success()
    };
    run("plain.vcf", &["--sort"]);
    run("out.vcf.gz", &["--sort"]).stderr(predicate::str::contains("out.vcf.gz.tbi"));
    let plain = fs::read_to_string(at("plain.vcf")).unwrap();
    assert!(!at("plain.vcf.tbi").exists());
    let written = inflated(&at("out.vcf.gz"));
    assert_eq!(records(&written), records(&plain));
    let places: Vec<(&str, usize)> = records(&written)
        .iter()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(contig, rest)| (contig, rest.split('\t').next().unwrap().parse().unwrap()))
        .collect();
    assert!(places.len() == 12 && places.is_sorted());
    // What any program does with an index.
    let index = noodles_tabix::fs::read(at("out.vcf.gz.tbi")).unwrap();
    let file = fs::File::open(at("out.vcf.gz")).unwrap();
    let mut reader = noodles_csi::io::IndexedReader::new(file, index);
    for (region, count) in [("c1:1000-1000", 1), ("c2:1001-1699", 0), ("c2:1700-2400", 2), ("c2", 6)] {
        let place = region.parse().unwrap();
        let found = reader.query(&place).unwrap();
        let found: Vec<String> = found.map(|record| record.unwrap().as_ref().to_owned()).collect();
        assert_eq!(found.len(), count, "{region}");
        assert!(found.iter().all(|line| written.contains(line.as_str()) && line.contains("KB_LLR=")));
    }
    // Out of order there is none, and an old one does not stay.
    run("out.vcf.gz", &["--force"]).stderr(predicate::str::contains("no index, since c2 at "));
    assert!(!at("out.vcf.gz.tbi").exists());
    assert_eq!(records(&inflated(&at("out.vcf.gz"))).len(), 12);
}

#[test]
fn killed_and_begun_again_the_file_is_the_same() {
    let folder = folder(&[("in.vcf", &vcf(5, true)), ("ref.fa", &reference())]);
    let at = |name: &str| folder.path().join(name);
    let run = |out: &str| {
        kilobase(arguments(&at("in.vcf"), &at("ref.fa"), &at(out)).iter().map(String::as_str)).assert()
    };
    run("whole.vcf").success();
    // Each run is killed as soon as one more stretch of records is on the disk; most stretches are still to come then.
    let index = at("out.vcf.partial").join("index.jsonl");
    let kept = || fs::metadata(&index).map_or(0, |file| file.len());
    let mut before = 0;
    for _ in 0..3 {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_kilobase"))
            .args(arguments(&at("in.vcf"), &at("ref.fa"), &at("out.vcf")))
            .arg("-q")
            .spawn()
            .expect("started");
        while kept() <= before && child.try_wait().expect("a child").is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        // SIGKILL, where there is one.
        child.kill().expect("still at work");
        assert!(!child.wait().expect("ended").success(), "it was done before it was killed");
        assert!(!at("out.vcf").exists() && kept() > before);
        before = kept();
    }
    run("out.vcf").success().stderr(predicate::str::contains("records of an earlier run"));
    assert_eq!(fs::read_to_string(at("out.vcf")).unwrap(), fs::read_to_string(at("whole.vcf")).unwrap());
    assert!(!at("out.vcf.partial").exists());
}
