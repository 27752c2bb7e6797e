//! `kilobase pretrain` as users type it: from a recipe to a model that `score` and `embed` take, killed and gone on with.

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use predicates::prelude::*;
use tempfile::TempDir;

use program::program;

/// The program with nothing of the environment that changes what it does.
fn kilobase<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = program();
    command.args(arguments);
    command
}

const RECIPE: &str = r#"
goal = "causal"
[model]
model_type = "llama"
hidden_size = 16
num_hidden_layers = 1
num_attention_heads = 2
intermediate_size = 24
[tokenizer]
kmer = 3
[[data]]
name = "lambda"
files = ["lambda.fa.gz"]
[batch]
window = 192
windows = 4
[schedule]
steps = 40
warmup = 4
[held_out]
every = 20
markov = 4
[checkpoint]
every = 2
"#;

/// A folder with phage lambda and a recipe.
fn folder(recipe: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let lambda = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lambda.fa.gz");
    fs::copy(lambda, folder.path().join("lambda.fa.gz")).expect("copied");
    fs::write(folder.path().join("recipe.toml"), recipe).expect("written");
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn checkpoints(out: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(out) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("step-")).collect();
    paths.sort();
    paths
}

#[test]
fn a_model_from_a_recipe_scores_embeds_and_generates() {
    let folder = folder(RECIPE);
    let (recipe, out) = (folder.path().join("recipe.toml"), folder.path().join("out"));
    kilobase(["pretrain", text(&recipe), "-o", text(&out), "--dry-run"])
        .assert()
        .success()
        .stderr(predicate::str::contains("epochs"));
    assert!(!out.exists(), "a dry run does nothing");
    kilobase(["pretrain", text(&recipe), "-o", text(&out), "--stop-at", "7"])
        .assert()
        .success()
        .stderr(predicate::str::contains("steps 7, steps in all 40"));
    kilobase(["pretrain", text(&recipe), "-o", text(&out), "--dtype", "bf16"]).assert().success().stderr(
        predicate::str::contains("going on after step 7").and(predicate::str::contains("markov_own")),
    );
    let lambda = folder.path().join("lambda.fa.gz");
    kilobase(["score", text(&lambda), "-m", text(&out)])
        .assert()
        .success()
        .stderr(predicate::str::contains("bits per base"));
    kilobase(["embed", text(&lambda), "-m", text(&out), "--window", "6000"]).assert().success();
    kilobase(["generate", "-m", text(&out), "--prompt", "ACGACG", "--bases", "12"]).assert().success();
    // Each checkpoint is a model, too.
    let checkpoint = checkpoints(&out).pop().expect("a checkpoint");
    kilobase(["score", text(&lambda), "-m", text(&checkpoint), "-q"]).assert().success();
    for name in ["log.jsonl", "loss.svg", "report.json"] {
        assert!(out.join(name).is_file(), "{name}");
    }
    kilobase(["pretrain", text(&recipe), "-o", text(&out)])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("holds a finished run"));
}

#[cfg(unix)]
#[test]
fn killed_at_any_moment_a_run_goes_on_and_ends_with_the_same_bits() {
    let folder = folder(RECIPE);
    let recipe = folder.path().join("recipe.toml");
    let whole = folder.path().join("whole");
    kilobase(["pretrain", text(&recipe), "-o", text(&whole), "-q", "--threads", "1"]).assert().success();
    let out = folder.path().join("out");
    let mut kills = 0;
    let logged = || fs::metadata(out.join("log.jsonl")).map_or(0, |file| file.len());
    // A few lines of the log and a moment after the start, which look random and are the same each time.
    let mut seed = 1_u32;
    for _ in 0..20 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_kilobase"))
            .args(["pretrain", text(&recipe), "-o", text(&out), "-q", "--threads", "1"])
            .spawn()
            .expect("started");
        let (mut lines, mut before) = (1 + (seed >> 16) % 4, logged());
        while lines > 0 && child.try_wait().expect("a child").is_none() {
            let now = logged();
            lines -= u32::from(now != before);
            before = now;
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(u64::from(seed >> 8) % 4000));
        // SIGKILL.
        if child.try_wait().expect("a child").is_none() {
            child.kill().expect("killed");
            kills += 1;
        }
        child.wait().expect("ended");
        for checkpoint in checkpoints(&out) {
            for name in ["config.json", "model.safetensors", "training.json"] {
                assert!(checkpoint.join(name).is_file(), "{name} of a checkpoint that has its name");
            }
        }
        if out.join("report.json").is_file() {
            break;
        }
    }
    assert!(kills >= 5, "{kills} runs were killed");
    if !out.join("report.json").is_file() || !out.join("model.safetensors").is_file() {
        kilobase(["pretrain", text(&recipe), "-o", text(&out), "-q", "--threads", "1"]).assert().success();
    }
    for name in ["model.safetensors", "config.json", "report.json"] {
        assert!(
            fs::read(whole.join(name)).unwrap() == fs::read(out.join(name)).unwrap(),
            "{name} after {kills} kills"
        );
    }
    let mut left = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!left.any(|name| name.to_string_lossy().starts_with(".kilobase-step-")));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_and_the_last_checkpoint_kept() {
    let folder = folder(RECIPE);
    let (recipe, out) = (folder.path().join("recipe.toml"), folder.path().join("out"));
    kilobase(["pretrain", text(&recipe), "-o", text(&out), "-q", "--stop-at", "4"]).assert().success();
    let before = checkpoints(&out);
    // Files may grow to 8 blocks of 1024 bytes: as when the disk is full, writing fails half way.
    let limited = format!(
        "ulimit -f 8; trap '' XFSZ; exec '{}' pretrain '{}' -o '{}' -q",
        env!("CARGO_BIN_EXE_kilobase"),
        text(&recipe),
        text(&out)
    );
    Command::new("bash")
        .args(["-c", &limited])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("kilobase: error").and(predicate::str::contains("File too large")));
    assert_eq!(checkpoints(&out), before, "nothing new, nothing lost");
    kilobase(["pretrain", text(&recipe), "-o", text(&out), "-q"]).assert().success();
}

#[test]
fn errors_name_the_field_and_the_file() {
    let folder = folder(&RECIPE.replace("window = 192", "window = 190"));
    let (recipe, out) = (folder.path().join("recipe.toml"), folder.path().join("out"));
    kilobase(["pretrain", text(&recipe), "-o", text(&out)])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("batch.window: 190 bases, no multiple of the 3 of a token"));
    fs::write(&recipe, RECIPE.replace("lambda.fa.gz", "absent.fa")).unwrap();
    kilobase(["pretrain", text(&recipe), "-o", text(&out)])
        .assert()
        .failure()
        .stderr(predicate::str::contains("absent.fa"));
    fs::write(&recipe, RECIPE.replace("\"causal\"", "\"mlm\"")).unwrap();
    kilobase(["pretrain", text(&recipe), "-o", text(&out)])
        .assert()
        .code(2)
        .stderr(predicate::str::contains("\"mlm\" is for encoders"));
    kilobase(["pretrain", text(&folder.path().join("none.toml")), "-o", text(&out)]).assert().code(3);
}
