use crate::*;
use predicates::prelude::*;

/// Names with their facts, and sequences.
fn records(fasta: &str) -> Vec<(String, String)> {
    fasta
        .split('>')
        .skip(1)
        .map(|record| {
            let (header, bases) = record.split_once('\n').unwrap();
            (header.to_owned(), bases.replace('\n', ""))
        })
        .collect()
}

fn run(flags: &str) -> Vec<(String, String)> {
    let all = ["generate", "-m", MODEL, "-q"].into_iter().chain(flags.split_whitespace());
    records(&stdout(&mut kilobase(all)))
}

#[test]
fn seeds_repeat_samples_and_samples_do_not_depend_on_their_number() {
    let three = run("-p ACGTACGGTACC -n 3 --bases 60 --seed 5");
    assert_eq!(three, run("-p ACGTACGGTACC -n 3 --bases 60 --seed 5"));
    assert_eq!(three[..1], run("-p ACGTACGGTACC -n 1 --bases 60 --seed 5"));
    assert_ne!(three, run("-p ACGTACGGTACC -n 3 --bases 60 --seed 6"));
    assert_eq!(three.len(), 3);
    for (header, bases) in &three {
        assert!(bases.len() == 60 && bases.bytes().all(|base| b"ACGT".contains(&base)), "{bases}");
        assert!(
            header.starts_with("prompt1_") && header.contains(" tokens=10 log_probability=-"),
            "{header}"
        );
    }
    let greedy = run("-p ACGTACGGTACC -n 2 --bases 60 --temperature 0");
    assert_eq!(greedy[0].1, greedy[1].1);
    let narrow = run("-p ACGTACGGTACC --bases 60 --top-k 1");
    assert_eq!(greedy[0].1, narrow[0].1);
    let by_base = run("-p ACGTACGGTACC --bases 60 --temperature 0 --draw base");
    assert_ne!(greedy[0].1, by_base[0].1);
}

#[test]
fn constraints_hold_in_every_sequence() {
    let generated = run(
        "-n 40 --bases 60 --max-run 3 --gc 0.4:0.6 --forbid-site EcoRI,BsaI --forbid GATC --prefix ATG --suffix TAA --no-stop 1",
    );
    assert_eq!(generated.len(), 40);
    for (header, bases) in &generated {
        assert!(header.contains("log_weight=-"), "{header}");
        assert!(bases.starts_with("ATG") && bases.ends_with("TAA") && bases.len() == 60);
        for forbidden in ["AAAA", "CCCC", "GGGG", "TTTT", "GAATTC", "GGTCTC", "GAGACC", "GATC"] {
            assert!(!bases.contains(forbidden), "{forbidden} in {bases}");
        }
        let gc = bases.bytes().filter(|base| b"GC".contains(base)).count();
        assert!((24..=36).contains(&gc), "{gc} of 60");
        let stops =
            bases.as_bytes()[1..].chunks_exact(3).filter(|c| [b"TAA", b"TAG", b"TGA"].iter().any(|s| s == c));
        assert_eq!(stops.count(), 0, "{bases}");
    }
    kilobase("generate --bases 12 --prefix AAAAAA --max-run 3 -m".split(' ').chain([MODEL]))
        .assert()
        .code(1)
        .stdout("");
}

#[cfg(unix)]
#[test]
fn a_program_can_judge_sequences() {
    let judge = "while read s; do case $s in *CG*) echo 0;; *) echo 1;; esac; done";
    let all = ["generate", "-m", MODEL, "-q", "-n", "5", "--bases", "60", "--judge", judge];
    for (header, bases) in records(&stdout(&mut kilobase(all))) {
        assert!(bases.len() == 60 && !bases.contains("CG"), "{bases}");
        assert!(header.contains("log_weight="), "{header}");
    }
    kilobase(["generate", "-m", MODEL, "--judge", "exit 1"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("--judge exit 1"));
}

#[test]
fn prompts_come_from_files_and_are_whole_tokens() {
    let folder = folder(&[("p.fa", ">one\nacgtacgtacgt\n>two\nACGTACG\n")]);
    let at = |name: &str| folder.path().join(name);
    let (fasta, out) = (at("p.fa"), at("out.fa"));
    let arguments = ["generate", text(&fasta), "-m", MODEL, "--max-tokens", "3", "-o", text(&out)];
    kilobase(arguments)
        .assert()
        .code(1)
        .stderr(predicate::str::contains("prompt two has 7 bases, not a multiple of 6"));
    assert!(!out.exists());
    kilobase(arguments.into_iter().chain(["--trim-prompt", "--with-prompt"])).assert().success().stdout("");
    let written = records(&fs::read_to_string(&out).unwrap());
    assert!(written[0].1.starts_with("ACGTACGTACGT") && written[0].1.len() == 12 + 18);
    assert!(written[1].1.starts_with("CGTACG") && written[1].1.len() == 6 + 18);
    let metadata: serde_json::Value =
        serde_json::from_slice(&fs::read(at("out.fa.meta.json")).unwrap()).unwrap();
    assert_eq!(metadata["stop"]["max_tokens"], 3);
    kilobase(arguments).assert().code(1).stderr(predicate::str::contains("out.fa"));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    for (flags, code, part) in [
        ("--bases 61", 2, "6 bases"),
        ("--temperature -1", 2, "temperature"),
        ("--top-p 1.5", 2, "top-p"),
        ("-p ACGTXZ", 2, "'X'"),
        ("--forbid-site NoSuchI", 2, "NoSuchI"),
        ("--gc 0.6:0.4", 2, "0.6:0.4"),
        ("--max-run 3 --stop-at-end", 2, "constraints"),
        ("--context 8 --max-tokens 20", 1, "do not fit into a context of 8"),
    ] {
        let all = ["generate", "-m", MODEL].into_iter().chain(flags.split(' '));
        kilobase(all).assert().code(code).stdout("").stderr(predicate::str::contains(part));
    }
    kilobase(["generate", "-m", ENCODER])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("needs a decoder"));
}

#[test]
fn a_dry_run_prices_prompts_and_steps() {
    let price = |flags: &str| -> serde_json::Value {
        let prompt = dna(300, 4);
        let arguments = ["generate", "-p", &prompt, "-m", MODEL, "--dry-run", "--json"];
        serde_json::from_str(&stdout(&mut kilobase(arguments.into_iter().chain(flags.split_whitespace()))))
            .unwrap()
    };
    let one = price("--bases 60");
    assert_eq!((&one["tokens"], &one["steps"]), (&(51 + 10).into(), &10.into()));
    // The prompt's page is written by each sample and so copied: 3 layers, keys and values of 2 heads of 12 in 4 bytes.
    let page = 64 * 3 * 2 * 2 * 12 * 4;
    assert_eq!(one["cache_bytes"], 2 * page);
    let many = price("--bases 60 -n 8");
    assert_eq!((&many["tokens"], &many["cache_bytes"]), (&(51 + 80).into(), &(9 * page).into()));
    for what in ["seconds_per_step", "estimated_seconds", "linear_flop_per_second"] {
        assert!(many[what].as_f64().unwrap() > 0.0, "{what}");
    }
}
