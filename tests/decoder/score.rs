use crate::*;
use predicates::prelude::*;

fn input() -> String {
    format!(">a first\n{}\n>b\n{}N{}\n>c\nACGTA\n", dna(300, 1), dna(40, 2), dna(19, 3))
}

#[test]
fn a_table_a_track_and_json_say_the_same() {
    let folder = folder(&[("in.fa", &input())]);
    let at = |name: &str| folder.path().join(name);
    let (fasta, table, track) = (at("in.fa"), at("s.tsv"), at("s.bedgraph"));
    kilobase(["score", text(&fasta), "-m", MODEL, "-o", text(&table), "--track", text(&track)])
        .assert()
        .success()
        .stdout("")
        .stderr(predicate::str::contains("records 3").and(predicate::str::contains("bases 364")));
    let content = fs::read_to_string(&table).unwrap();
    assert!(content.starts_with("record\tlength\tbases\ttokens\tlog_likelihood\tbits_per_base\n"));
    let lines = rows(&content);
    assert_eq!(lines[0][..4], ["a", "300", "300", "50"]);
    assert_eq!(lines[1][..4], ["b", "60", "59", "10"]);
    assert_eq!(lines[2][..4], ["c", "5", "5", "1"], "a tail shorter than a token is scored");
    for line in &lines {
        let (likelihood, bits) = (number(&line[4]), number(&line[5]));
        assert!((bits + likelihood / std::f64::consts::LN_2 / number(&line[2])).abs() < 1e-9);
    }
    let intervals: Vec<Vec<String>> = fs::read_to_string(&track)
        .unwrap()
        .lines()
        .map(|l| l.split('\t').map(String::from).collect())
        .collect();
    for (name, line) in ["a", "c"].into_iter().zip([&lines[0], &lines[2]]) {
        let sum: f64 = intervals
            .iter()
            .filter(|interval| interval[0] == name)
            .map(|i| (number(&i[2]) - number(&i[1])) * number(&i[3]))
            .sum();
        assert!((sum - number(&line[4])).abs() < 1e-3, "{name}: {sum} and {}", line[4]);
    }
    assert!(
        !intervals.iter().any(|i| i[0] == "b" && number(&i[1]) <= 40.0 && number(&i[2]) > 40.0),
        "N has no value"
    );
    let json = stdout(&mut kilobase(["score", text(&fasta), "-m", MODEL, "--json"]));
    for (line, document) in lines.iter().zip(json.lines()) {
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        assert_eq!(document["record"], line[0].as_str());
        assert!((document["log_likelihood"].as_f64().unwrap() - number(&line[4])).abs() < 1e-9);
        assert!(document["bits_per_base"].is_number());
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&fs::read(at("s.tsv.meta.json")).unwrap()).unwrap();
    assert_eq!(metadata["model"]["family"], "generator");
    assert!(metadata["context"]["context"].is_number() && metadata["model"]["weights_sha256"].is_string());
}

#[test]
fn strands_windows_and_policies_are_what_they_say() {
    let reverse: String = dna(300, 1)
        .chars()
        .rev()
        .map(|c| match c {
            'A' => 'T',
            'C' => 'G',
            'G' => 'C',
            _ => 'A',
        })
        .collect();
    let folder = folder(&[("in.fa", &format!(">a\n{}\n>r\n{reverse}\n", dna(300, 1)))]);
    let fasta = folder.path().join("in.fa");
    let run = |flags: &str| {
        let flags = ["score", text(&fasta), "-m", MODEL, "-q"].into_iter().chain(flags.split_whitespace());
        let table = stdout(&mut kilobase(flags));
        rows(&table).iter().map(|line| number(&line[4])).collect::<Vec<_>>()
    };
    let one = run("");
    let both = run("--both-strands");
    for score in both {
        assert!((score - f64::midpoint(one[0], one[1])).abs() < 1e-3);
    }
    let full = run("--context 20 --cache-policy full --chunk 7");
    assert!((full[0] - one[0]).abs() < 1e-3);
    let windows = run("--context 20 --overlap 10");
    let dropped = run("--context 20 --cache-policy window --cache-budget 12 --chunk 4");
    for other in [windows[0], dropped[0]] {
        assert!((other - one[0]).abs() > 1e-2, "{other} and {}", one[0]);
    }
}

