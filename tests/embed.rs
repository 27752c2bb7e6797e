//! `kilobase embed`, as users type it, on the genome and the demo model that ship with the project.

mod program;

mod embed {
    mod hub;
    mod refused;
    mod rows;
    mod runs;
    mod weights;
}

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

use program::program;

const LAMBDA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/lambda.fa.gz");

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/demo-model");

const WIDTH: usize = 64;

/// The program with nothing of the environment that changes what it does.
fn kilobase<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = program();
    command.args(arguments);
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn lambda() -> Vec<u8> {
    let mut bases = Vec::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(LAMBDA).unwrap()).read_to_end(&mut bases).unwrap();
    bases
}

/// Rows and columns and numbers of a `.npy` file, read by the format's own description.
fn npy(path: &Path) -> (Vec<usize>, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.contains("'descr': '<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split_once('(').unwrap().1.split_once(')').unwrap().0;
    let shape: Vec<usize> = shape.split(',').map(|n| n.trim().parse().unwrap()).collect();
    (shape, floats(&bytes[end..]))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn lines(path: &Path) -> Vec<Vec<String>> {
    let reader = BufReader::new(fs::File::open(path).unwrap());
    reader.lines().map(|line| line.unwrap().split('\t').map(String::from).collect()).collect()
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// Runs on a wrong input: one error that holds `words`, the exit code, and nothing written.
fn refuses(input: &str, model: &str, code: i32, words: &[&str]) {
    let folder = folder();
    let out = folder.path().join("out.npy");
    let output = kilobase(["embed", input, "-m", model, "-o", text(&out)]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert_eq!(message.matches("kilobase: error: ").count(), 1, "{message}");
    assert!(!message.contains("panicked"), "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was written");
}
