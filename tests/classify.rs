//! `kilobase classify` and `distance`, as users type them, on families made here.

mod program;

use std::fs;

use assert_cmd::Command;
use predicates::prelude::*;
use tempfile::TempDir;

use program::program;

/// The program with nothing of the environment that changes what it does.
fn kilobase(folder: &TempDir, line: &str) -> Command {
    let mut command = program();
    command.current_dir(folder.path());
    command.args(line.split_whitespace());
    command
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).expect("UTF-8")
}

/// Bases that look random and are the same each time.
fn dna(length: usize, mut seed: u32) -> String {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ['A', 'C', 'G', 'T'][(seed >> 30) as usize]
    };
    (0..length).map(|_| next()).collect()
}

/// A member of a family: every 60th base is another one.
fn member(family: u32, number: usize) -> String {
    let change = |(at, base): (usize, char)| match base {
        _ if at % 60 != 3 * number % 60 => base,
        'A' => 'C',
        'C' => 'G',
        'G' => 'T',
        _ => 'A',
    };
    dna(300, 17 + family).chars().enumerate().map(change).collect()
}

fn fasta(family: u32, numbers: std::ops::Range<usize>, class: &str) -> String {
    numbers
        .map(|number| format!(">f{family}_{number} {class}\n{}\n", member(family, number)))
        .collect::<Vec<_>>()
        .concat()
}

/// Two families for training, and queries of both.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("written");
    write("kinase.fa", fasta(1, 0..8, "class=kinase"));
    write("channel.fa", fasta(2, 0..8, "class=channel"));
    write("queries.fa", fasta(1, 8..11, "") + &fasta(2, 8..11, ""));
    let rows = |family, class: &str| -> String {
        (0..10).map(|number| format!("{}\t{class}\n", member(family, number))).collect::<Vec<_>>().concat()
    };
    let families: String = (0..6_u32)
        .flat_map(|family| {
            (0..4).map(move |number| format!("{}\t{}\n", member(10 + family, number), family % 2))
        })
        .collect();
    write("families.tsv", families);
    write("table.tsv", format!("sequence\tclass\n{}{}", rows(1, "0"), rows(2, "1")));
    folder
}

/// Cells of a table without its header.
fn rows(table: &str) -> Vec<Vec<String>> {
    table.lines().skip(1).map(|line| line.split('\t').map(String::from).collect()).collect()
}

const RIGHT: [&str; 6] = ["kinase", "kinase", "kinase", "channel", "channel", "channel"];

fn classes(table: &str) -> Vec<String> {
    rows(table).into_iter().map(|row| row[2].clone()).collect()
}

#[test]
fn every_method_finds_the_families() {
    let folder = folder();
    for (name, flags) in [
        ("cm", ""),
        ("cm_no", "--coding no"),
        ("gzip", "--method ncd"),
        ("paper", "--preset paper"),
        ("xz", "--method ncd --compressor xz --no-overhead --distance cond"),
        ("brotli", "--method ncd --compressor brotli --rerank 4"),
        ("bz2", "--method ncd --compressor bz2 -k 3 --symmetric"),
        ("zstd", "--method ncd --compressor zstd --level 19 --separator none --distance cdm"),
        ("zlib", "--method ncd --compressor zlib --separator newline --distance nrc"),
        ("jaccard", "--method jaccard --word 9"),
    ] {
        let line = format!("classify train kinase.fa channel.fa --by-file -o {name}.model {flags}");
        kilobase(&folder, &line).assert().success();
        assert!(folder.path().join(format!("{name}.model.meta.json")).exists());
        let table = stdout(&mut kilobase(&folder, &format!("classify predict -m {name}.model queries.fa")));
        assert!(table.starts_with(
            "#id\tlength\tprediction\tconfidence\tmargin\tnearest_id\tnearest_distance\tstatus\tchannel\tkinase\n"
        ));
        assert_eq!(classes(&table), RIGHT, "{name}: {table}");
        assert!(rows(&table).iter().all(|row| row[7] == "ok" && row[1] == "300"), "{table}");
    }
}

