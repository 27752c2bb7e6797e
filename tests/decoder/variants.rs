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
fn letters_that_are_no_bases_can_be_read_as_unknown() {
    let base = &dna(100, 8)[98..99];
    let table = format!("chrom\tpos\tref\talt\nc2\t99\t{base}\t{}\n", if base == "A" { "C" } else { "A" });
    let folder = folder(&[("in.tsv", &table), ("ref.fa", &reference())]);
    let (input, fasta) = (folder.path().join("in.tsv"), folder.path().join("ref.fa"));
    let line = ["variants", text(&input), "-r", text(&fasta), "-m", MODEL, "--right", "60", "-q"];
    let refused = rows(&stdout(&mut kilobase(line)));
    assert_eq!(refused[0][4..], ["NA", "window_letters"], "four N stand two bases after it");
    let read = rows(&stdout(&mut kilobase(line.into_iter().chain(["--allow-n"]))));
    assert!(number(&read[0][4]).is_finite(), "{read:?}");
    assert_ne!(read[0][5], "window_letters");
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
        (&input, vec!["--left", "2000000"], 2, "need 333485 tokens; the context has "),
        (&input, vec!["--score", "vep", "--left", "2000000"], 2, "need 333385 tokens; the context has "),
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
    assert!(vep["tokens"].as_u64().unwrap().is_multiple_of(21));
    let both = price(MODEL, "--right 60 --both-strands");
    assert_eq!(both["tokens"].as_u64().unwrap(), 2 * llr["tokens"].as_u64().unwrap());
    assert!(number(&price(MODEL, "--right 600"), "tokens") > number(&llr, "tokens"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2 + usize::from(at("ref.fa.fai").exists()));
}

/// A table of substitutions, an insertion and a deletion of a whole token, and one of a single base, with bases before and
/// after them.
fn edits() -> (String, String) {
    let contig = dna(3000, 11);
    let mut table = "chrom\tpos\tref\talt\n".to_owned();
    for at in [1200_usize, 1260, 1333] {
        let base = &contig[at - 1..at];
        writeln!(table, "c1\t{at}\t{base}\t{}", if base == "A" { "G" } else { "A" }).unwrap();
    }
    let at = 1300;
    let base = &contig[at - 1..at];
    writeln!(table, "c1\t{at}\t{base}\t{base}ACCGTT").unwrap();
    writeln!(table, "c1\t{at}\t{}\t{base}", &contig[at - 1..at + 6]).unwrap();
    writeln!(table, "c1\t{at}\t{base}\t{base}A").unwrap();
    (table, format!(">c1\n{contig}\n"))
}

fn edited(folder: &TempDir, model: &str, flags: &str) -> (Vec<f64>, serde_json::Value) {
    let at = |name: &str| folder.path().join(name);
    let (input, fasta) = (at("in.tsv"), at("ref.fa"));
    let all = ["variants", text(&input), "-r", text(&fasta), "-m", model, "--right", "900", "--left", "300"];
    let output =
        kilobase(all.into_iter().chain(["--json"]).chain(flags.split_whitespace())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).unwrap();
    let scores = rows(&table).iter().map(|line| number(&line[4])).collect();
    let told = String::from_utf8(output.stderr).unwrap();
    (scores, serde_json::from_str(told.lines().last().unwrap()).unwrap())
}

#[test]
fn edits_of_the_cache_are_exact_in_the_first_layer_and_told_apart_from_exact_scores_in_others() {
    let (table, reference) = edits();
    let folder = folder(&[("in.tsv", &table), ("ref.fa", &reference)]);
    let at = |name: &str| folder.path().join(name);
    // What edits leave as it was is right in a model of one layer: keys and values depend on nothing but their token.
    let config = fs::read_to_string(Path::new(MODEL).join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["num_hidden_layers"] = 1.into();
    fs::write(at("config.json"), config.to_string()).unwrap();
    let (config, one) = (at("config.json"), at("one"));
    kilobase(["model", "init", "--config", text(&config), "-t", MODEL, "-o", text(&one)]).assert().success();
    let (exact, _) = edited(&folder, text(&one), "");
    let (pie, told) = edited(&folder, text(&one), "--edit pie --edit-refresh 1 --edit-stride 2");
    assert_eq!((&told["ratios_edited"], &told["ratios_exact"]), (&5.into(), &1.into()));
    // Each second prediction stands for two; where none stands for another, edits are exact.
    assert!(exact.iter().zip(&pie).any(|(a, b)| (a - b).abs() > 1e-3), "{exact:?} {pie:?}");
    assert!((exact[5] - pie[5]).abs() < 1e-4, "another frame is computed exactly");

    let (exact, told) = edited(&folder, MODEL, "");
    assert!(told["ratios_edited"].is_null());
    let (pie, told) = edited(&folder, MODEL, "--edit pie");
    assert_eq!((&told["ratios_edited"], &told["edits_checked"]), (&5.into(), &5.into()));
    let errors: Vec<f64> = exact.iter().zip(&pie).map(|(a, b)| (a - b).abs()).collect();
    let (sum, largest) =
        (errors[..5].iter().sum::<f64>(), errors[..5].iter().fold(0.0, |a: f64, b| a.max(*b)));
    let fact = |name: &str| told[name].as_f64().unwrap();
    assert!((fact("edit_error_mean") - sum / 5.0).abs() < 1e-3 && sum > 1e-3, "{told} {errors:?}");
    assert!((fact("edit_error_largest") - largest).abs() < 1e-3);
    let effects: f64 = exact[..5].iter().map(|ratio| ratio.abs()).sum();
    assert!((fact("edit_error_of_effect") - sum / effects).abs() < 1e-3);
    assert!(fact("edit_tokens_computed") < 0.4 * fact("edit_tokens"));
    // With everything computed anew nothing is left to approximate.
    let (all, told) = edited(&folder, MODEL, "--edit pie --edit-refresh 1000");
    assert_eq!(told["ratios_edited"], 0);
    assert!(exact.iter().zip(&all).all(|(a, b)| (a - b).abs() < 1e-4));
    let (both, _) = edited(&folder, MODEL, "--edit pie --both-strands");
    assert!(both.iter().all(|ratio| ratio.is_finite()));
    let (input, fasta) = (at("in.tsv"), at("ref.fa"));
    kilobase(["variants", text(&input), "-r", text(&fasta), "-m", MODEL, "--edit", "pie", "--score", "vep"])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("--edit pie is about --score llr"));
}
