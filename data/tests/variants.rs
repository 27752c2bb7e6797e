//! Variants and references of real data: what is read, why what is not scored is not, and what is written back.

mod shared;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use kilobase_data::fastx;
use kilobase_data::regions::{IndexOrigin, Reference};
use kilobase_data::variants::{
    Field, Finish, Order, Outcome, Reader, Reason, Record, Scores, Writer, classify,
};
use noodles_bgzf as bgzf;
use noodles_vcf as vcf;
use serde_json::json;

fn inflate(path: &Path) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// How many alleles can be scored, under `ok`, and how many not, by reason.
fn count<'r>(
    records: impl IntoIterator<Item = &'r Record>,
    genome: &Reference,
) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for record in records {
        for outcome in classify(record, genome).unwrap() {
            *counts.entry(outcome.map_or_else(|reason| reason.code(), |_| "ok")).or_default() += 1;
        }
    }
    counts
}

/// Every allele scored by its length, as a model would; every one that cannot be has its reason.
fn score(record: &Record, genome: &Reference) -> Outcome {
    let fields = fields();
    let alternates = classify(record, genome)
        .unwrap()
        .into_iter()
        .map(|outcome| match outcome {
            Ok(edit) => {
                let value = edit.alternate.len() as f32 - edit.reference.len() as f32 / 7.0;
                Scores { values: vec![Some(value)], reason: None }
            }
            Err(reason) => Scores::none(&fields, reason),
        })
        .collect();
    Outcome { record: vec![], alternates }
}

fn fields() -> Vec<Field> {
    vec![Field::per_alternate("KB_LLR", "log P(alternate) - log P(reference)")]
}

#[test]
fn brca1_table_agrees_with_its_reference() {
    let Some(folder) = shared::folder("data/variants") else { return };
    let genome = Reference::open(folder.join("brca1_hg19_chr17_segment.fa.gz")).unwrap();
    let segment = genome.contigs()[0].clone();
    assert_eq!((segment.length, genome.index_origin()), (193_689, &IndexOrigin::Memory));
    // The segment begins at base 41,176,312 of chromosome 17.
    let table = inflate(&folder.join("brca1_findlay2018_public.csv.gz"));
    let moved: String = table
        .lines()
        .enumerate()
        .map(|(number, line)| match (number, line.splitn(3, ',').collect::<Vec<_>>()[..].try_into()) {
            (0, _) => format!("{line}\n"),
            (_, Ok::<[&str; 3], _>([_, position, rest])) => {
                let position: u64 = position.parse().unwrap();
                format!("{},{},{rest}\n", segment.name, position - 41_176_312 + 1)
            }
            _ => unreachable!("the table has three columns and more"),
        })
        .collect();
    let records: Vec<_> =
        Reader::new(Cursor::new(moved.into_bytes()), "moved").unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(records.len(), 2379);
    assert_eq!(count(&records, &genome), BTreeMap::from([("ok", 2379)]));
    // As it stands, the table speaks of another contig, which is a reason and no error.
    let records: Vec<_> = Reader::open(folder.join("brca1_findlay2018_public.csv.gz"))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(count(&records, &genome), BTreeMap::from([("unknown_contig", 2379)]));
}

#[test]
fn worm_table_agrees_where_its_readme_says_it_does() {
    let (Some(variants), Some(genomes)) = (shared::folder("data/variants"), shared::folder("data/genomes"))
    else {
        return;
    };
    let genome = Reference::open(genomes.join("C.elegans.1pct.fa.gz")).unwrap();
    let rows = inflate(&variants.join("C.elegans.1pct.variants.tsv.gz"));
    let table = format!("chrom\tpos\tid\tref\talt\n{rows}");
    let records: Vec<_> =
        Reader::new(Cursor::new(table.into_bytes()), "worm").unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(records.len(), 8713);
    let counts = count(&records, &genome);
    let disagreeing: u64 = counts.iter().filter(|(code, _)| **code != "ok").map(|(_, count)| count).sum();
    assert_eq!(disagreeing, 8713 - 8703, "{counts:?}");
    // Without a header, the first row is not taken for one.
    let error = Reader::open(variants.join("C.elegans.1pct.variants.tsv.gz")).unwrap_err().to_string();
    assert!(error.contains("line 1: no column is called chrom"), "{error}");
}