#[test]
fn what_cannot_be_scored_is_told_and_leaves_no_file() {
    let folder = folder(&[
        ("in.fa", ">a\nACGTAC\n"),
        ("gap.fa", ">ok\nACGTAC\n>a\nACG-AC\n"),
        ("bad.fa", ">a\nAC!T\n"),
    ]);
    let at = |name: &str| folder.path().join(name);
    let (fasta, gap, bad, out) = (at("in.fa"), at("gap.fa"), at("bad.fa"), at("out.tsv"));
    let out = text(&out);
    for (arguments, code, part) in [
        (vec![text(&fasta), "-m", ENCODER], 2, "score needs a decoder; dnabert2 is an encoder"),
        (vec![text(&gap), "-m", MODEL], 1, "no token for \"-\" at base 3"),
        (vec![text(&bad), "-m", MODEL], 1, "'!'"),
        (vec![text(&fasta), "-m", MODEL, "--track", "x.wig"], 1, "x.wig"),
        (vec![text(&fasta), "-m", MODEL, "--context", "6", "--overlap", "5"], 1, "leaves none that is new"),
        (vec![text(&fasta), "-m", MODEL, "--cache-policy", "nothing"], 2, "h2o"),
        (vec!["no-such.fa", "-m", MODEL], 3, "no-such.fa"),
    ] {
        let all = ["score"].into_iter().chain(arguments).chain(["-o", out]);
        kilobase(all).assert().code(code).stdout("").stderr(predicate::str::contains(part));
        assert!(!Path::new(out).exists(), "{part}");
        let left = Path::new(out).with_extension("tsv.partial");
        fs::remove_dir_all(left).ok();
    }
}

#[test]
fn a_dry_run_prices_memory_and_time_and_writes_nothing() {
    let folder = folder(&[("in.fa", &input())]);
    let fasta = folder.path().join("in.fa");
    let price = |flags: &str| -> serde_json::Value {
        let arguments = ["score", text(&fasta), "-m", MODEL, "--dry-run", "--json", "--cache-dtype", "bf16"];
        serde_json::from_str(&stdout(&mut kilobase(arguments.into_iter().chain(flags.split_whitespace()))))
            .unwrap()
    };
    let whole = price("");
    assert_eq!((&whole["records"], &whole["tokens"]), (&3.into(), &(51 + 11 + 2).into()));
    assert_eq!(whole["cache_bytes"], 0, "short sequences go through side by side");
    // A page of 64 slots for the 51 tokens: 3 layers, keys and values of 2 heads of 12 in 2 bytes.
    let page = 64 * 3 * 2 * 2 * 12 * 2;
    assert_eq!(price("--chunk 16")["cache_bytes"], page);
    // 365 letters, each three times and with a number of eight bytes, and 62 tokens of 25 bytes go together.
    assert_eq!(whole["sequence_bytes"], 365 * (3 + 8) + 62 * 25);
    assert_eq!(price("--both-strands")["sequence_bytes"], 365 * (3 + 3 * 8 + 1) + 62 * 25);
    let part = |name: &str| whole[format!("{name}_bytes")].as_u64().unwrap();
    let parts = ["weights", "program", "cache", "activation", "sequence"].map(part);
    assert_eq!(part("memory"), parts.iter().sum::<u64>());
    assert!(part("program") > 1 << 20 && part("weights") > 4 * 2 * 72 * 4128, "{parts:?}");
    // Twelve tokens stay, and four more before the policy is asked: still a page, but fewer keys are read.
    let kept = price("--chunk 4 --cache-policy window --cache-budget 12 --context 20");
    assert_eq!(kept["cache_bytes"], page);
    let operations = |of: &serde_json::Value, what: &str| of[what].as_f64().unwrap();
    assert!(operations(&kept, "attention_flop") < 0.6 * operations(&whole, "attention_flop"));
    for what in ["linear_flop", "linear_flop_per_second", "attention_flop_per_second", "estimated_seconds"] {
        assert!(operations(&whole, what) > 0.0, "{what}");
    }
    let seconds = operations(&whole, "linear_flop") / operations(&whole, "linear_flop_per_second")
        + operations(&whole, "attention_flop") / operations(&whole, "attention_flop_per_second");
    assert!((operations(&whole, "estimated_seconds") / seconds - 1.0).abs() < 0.01);
    let twice = price("--both-strands");
    assert!((operations(&twice, "linear_flop") / operations(&whole, "linear_flop") - 2.0).abs() < 1e-9);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
