use crate::*;
use predicates::prelude::*;
use std::fmt::Write;

const HEADER: &str =
    "##fileformat=VCFv4.2\n##contig=<ID=c1,length=900>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n";

/// A reference of two contigs; the second has N.
fn reference() -> String {
    format!(">c1\n{}\n>c2\n{}NNNN{}\n", dna(900, 7), dna(100, 8), dna(100, 9))
}

fn base(at: usize) -> char {
    dna(900, 7).as_bytes()[at - 1] as char
}

fn other(at: usize) -> char {
    if base(at) == 'A' { 'G' } else { 'A' }
}

fn vcf() -> String {
    let mut text = HEADER.to_owned();
    let mut add = |contig: &str, at: usize, reference: &str, alternate: &str| {
        writeln!(text, "{contig}\t{at}\t.\t{reference}\t{alternate}\t.\tPASS\tDP=7").unwrap();
    };
    let of = |at: usize| base(at).to_string();
    add("c1", 2, &of(2), &other(2).to_string());
    add("c1", 400, &of(400), &format!("{},{}TTT", other(400), base(400)));
    add("c1", 401, &dna(900, 7)[400..403], &of(401));
    add("c1", 500, &other(500).to_string(), &of(500));
    add("c1", 600, &of(600), "<DEL>");
    add("c1", 601, &of(601), ".");
    add("c1", 602, &of(602), "*");
    add("c1", 899, &dna(900, 7)[898..900], &of(899));
    add("c1", 900, "AC", "A");
    add("c1", 901, "A", "C");
    add("c2", 98, &dna(100, 8)[97..98], "N");
    add("c2", 99, &dna(100, 8)[98..99], if dna(100, 8).ends_with("AA") { "C" } else { "AC" });
    add("chr1", 5, "A", "C");
    text
}

#[test]
fn every_record_gets_a_score_or_a_reason_and_keeps_the_rest_of_its_line() {
    let folder = folder(&[("in.vcf", &vcf()), ("ref.fa", &reference())]);
    let at = |name: &str| folder.path().join(name);
    let (input, fasta, out) = (at("in.vcf"), at("ref.fa"), at("out.vcf"));
    kilobase([
        "variants",
        text(&input),
        "-r",
        text(&fasta),
        "-m",
        MODEL,
        "--score",
        "llr,vep",
        "--left",
        "300",
        "--right",
        "60",
        "-o",
        text(&out),
    ])
    .assert()
    .success()
    .stdout("")
    .stderr(predicate::str::contains("records 13, ").and(predicate::str::contains("ref_mismatch")));
    let written = fs::read_to_string(&out).unwrap();
    assert!(written.contains("##INFO=<ID=KB_LLR,Number=A,Type=Float") && written.contains("ID=KB_VEP"));
    let lines: Vec<Vec<&str>> = written
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect())
        .collect();
    let source = vcf();
    let source: Vec<Vec<&str>> =
        source.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), source.len());
    let info = |line: usize, key: &str| {
        let prefix = format!("{key}=");
        lines[line][7].split(';').find_map(|entry| entry.strip_prefix(prefix.as_str())).map(str::to_owned)
    };
    for (line, source) in lines.iter().zip(&source) {
        assert_eq!(line[..7], source[..7]);
        assert!(line[7].starts_with("DP=7"));
    }
    assert!(number(&info(0, "KB_LLR").unwrap()).is_finite(), "few bases upstream are no obstacle to a ratio");
    assert_eq!(info(0, "KB_SKIP").as_deref(), Some("short_context"), "but to a single prediction");
    let two = info(1, "KB_LLR").unwrap();
    assert!(two.split(',').all(|value| number(value).is_finite()) && two.contains(','));
    assert!(info(1, "KB_VEP").unwrap().ends_with(",."), "an insertion has no score of single bases");
    assert!(number(&info(2, "KB_LLR").unwrap()).is_finite(), "a deletion");
    for (line, code) in [
        (3, "ref_mismatch"),
        (4, "symbolic"),
        (5, "missing"),
        (6, "star"),
        (8, "outside_contig"),
        (9, "outside_contig"),
        (10, "allele_letters"),
        (11, "window_letters"),
        (12, "unknown_contig"),
    ] {
        let found = info(line, "KB_SKIP").unwrap_or_default();
        assert_eq!(found, code, "line {line}: {}", lines[line][7]);
        assert!(info(line, "KB_LLR").is_none_or(|value| value == "."), "line {line}");
    }
    assert!(number(&info(7, "KB_LLR").unwrap()).is_finite(), "the last bases of a contig");
}