#[test]
fn vcf_comes_back_with_scores_and_nothing_else_changed() {
    let Some(folder) = shared::folder("data/variants") else { return };
    let path = folder.join("saureus_RN4220_vs_NCTC8325.vcf.gz");
    let source = inflate(&path);
    // The reference has the contig under its NCBI id, which is said, and not taken for the same in silence.
    let original = Reference::open(folder.join("saureus_NCTC8325.fa.gz")).unwrap();
    let first = Reader::open(&path).unwrap().next().unwrap().unwrap();
    let reason = classify(&first, &original).unwrap().remove(0).unwrap_err();
    assert!(
        matches!(&reason, Reason::UnknownContig { similar: Some(name), .. } if name.contains("NC_007795.1")),
        "{reason}"
    );
    let temporary = tempfile::tempdir().unwrap();
    let fasta = temporary.path().join("renamed.fa");
    let text = inflate(&folder.join("saureus_NCTC8325.fa.gz")).replacen(
        "gi|88193823|ref|NC_007795.1|",
        "NC_007795",
        1,
    );
    fs::write(&fasta, text).unwrap();
    let genome = Reference::open(&fasta).unwrap();

    let out = temporary.path().join("scored.vcf.gz");
    let plan = json!({ "source": "saureus" });
    let mut writer = Writer::open(&out, &plan, fields()).unwrap();
    let records: Vec<_> = Reader::open(&path).unwrap().collect::<Result<_, _>>().unwrap();
    let outcomes: Vec<_> = records.iter().map(|record| score(record, &genome)).collect();
    for outcomes in outcomes.chunks(50) {
        writer.append(outcomes).unwrap();
    }
    let metadata = plan.as_object().unwrap();
    let finish = Finish { order: Order::Position, metadata, force: false };
    let summary = writer.finish(Reader::open(&path).unwrap(), &finish).unwrap();
    let counts = count(&records, &genome);
    let skipped: BTreeMap<&str, u64> =
        summary.skipped.iter().map(|(code, count)| (code.as_str(), *count)).collect();
    let scored = counts["ok"];
    assert_eq!(skipped, counts.into_iter().filter(|(code, _)| *code != "ok").collect::<BTreeMap<_, _>>());
    assert!(scored > 100 && skipped.contains_key("allele_letters"), "{scored} {skipped:?}");

    // noodles reads both files to the same records, but for our fields.
    let mut text = String::new();
    bgzf::io::Reader::new(File::open(&out).unwrap()).read_to_string(&mut text).unwrap();
    let mut before = vcf::io::Reader::new(source.as_bytes());
    let mut after = vcf::io::Reader::new(text.as_bytes());
    let (old, new) = (before.read_header().unwrap(), after.read_header().unwrap());
    assert_eq!(new.infos().len(), old.infos().len() + 2);
    let before: Vec<_> = before.record_bufs(&old).map(Result::unwrap).collect();
    let after: Vec<_> = after.record_bufs(&new).map(Result::unwrap).collect();
    assert_eq!((before.len(), after.len()), (records.len(), records.len()));
    for (before, mut after) in before.iter().zip(after) {
        let ours: Vec<_> = ["KB_LLR", "KB_SKIP"].map(|id| after.info_mut().as_mut().shift_remove(id)).into();
        assert_eq!(ours.iter().filter(|value| value.is_some()).count(), 1, "a score or a reason");
        assert_eq!(&after, before);
    }
    // Byte for byte: without the entries, the lines are those of the source, which is sorted.
    let strip = |line: &str| {
        let mut cells: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let kept: Vec<&str> = cells[7].split(';').filter(|entry| !entry.starts_with("KB_")).collect();
        cells[7] = if kept.is_empty() { ".".to_owned() } else { kept.join(";") };
        cells.join("\t")
    };
    let body = |text: &str| {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(body(&text).iter().map(|line| strip(line)).collect::<Vec<_>>(), body(&source));
}

#[test]
fn every_genome_is_read_as_the_record_reader_does() {
    let Some(folder) = shared::folder("data/genomes") else { return };
    for name in ["ecoli_K12_MG1655.fna.gz", "scerevisiae_R64-1-1.fa.gz", "phiX174_NC_001422.fa"] {
        let genome = Reference::open(folder.join(name)).unwrap();
        for record in fastx::Reader::open(folder.join(name)).unwrap() {
            let record = record.unwrap();
            let length = record.len() as u64;
            assert_eq!(genome.contig(&record.id).unwrap().length, length);
            for start in (0..length).step_by(99_991) {
                let range = start..(start + 6000).min(length);
                let expected = &record.sequence[range.start as usize..range.end as usize];
                assert_eq!(genome.fetch_raw(&record.id, range).unwrap(), expected, "{name} {}", record.id);
            }
        }
    }
}

#[test]
fn chromosome_in_bgzf_is_read_where_it_lies() {
    let Some(folder) = shared::folder("data/genomes") else { return };
    let path = folder.join("human_chr20_hs37.fa.gz");
    let genome = Reference::open(&path).unwrap();
    assert_eq!(genome.index_origin(), &IndexOrigin::Built);
    let record = fastx::Reader::open(&path).unwrap().next().unwrap().unwrap();
    assert_eq!(genome.contigs()[0].length, 63_025_520);
    for start in [0, 59_999, 31_000_000, 63_019_519] {
        let range = start..start + 6001;
        let expected = record.sequence[range.start as usize..range.end as usize].to_ascii_uppercase();
        assert_eq!(genome.fetch(&record.id, range).unwrap(), expected);
    }
}

#[test]
fn damaged_files_of_the_corpus_are_errors_as_references_too() {
    let Some(corpus) = shared::folder("data/malformed") else { return };
    let open = |name: &str| Reference::open(corpus.join("derived").join(name));
    let lambda = open("lambda.fa.gz").unwrap();
    let name = lambda.contigs()[0].name.clone();
    for same in [
        "lambda.bgzf.fa.gz",
        "lambda.bgzf_noeof.fa.gz",
        "lambda.multimember.fa.gz",
        "lambda.trailing_garbage.fa.gz",
        "lambda_blanklines.fa",
        "lambda_crlf.fa",
        "lambda_lower.fa",
        "lambda_nonl.fa",
        "lambda_oneline.fa",
    ] {
        let genome = open(same).unwrap();
        let length = genome.contigs()[0].length;
        let found = genome.fetch(&genome.contigs()[0].name, 0..length).unwrap();
        assert_eq!(found, lambda.fetch(&name, 0..length).unwrap(), "{same}");
        let odd = matches!(same, "lambda.bgzf_noeof.fa.gz" | "lambda.trailing_garbage.fa.gz");
        assert_eq!(genome.warnings().len(), usize::from(odd), "{same}");
    }
    for (name, expected) in [
        ("lambda.badcrc.fq.gz", "a reference is FASTA"),
        ("lambda_binary.fa", "a NUL byte"),
        ("lambda_dupids.fa", "has two contigs called"),
        ("lambda_empty.fa", "has no sequence"),
        ("lambda_noheader.fa", "before the first header"),
        ("lambda_crlf.fq", "a reference is FASTA"),
    ] {
        let error = open(name).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(name), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    for whole in ["lambda.fa.gz", "lambda.bgzf.fa.gz"] {
        let bytes = fs::read(corpus.join("derived").join(whole)).unwrap();
        for cut in [3, 17, 100, bytes.len() / 2, bytes.len() - 29] {
            let path = folder.path().join("cut.fa.gz");
            fs::write(&path, &bytes[..cut]).unwrap();
            let error = Reference::open(&path).unwrap_err().to_string();
            assert!(error.contains("the gzip stream is truncated"), "{whole} cut at {cut}: {error}");
        }
    }
}
