//! What holds for the program whatever the command: version, exit codes, streams, completions and manual.

mod program;

use assert_cmd::Command;
use predicates::prelude::*;

use program::program;

/// The program with nothing of the environment that changes what it does.
fn kilobase(line: &str) -> Command {
    let mut command = program();
    command.args(line.split_whitespace());
    command
}

fn json(line: &str) -> serde_json::Value {
    let output = kilobase(line).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn version_is_name_and_number() {
    let expected = concat!("kilobase ", env!("CARGO_PKG_VERSION"), "\n");
    kilobase("--version").assert().success().stdout(expected).stderr("");
}

#[test]
fn error_of_the_command_line_exits_2_and_leaves_stdout_alone() {
    for line in
        ["", "no-such-command", "doctor --threads 0", "doctor --device gpu", "doctor -q -v", "completions"]
    {
        kilobase(line).assert().code(2).stdout("").stderr(predicate::str::is_empty().not());
    }
    kilobase("doctor").env("KILOBASE_THREADS", "many").assert().code(2);
    kilobase("doctor").env("KILOBASE_DEVICE", "gpu").assert().code(2);
}

#[test]
fn help_names_commands_and_exit_codes() {
    let help = kilobase("--help").assert().success().get_output().stdout.clone();
    let help = String::from_utf8(help).unwrap();
    for text in ["doctor", "completions", "--threads", "--device", "--seed", "--json", "Exit codes"] {
        assert!(help.contains(text), "{text}: {help}");
    }
}

#[test]
fn doctor_tells_what_there_is() {
    kilobase("doctor")
        .assert()
        .success()
        .stdout(predicate::str::starts_with("kilobase "))
        .stdout(predicate::str::contains("processor").and(predicate::str::contains("memory")))
        .stdout(predicate::str::contains("cuda"))
        .stderr("");
}

#[test]
fn doctor_for_machines_is_one_document() {
    let report = json("doctor --json --threads 1");
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["threads"], 1);
    assert!(report["memory"]["total"].as_u64().unwrap() > 0);
    assert!(report["memory"]["available"].as_u64() <= report["memory"]["total"].as_u64());
    assert!(report["processor"]["features"].is_object());
    assert!(report["cuda"]["driver"].is_string() != report["cuda"]["reason"].is_string());
}

#[test]
fn flags_and_environment_set_the_same_things() {
    let output = kilobase("doctor --json")
        .env("KILOBASE_THREADS", "3")
        .env("KILOBASE_DEVICE", "cpu")
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["threads"], &report["device"]["asked"]), (&3.into(), &"cpu".into()));
}

#[cfg(not(feature = "cuda"))]
#[test]
fn device_that_is_not_built_exits_3_and_says_what_to_do() {
    kilobase("doctor --device cuda")
        .assert()
        .code(3)
        .stdout(predicate::str::contains("processor"))
        .stderr(predicate::str::starts_with("kilobase: error: this build cannot compute on cuda"))
        .stderr(predicate::str::contains("feature `cuda`"));
}

#[cfg(feature = "cuda")]
#[test]
fn device_that_no_machine_has_exits_3_without_a_panic() {
    kilobase("doctor --device cuda:4096").assert().code(3).stderr(
        predicate::str::starts_with("kilobase: error: ").and(predicate::str::contains("panic").not()),
    );
}

#[test]
fn completions_are_there_for_common_shells() {
    for shell in ["bash", "zsh", "fish"] {
        kilobase(&format!("completions {shell}"))
            .assert()
            .success()
            .stdout(predicate::str::contains("doctor"))
            .stderr("");
    }
}

#[test]
fn manual_has_a_page_for_each_command() {
    kilobase("man").assert().success().stdout(predicate::str::contains(".TH kilobase 1"));
    let folder = tempfile::tempdir().unwrap();
    kilobase("man --output").arg(folder.path().join("new")).assert().success().stdout("").stderr("");
    let mut pages: Vec<_> = std::fs::read_dir(folder.path().join("new"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    assert!(pages.contains(&"kilobase.1".to_owned()) && pages.contains(&"kilobase-doctor.1".to_owned()));
    assert!(!pages.iter().any(|page| page.contains("-man")), "hidden commands have no page: {pages:?}");
    let doctor = std::fs::read_to_string(folder.path().join("new/kilobase-doctor.1")).unwrap();
    assert!(doctor.contains("kilobase doctor") || doctor.contains("kilobase\\-doctor"), "{doctor}");
}

#[test]
fn folder_that_cannot_be_made_is_told_with_its_cause() {
    let file = tempfile::NamedTempFile::new().unwrap();
    // A file where a folder should be can be neither found nor made.
    kilobase("man --output")
        .arg(file.path().join("pages"))
        .assert()
        .code(1)
        .stderr(predicate::str::starts_with("kilobase: error: ").and(predicate::str::contains("  cause: ")));
}

#[cfg(unix)]
#[test]
fn closed_pipe_ends_quietly_with_0() {
    for line in ["man", "completions bash", "doctor", "doctor --json", "--help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_kilobase"))
            .args(line.split(' '))
            .stdout(writer)
            .stderr(std::process::Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line}");
        assert_eq!(output.status.code(), Some(0), "{line}");
    }
}