#[test]
fn classes_come_from_headers_tables_and_label_files() {
    let folder = folder();
    let labels = (0..8).map(|n| format!("f1_{n}\tkinase\nf2_{n}\tchannel\n")).collect::<Vec<_>>().concat();
    fs::write(folder.path().join("labels.tsv"), labels).unwrap();
    kilobase(&folder, "classify train kinase.fa channel.fa -o a").assert().success();
    kilobase(&folder, "classify train kinase.fa channel.fa --labels labels.tsv -o b").assert().success();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("a"), read("b"));
    kilobase(&folder, "classify train table.tsv -o c").assert().success();
    let table = stdout(&mut kilobase(&folder, "classify predict -m c queries.fa"));
    assert_eq!(classes(&table), ["0", "0", "0", "1", "1", "1"]);
    let missing = predicate::str::contains("record 1 (id f1_8) has no class");
    kilobase(&folder, "classify train queries.fa -o d").assert().code(1).stderr(missing);
}

#[test]
fn threads_change_neither_models_nor_results() {
    let folder = folder();
    for method in ["cm", "ncd"] {
        let mut seen = Vec::new();
        for threads in [1, 2] {
            let name = format!("{method}{threads}");
            let line = format!("classify train table.tsv --method {method} -o {name} --threads {threads}");
            kilobase(&folder, &line).assert().success();
            let line = format!("classify predict -m {name} queries.fa --threads {threads}");
            seen.push((fs::read(folder.path().join(&name)).unwrap(), stdout(&mut kilobase(&folder, &line))));
        }
        assert!(seen[0] == seen[1], "{method}");
    }
}

#[test]
fn odd_queries_have_a_status() {
    let folder = folder();
    let odd =
        format!(">empty\n>short\nACGTA\n>n\n{}\n>lower\n{}\n", "N".repeat(50), member(1, 9).to_lowercase());
    fs::write(folder.path().join("odd.fa"), odd + ">rna\n" + &member(2, 9).replace('T', "U")).unwrap();
    for method in ["cm", "ncd"] {
        let line = format!("classify train kinase.fa channel.fa --method {method} -o {method}.model");
        kilobase(&folder, &line).assert().success();
        let mut command = kilobase(&folder, &format!("classify predict -m {method}.model odd.fa"));
        let told = predicate::str::contains("1 records without letters");
        let output = command.assert().success().stderr(told).get_output().stdout.clone();
        let table = String::from_utf8(output).unwrap();
        let rows = rows(&table);
        let status: Vec<&str> = rows.iter().map(|row| &row[7][..]).collect();
        assert_eq!(status, ["empty", "short", "all_ambiguous", "ok", "ok"], "{method}: {table}");
        assert_eq!((&rows[0][2][..], &rows[0][3][..]), (".", "."));
        assert_eq!((&rows[3][2][..], &rows[4][2][..]), ("kinase", "channel"));
    }
}

#[test]
fn lengths_and_letters_that_rule_a_distance_are_told_or_can_be_left_out() {
    let folder = folder();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write("part.fa", format!(">part\n{}\n", &member(1, 9)[..12]));
    let told = predicate::str::contains("99 neighbours of 16 sequences: all of them vote");
    kilobase(&folder, "classify train kinase.fa channel.fa --method ncd -k 99 -o all")
        .assert()
        .success()
        .stderr(told);
    kilobase(&folder, "classify train kinase.fa channel.fa --preset paper -o paper").assert().success();
    // 300 letters beside 12.
    let told = predicate::str::contains("20 times longer or shorter");
    kilobase(&folder, "classify predict -m paper part.fa").assert().success().stderr(told);
    // The paper takes letters as they are: to gzip the lower case is another text.
    write("cases.fa", format!(">upper\n{0}\n>lower\n{1}\n", member(1, 9), member(1, 9).to_lowercase()));
    let nearest = |flags: &str| -> Vec<f64> {
        let table = stdout(&mut kilobase(&folder, &format!("classify predict cases.fa -m {flags}")));
        rows(&table).iter().map(|row| row[6].parse().unwrap()).collect()
    };
    let [paper, usual] = [nearest("paper"), nearest("all")];
    assert!(paper[0] + 0.3 < paper[1], "{paper:?}");
    assert_eq!(usual[0].to_bits(), usual[1].to_bits());
    // Of five bases nearly all that gzip writes is its frame.
    write("five.fa", ">a\nACGTA\n>b\nTTGCC\n".to_owned());
    let between = |flags: &str| -> f64 {
        let line = format!("distance five.fa --format tsv {flags}");
        rows(&stdout(&mut kilobase(&folder, &line)))[0][2].parse().unwrap()
    };
    assert!(between("") + 0.3 < between("--no-overhead"));
}

