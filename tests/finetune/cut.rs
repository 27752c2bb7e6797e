//! Runs that are killed, or find the disk full, and are gone on with.
#![allow(clippy::print_stdout, reason = "what was skipped, and how often it was killed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use predicates::prelude::*;
use tempfile::TempDir;

use super::{DECODER, files, folder, kilobase, text};

/// A line that is typed again and again.
fn line(folder: &TempDir, out: &Path, more: &str) -> Vec<String> {
    let files = files(folder);
    let line = ["finetune", text(&files.train), "--dev", text(&files.dev), "-m", DECODER, "-o", text(out)];
    let more = more.split_whitespace().chain(["--warmup", "5", "-q", "--threads", "1"]);
    line.into_iter().chain(more).map(str::to_owned).collect()
}

fn partial(out: &Path) -> PathBuf {
    PathBuf::from(format!("{}.partial", text(out)))
}

fn checkpoints(out: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(partial(out)) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("step-")).collect();
    paths.sort();
    paths
}

/// Files of two finished models are the same.
fn check_same(a: &Path, b: &Path, what: &str) {
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(a), names(b));
    for name in names(a).into_iter().filter(|name| a.join(name).is_file()) {
        assert!(
            fs::read(a.join(&name)).unwrap() == fs::read(b.join(&name)).unwrap(),
            "{} {what}",
            name.display()
        );
    }
}

/// Kills a run so often at moments that look random, and lets it end.
#[cfg(unix)]
fn kill(times: u32, more: &str) {
    let folder = folder();
    let whole = folder.path().join("whole");
    kilobase(line(&folder, &whole, more).iter().map(String::as_str)).assert().success();
    let mut seed = 1_u32;
    let (mut kills, mut rounds) = (0, 0);
    while kills < times {
        // A run may end before its moment comes; then another one is begun.
        rounds += 1;
        let out = folder.path().join(format!("out{rounds}"));
        let logged = || fs::metadata(partial(&out).join("log.jsonl")).map_or(0, |file| file.len());
        while !out.exists() {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let mut child = Command::new(env!("CARGO_BIN_EXE_kilobase"))
                .args(line(&folder, &out, more))
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("started");
            if kills < times {
                let (mut lines, mut before) = ((seed >> 16) % 6, logged());
                while lines > 0 && child.try_wait().expect("a child").is_none() {
                    let now = logged();
                    lines -= u32::from(now != before);
                    before = now;
                    std::thread::sleep(Duration::from_micros(200));
                }
                std::thread::sleep(Duration::from_micros(u64::from(seed >> 8) % 30_000));
                if child.try_wait().expect("a child").is_none() {
                    // SIGKILL.
                    child.kill().expect("killed");
                    kills += 1;
                }
            }
            child.wait().expect("ended");
            for checkpoint in checkpoints(&out) {
                for name in ["config.json", "model.safetensors", "optimizer.safetensors", "training.json"] {
                    assert!(checkpoint.join(name).is_file(), "{name} of a checkpoint that has its name");
                }
            }
        }
        check_same(&whole, &out, &format!("after {kills} kills"));
        // What a kill at the very end leaves is removed by who looks again.
        kilobase(line(&folder, &out, more).iter().map(String::as_str))
            .assert()
            .code(2)
            .stderr(predicate::str::contains("exists; name a new folder"));
        assert!(!partial(&out).exists());
        println!("{kills} kills in {rounds} runs, all with the same bits");
    }
}

#[cfg(unix)]
#[test]
fn killed_at_any_moment_a_run_goes_on_and_ends_with_the_same_bits() {
    kill(5, "--save-every 2 --batch 16 --epochs 2 --every 5");
}

#[cfg(unix)]
#[test]
#[ignore = "takes minutes; the one above does the same, less often"]
fn killed_twenty_times() {
    kill(20, "--save-every 1 --batch 16 --epochs 3 --every 4");
    kill(20, "--save-every 1 --batch 16 --epochs 3 --every 4 --lora-rank 2 --patience 9");
}

