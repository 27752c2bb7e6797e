//! `kilobase embed`, `score`, `variants` and `generate`, as users type them, with the tiny decoder of random weights that ships with
//! the project.

mod program;

mod decoder {
    mod embed;
    mod generate;
    mod score;
    mod variants;
    mod variants_output;
}

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

use program::program;

/// A GENERator of random weights.
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/generator-tiny");
/// A DNABERT-2 of random weights.
const ENCODER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/demo-model");

/// The program with nothing of the environment that changes what it does.
fn kilobase<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = program();
    command.args(arguments);
    command
}

/// A temporary folder with files in it.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("written");
    }
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Cells of a table without its header.
fn rows(table: &str) -> Vec<Vec<String>> {
    table.lines().skip(1).map(|line| line.split('\t').map(String::from).collect()).collect()
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).expect("UTF-8")
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// Bases that look random and are the same each time.
fn dna(length: usize, mut seed: u32) -> String {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ['A', 'C', 'G', 'T'][(seed >> 30) as usize]
    };
    (0..length).map(|_| next()).collect()
}