#[test]
fn both_strands_give_the_same_answer_for_a_sequence_and_its_complement() {
    let folder = folder();
    let sequence = member(1, 9);
    let reverse: String = sequence
        .chars()
        .rev()
        .map(|base| match base {
            'A' => 'T',
            'C' => 'G',
            'G' => 'C',
            _ => 'A',
        })
        .collect();
    fs::write(folder.path().join("strands.fa"), format!(">q\n{sequence}\n>q\n{reverse}\n")).unwrap();
    for method in ["cm", "ncd"] {
        let line = format!("classify train kinase.fa channel.fa --method {method} -o {method}.model");
        kilobase(&folder, &line).assert().success();
        let line = format!("classify predict -m {method}.model strands.fa --strand both");
        let rows = rows(&stdout(&mut kilobase(&folder, &line)));
        assert_eq!((&rows[0][8][..], &rows[1][8][..]), ("+", "-"), "{rows:?}");
        let rest = |row: &[String]| [&row[..8], &row[9..]].concat();
        assert_eq!(rest(&rows[0]), rest(&rows[1]));
    }
}

#[test]
fn settings_can_be_chosen_by_cross_validation() {
    let folder = folder();
    kilobase(&folder, "classify train families.tsv --coding no --tune -o tuned").assert().success();
    let facts = fs::read_to_string(folder.path().join("tuned.meta.json")).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    let trials = facts["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 6, "two sets of contexts and three decays: {trials:?}");
    let surprise = |trial: &serde_json::Value| trial["surprise_bits"].as_f64().unwrap();
    let best = trials.iter().min_by(|a, b| surprise(a).total_cmp(&surprise(b))).unwrap();
    let told =
        format!("cm, {} contexts, decay {}", best["contexts"].as_array().unwrap().len(), best["decay"]);
    assert_eq!(facts["method"], told);
    kilobase(&folder, "classify predict -m tuned queries.fa").assert().success();
    kilobase(&folder, "classify train families.tsv --method ncd --tune -o m").assert().code(2);
}

#[test]
fn foreign_sequences_can_be_left_unclassified() {
    let folder = folder();
    fs::write(folder.path().join("foreign.fa"), format!(">x\n{}\n", dna(300, 999))).unwrap();
    kilobase(&folder, "classify train kinase.fa channel.fa -o m").assert().success();
    let table = stdout(&mut kilobase(&folder, "classify predict -m m queries.fa foreign.fa --reject 0.3"));
    let classes = classes(&table);
    assert_eq!(classes[..6], RIGHT);
    assert_eq!(classes[6], "unclassified");
}

#[test]
fn training_data_that_cannot_work_are_refused_with_names() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let fails = |line: &str, code: i32, text: &str| {
        kilobase(&folder, line).assert().code(code).stdout("").stderr(predicate::str::contains(text));
        assert!(!folder.path().join("m").exists());
    };
    fails(
        "classify train kinase.fa --by-file -o m",
        1,
        "at least two classes are needed; the input has 1 (kinase)",
    );
    write("bare.fa", ">x\n");
    fails("classify train kinase.fa bare.fa --by-file -o m", 1, "class bare has no sequence with letters");
    write("bad.tsv", "ACGT\t1\nAC!T\t2\n");
    fails("classify train bad.tsv -o m", 1, "bad.tsv: line 2: '!' at column 3");
    fails("classify train table.tsv --method ncd --level 12 -o m", 2, "gzip has levels from 0 to 9");
    fails("classify train table.tsv --case keep -o m", 2, "--case keep is for --method ncd");
    write("long.fa", &format!(">long class=a\n{}\n>b class=b\nACGT\n", dna(40_000, 5)));
    fails("classify train long.fa --method ncd -o m", 1, "long has 40000 letters, and gzip looks back 32506");
    kilobase(&folder, "classify train long.fa --method ncd --allow-window-overflow -o m").assert().success();
    let told = predicate::str::contains("long has 40000 letters");
    kilobase(&folder, "classify predict -m m long.fa").assert().code(1).stderr(told);
    kilobase(&folder, "classify predict -m m long.fa --allow-window-overflow").assert().success();
}

#[test]
fn the_same_sequence_in_two_classes_is_told_and_ties_are_marked() {
    let folder = folder();
    let twice = format!(">a class=one\n{0}\n>b class=two\n{0}\n>e class=one\n\n", member(1, 0));
    fs::write(folder.path().join("twice.fa"), twice).unwrap();
    let told = predicate::str::contains("a of class one and b of class two are the same sequence")
        .and(predicate::str::contains("1 sequences without letters were left out"));
    kilobase(&folder, "classify train twice.fa --method ncd -k 9 -o m").assert().success().stderr(told);
    kilobase(&folder, "classify train twice.fa --method ncd -o m1").assert().success();
    let table = stdout(&mut kilobase(&folder, "classify predict -m m1 queries.fa"));
    let rows = rows(&table);
    assert_eq!(
        (&rows[0][2][..], &rows[0][5][..], &rows[0][7][..]),
        ("one", "a", "tie"),
        "the first of equals"
    );
    assert_eq!(&rows[0][3], "0.000000");
}