#[cfg(target_os = "linux")]
#[test]
fn a_checkpoint_that_cannot_be_written_is_told_and_the_last_one_kept() {
    let folder = folder();
    let out = folder.path().join("out");
    let line = line(&folder, &out, "--save-every 2 --epochs 1 --batch 16");
    let mut child = Command::new(env!("CARGO_BIN_EXE_kilobase")).args(&line).spawn().expect("started");
    while checkpoints(&out).is_empty() {
        assert!(child.try_wait().expect("a child").is_none(), "it ended before a checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    let before = checkpoints(&out);
    // Files may grow to half more than the weights: moments, which are twice as large, cannot be written, as when the disk is full.
    let blocks = fs::metadata(before[0].join("model.safetensors")).unwrap().len() * 3 / 2 / 1024;
    let limited = format!("ulimit -f {blocks}; trap '' XFSZ; exec \"$0\" \"$@\"");
    assert_cmd::Command::new("bash")
        .args(["-c", &limited, env!("CARGO_BIN_EXE_kilobase")])
        .args(&line)
        .assert()
        .code(1)
        .stderr(
            predicate::str::contains("kilobase: error: the checkpoint of step ")
                .and(predicate::str::contains("File too large"))
                .and(predicate::str::contains(format!("the last good checkpoint is {}", text(&before[0])))),
        );
    assert_eq!(checkpoints(&out), before, "nothing new, nothing lost");
    assert!(!out.exists());
    kilobase(line.iter().map(String::as_str)).assert().success();
    let whole = folder.path().join("whole");
    let again = super::cut::line(&folder, &whole, "--save-every 2 --epochs 1 --batch 16");
    kilobase(again.iter().map(String::as_str)).assert().success();
    check_same(&whole, &out, "after a full disk");
}

/// A file system in memory of so many kilobytes, or nothing where this user may not mount one.
#[cfg(target_os = "linux")]
struct Small(PathBuf);

#[cfg(target_os = "linux")]
impl Small {
    fn new(path: PathBuf, kilobytes: u32) -> Option<Self> {
        fs::create_dir(&path).expect("a folder");
        let size = format!("size={kilobytes}k");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(path))
    }

    fn grow(&self, kilobytes: u32) {
        let size = format!("remount,size={kilobytes}k");
        let status = Command::new("mount").args(["-o", &size]).arg(&self.0).status();
        assert!(status.expect("mounted before").success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for Small {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the folder above then cannot be removed, which is seen.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_ends_training_with_what_was_good_and_more_room_lets_it_go_on() {
    let folder = folder();
    let lambda = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lambda.fa.gz");
    fs::copy(lambda, folder.path().join("lambda.fa.gz")).expect("copied");
    let recipe = folder.path().join("recipe.toml");
    let often = "\n[checkpoint]\nevery = 20\nkeep = 4\n";
    fs::write(&recipe, super::RECIPE.to_owned() + often).expect("written");
    // Room for one checkpoint and half of another: of weights of 1.6 MB with two moments, and of 60 kB with two.
    let more = "--save-every 3 --epochs 1 --batch 16 --every 100";
    let whole = folder.path().join("whole");
    kilobase(line(&folder, &whole, more).iter().map(String::as_str)).assert().success();
    for (command, room) in [("finetune", 7_200), ("pretrain", 350)] {
        let Some(disk) = Small::new(folder.path().join(command), room) else {
            println!("SKIPPED: no tmpfs may be mounted here");
            return;
        };
        let out = disk.0.join("out");
        let line = if command == "finetune" {
            line(&folder, &out, more)
        } else {
            let line = ["pretrain", text(&recipe), "-o", text(&out), "-q"];
            line.map(str::to_owned).to_vec()
        };
        let run = || kilobase(line.iter().map(String::as_str)).assert();
        run().code(1).stderr(
            predicate::str::contains("kilobase: error: the checkpoint of step ")
                .and(predicate::str::contains("No space left on device"))
                .and(predicate::str::contains("the last good checkpoint is ")),
        );
        disk.grow(64_000);
        run().success();
        assert!(out.join("model.safetensors").is_file());
        if command == "finetune" {
            check_same(&whole, &out, "after a full disk");
        }
    }
}