#[test]
fn a_ratio_is_the_difference_of_two_scored_sequences_and_does_not_depend_on_the_file() {
    let contig = dna(900, 7);
    let at = 400;
    let table = format!("chrom\tpos\tref\talt\tlabel\nc1\t{at}\t{}\t{}\tx\n", base(at), other(at));
    // The stretch of bases 301 to 400 begins at 300; 300 before it and 60 after the variant are read.
    let window = |base: char| format!("{}{base}{}", &contig[..at - 1], &contig[at..at + 60]);
    let sequences = format!(">ref\n{}\n>alt\n{}\n", window(base(at)), window(other(at)));
    let folder =
        folder(&[("in.tsv", &table), ("in.vcf", &vcf()), ("ref.fa", &reference()), ("s.fa", &sequences)]);
    let path = |name: &str| folder.path().join(name);
    let run = |input: &str| {
        let (input, fasta) = (path(input), path("ref.fa"));
        stdout(&mut kilobase([
            "variants",
            text(&input),
            "-r",
            text(&fasta),
            "-m",
            MODEL,
            "--left",
            "300",
            "--right",
            "60",
            "--share",
            "100",
            "-q",
        ]))
    };
    let alone = run("in.tsv");
    assert!(alone.starts_with("chrom\tpos\tref\talt\tlabel\tkb_llr"), "{alone}");
    let alone = rows(&alone)[0][5].clone();
    let among = run("in.vcf");
    let among = among.lines().find(|line| line.starts_with("c1\t400\t")).unwrap();
    let among = among.split("KB_LLR=").nth(1).unwrap().split([',', ';', '\t']).next().unwrap();
    assert!((number(&alone) - number(among)).abs() < 2e-4, "{alone} and {among}");
    let fasta = path("s.fa");
    let scores = rows(&stdout(&mut kilobase(["score", text(&fasta), "-m", MODEL, "-q"])));
    let difference = number(&scores[1][4]) - number(&scores[0][4]);
    assert!((number(&alone) - difference).abs() < 2e-3, "{alone} and {difference}");
}

#[test]
fn encoders_score_by_pseudo_likelihoods() {
    let table = format!("chrom\tpos\tref\talt\nc1\t400\t{}\t{}\n", base(400), other(400));
    let folder = folder(&[("in.tsv", &table), ("ref.fa", &reference())]);
    let at = |name: &str| folder.path().join(name);
    let (input, fasta) = (at("in.tsv"), at("ref.fa"));
    let all = |flags: &[&'static str]| {
        kilobase(
            ["variants", text(&input), "-r", text(&fasta), "-m", ENCODER]
                .into_iter()
                .chain(flags.iter().copied()),
        )
    };
    let table = stdout(&mut all(&["-q"]));
    assert!(table.contains("kb_pll") && number(&rows(&table)[0][4]).is_finite());
    all(&["--score", "llr"]).assert().code(2).stderr(predicate::str::contains("llr needs a decoder"));
}

#[test]
fn what_is_wrong_is_told_before_any_work() {
    let broken = format!("{HEADER}c1\tten\t.\tA\tC\t.\t.\t.\n");
    let folder = folder(&[("in.vcf", &vcf()), ("broken.vcf", &broken), ("ref.fa", &reference())]);
    let at = |name: &str| folder.path().join(name);
    let (input, broken, fasta, out) = (at("in.vcf"), at("broken.vcf"), at("ref.fa"), at("out.vcf.gz"));
    for (input, flags, code, part) in [
        (&broken, vec![], 1, "line 4"),
        (&input, vec!["--context", "50"], 2, "need 1517 tokens; the context has 50"),
        (&input, vec!["--score", "pll"], 2, "pll needs an encoder"),
        (&input, vec!["-r", "no-such.fa"], 3, "no-such.fa"),
    ] {
        let reference = if flags.first() == Some(&"-r") { vec![] } else { vec!["-r", text(&fasta)] };
        let all = ["variants", text(input), "-m", MODEL, "-o", text(&out)];
        kilobase(all.into_iter().chain(reference).chain(flags))
            .assert()
            .code(code)
            .stdout("")
            .stderr(predicate::str::contains(part));
        assert!(!out.exists());
    }
}

#[test]
fn a_dry_run_prices_stretches_and_alleles() {
    let folder = folder(&[("in.vcf", &vcf()), ("ref.fa", &reference())]);
    let at = |name: &str| folder.path().join(name);
    let (input, fasta) = (at("in.vcf"), at("ref.fa"));
    let price = |model: &str, flags: &str| -> serde_json::Value {
        let all = [
            "variants",
            text(&input),
            "-r",
            text(&fasta),
            "-m",
            model,
            "--dry-run",
            "--json",
            "--left",
            "120",
        ];
        serde_json::from_str(&stdout(&mut kilobase(all.into_iter().chain(flags.split_whitespace())))).unwrap()
    };
    let number = |of: &serde_json::Value, what: &str| of[what].as_f64().unwrap();
    let (llr, vep) = (price(MODEL, "--right 60"), price(MODEL, "--score vep"));
    for price in [&llr, &vep, &price(ENCODER, "--right 60")] {
        for what in ["tokens", "linear_flop", "attention_flop", "estimated_seconds", "activation_bytes"] {
            assert!(number(price, what) > 0.0, "{what}: {price}");
        }
    }
    assert_eq!(llr["records"], 13);
    // Eight sites of single bases, each with 120 bases before it.
    assert_eq!(number(&vep, "tokens") % 21.0, 0.0);
    assert_eq!(number(&price(MODEL, "--right 60 --both-strands"), "tokens"), 2.0 * number(&llr, "tokens"));
    assert!(number(&price(MODEL, "--right 600"), "tokens") > number(&llr, "tokens"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2 + usize::from(at("ref.fa.fai").exists()));
}