#[test]
fn models_are_joined_and_updated_and_damage_is_found() {
    let folder = folder();
    fs::write(
        folder.path().join("new.fa"),
        fasta(3, 0..8, "class=receptor") + &fasta(2, 0..2, "class=channel"),
    )
    .unwrap();
    kilobase(&folder, "classify train kinase.fa channel.fa --coding no -o old").assert().success();
    kilobase(&folder, "classify train new.fa --update old -o updated").assert().success();
    kilobase(&folder, "classify train new.fa --coding no -o new").assert().success();
    kilobase(&folder, "classify merge old new -o merged").assert().success();
    fs::write(folder.path().join("q.fa"), fasta(3, 9..10, "")).unwrap();
    for model in ["updated", "merged"] {
        let table = stdout(&mut kilobase(&folder, &format!("classify predict -m {model} queries.fa q.fa")));
        assert_eq!(classes(&table), [&RIGHT[..], &["receptor"]].concat(), "{model}");
    }
    // Queries and further sequences take the form of a model's letters; models of two forms are two things.
    let skip = "--coding no --ambiguous skip";
    kilobase(&folder, &format!("classify train new.fa {skip} -o skipping")).assert().success();
    let told = predicate::str::contains("skipping").and(predicate::str::contains(
        "ambiguous skip cannot be joined to one with case upper, ambiguous keep",
    ));
    kilobase(&folder, "classify merge old skipping -o both").assert().code(1).stderr(told);
    assert!(!folder.path().join("both").exists());
    let told = predicate::str::contains("trained on letters with case upper, ambiguous keep, not with");
    let line = "classify train new.fa --update old --ambiguous skip -o both";
    kilobase(&folder, line).assert().code(2).stderr(told);
    kilobase(&folder, "classify train new.fa --update skipping -o again").assert().success();
    let facts = fs::read_to_string(folder.path().join("again.meta.json")).unwrap();
    assert!(facts.contains(r#""ambiguous": "skip""#), "{facts}");
    fs::write(folder.path().join("gaps.fa"), format!(">a\nNN{0}NNN\n>b\n{0}\n", member(3, 9))).unwrap();
    let table = stdout(&mut kilobase(&folder, "classify predict -m skipping gaps.fa"));
    let cells = rows(&table);
    assert_eq!(cells[0][1..], cells[1][1..], "{table}");
    let mut bytes = fs::read(folder.path().join("old")).unwrap();
    bytes[8] = 1;
    fs::write(folder.path().join("first"), &bytes).unwrap();
    let told =
        predicate::str::contains("first").and(predicate::str::contains("version 1; this program reads"));
    kilobase(&folder, "classify predict -m first queries.fa").assert().code(1).stderr(told);
    bytes[8] = 2;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(folder.path().join("bad"), bytes).unwrap();
    let told = predicate::str::contains("bad").and(predicate::str::contains("checksum"));
    kilobase(&folder, "classify predict -m bad queries.fa").assert().code(1).stderr(told);
    kilobase(&folder, "classify predict -m absent queries.fa").assert().code(3);
    kilobase(&folder, "classify predict -m queries.fa queries.fa")
        .assert()
        .code(1)
        .stderr(predicate::str::contains("not a model file"));
}

#[test]
fn profile_has_a_line_a_letter_and_sums_to_the_bits_of_predict() {
    let folder = folder();
    kilobase(&folder, "classify train kinase.fa channel.fa -o m").assert().success();
    let table = stdout(&mut kilobase(&folder, "classify predict -m m queries.fa"));
    let track = stdout(&mut kilobase(&folder, "classify profile -m m queries.fa"));
    let track: Vec<Vec<String>> = rows(&track).into_iter().filter(|row| row[0] == "f1_8").collect();
    assert_eq!(track.len(), 300);
    let sum: f64 = track.iter().map(|row| row[4].parse::<f64>().unwrap()).sum();
    let told: f64 = rows(&table)[0][9].parse().unwrap();
    assert!((sum / 300.0 - told).abs() < 1e-5, "{sum} {told}");
}

#[test]
fn eval_shows_what_leaks_beside_every_method() {
    let folder = folder();
    fs::write(folder.path().join("split.json"), r#"{"a": {"train": [0,1,2,4,5,6,8], "test": [3, 7]}}"#)
        .unwrap();
    let table = stdout(&mut kilobase(&folder, "classify eval families.tsv --split split.json#a"));
    let rows = rows(&table);
    let column = |at: usize| -> Vec<&str> { rows.iter().map(|row| &row[at][..]).collect() };
    assert_eq!(rows.len(), 4 * 4, "{table}");
    for split in ["split.json#a", "random:42", "dedup:42", "cluster:42"] {
        assert!(column(0).contains(&split), "{table}");
    }
    for method in ["cm", "jaccard-12", "minhash-12-256", "naive-bayes-6"] {
        assert!(column(1).contains(&method), "{table}");
    }
    let named = &rows[0];
    assert_eq!(
        (&named[2][..], &named[3][..], &named[5][..], &named[6][..]),
        ("7", "2", "2", "1.0000"),
        "{table}"
    );
    let json =
        stdout(&mut kilobase(&folder, "classify eval families.tsv --method ncd --no-baselines --json"));
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(document["results"].as_array().unwrap().len(), 3);
    assert_eq!(document["results"][0]["method"], "gzip-9 ncd");
    fs::write(folder.path().join("split.json"), r#"{"train": [0, 1], "test": [1]}"#).unwrap();
    let told = predicate::str::contains("row 1 is in both parts");
    kilobase(&folder, "classify eval families.tsv --split split.json").assert().code(1).stderr(told);
    kilobase(&folder, "classify eval families.tsv --split random:x").assert().code(2);
}

#[test]
fn distances_are_written_in_every_format_with_trees() {
    let folder = folder();
    let line = "distance kinase.fa channel.fa -o d.phy --tree nj --svg d.svg";
    kilobase(&folder, line).assert().success();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let matrix = read("d.phy");
    assert!(matrix.starts_with("16\nf1_0  0.000000 0."), "{matrix}");
    let newick = read("d.nwk");
    assert_eq!(newick.matches("'f1_").count() + newick.matches("'f2_").count(), 16, "{newick}");
    assert!(read("d.svg").starts_with("<svg"));
    // The families are apart: some branch parts the names of one from those of the other.
    let tsv = stdout(&mut kilobase(&folder, "distance kinase.fa channel.fa --format tsv"));
    let cells = rows(&tsv);
    let value = |a: usize, b: usize| cells[a][b + 1].parse::<f64>().unwrap();
    assert!(value(0, 7) < value(0, 8));
    assert!((value(0, 8) - value(8, 0)).abs() < 1e-9);
    kilobase(&folder, "distance kinase.fa -o e.npy --raw-diagonal --one-way --tree upgma").assert().success();
    let npy = fs::read(folder.path().join("e.npy")).unwrap();
    assert!(npy.starts_with(b"\x93NUMPY"));
    assert_ne!(npy[npy.len() - 8..], [0; 8], "the diagonal is not 0");
    for by in ["mixture", "markov --order 6", "bytes --compressor bz2"] {
        let tsv =
            stdout(&mut kilobase(&folder, &format!("distance kinase.fa channel.fa --format tsv --by {by}")));
        let cells = rows(&tsv);
        assert!(cells[0][8].parse::<f64>().unwrap() < cells[0][9].parse::<f64>().unwrap(), "{by}: {tsv}");
    }
    kilobase(&folder, "distance kinase.fa channel.fa --strict-phylip --tree nj").assert().code(2);
    fs::write(folder.path().join("names.fa"), ">sample-0001-a\nACGTAC\n>sample-0001-b\nACGGAC\n").unwrap();
    let told = predicate::str::contains("sample-0001-a and sample-0001-b begin alike");
    kilobase(&folder, "distance names.fa --strict-phylip").assert().code(1).stdout("").stderr(told);
}

#[test]
fn a_decoder_is_a_compressor_too() {
    let folder = folder();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/generator-tiny");
    fs::write(folder.path().join("three.fa"), fasta(1, 0..2, "") + &fasta(2, 0..1, "")).unwrap();
    let line = format!("distance three.fa --by neural -m {model} --device cpu --format tsv");
    let tsv = stdout(&mut kilobase(&folder, &line));
    let cells = rows(&tsv);
    assert_eq!(cells.len(), 3);
    let between: f64 = cells[0][2].parse().unwrap();
    assert!(between > 0.5 && between < 1.5, "random weights learn nothing from the first: {tsv}");
}
