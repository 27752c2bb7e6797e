//! Fixtures of models with tiny random weights: their layout, and the comparison with what they expect.
#![allow(dead_code, reason = "each family's test uses its part")]

use burn::tensor::Device;
use kilobase_data::batch::PackedBatch;
use kilobase_models::checkpoint::{Checkpoint, Precision, write_safetensors};
use kilobase_models::family::Model;
use safetensors::SafeTensors;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The fixture states f32 against f64 at 3e-6; these are its stated tolerances for states and logits.
pub(crate) const ABSOLUTE: f64 = 2e-4;
pub(crate) const RELATIVE: f64 = 1e-4;
/// Losses.
pub(crate) const LOSS: f64 = 1e-5;

/// The directories of one family: `name` under the project's and the shared fixtures, and the others whose configuration
/// `is_family` knows.
pub(crate) fn fixtures(name: &str, is_family: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut directories = vec![root.join("tests/fixtures").join(name)];
    let shared = root.join("../shared/fixtures").join(name);
    if shared.is_dir() {
        directories.push(shared);
    } else {
        println!("SKIPPED: no shared fixtures beside the project; its own copy is tested");
    }
    if let Ok(extra) = std::env::var("KILOBASE_EXTRA_FIXTURES") {
        for directory in extra.split(':').filter(|d| !d.is_empty()).map(PathBuf::from) {
            let config = fs::read_to_string(directory.join("config.json"))
                .unwrap_or_else(|e| panic!("KILOBASE_EXTRA_FIXTURES: {}: {e}", directory.display()));
            if is_family(&config) {
                directories.push(directory);
            } else {
                println!("SKIPPED: {} is of another family than {name}", directory.display());
            }
        }
    }
    directories
}

pub(crate) struct Fixture {
    pub(crate) directory: PathBuf,
    pub(crate) inputs: Value,
    pub(crate) expected: Vec<u8>,
}

impl Fixture {
    pub(crate) fn open(directory: &Path) -> Self {
        let read = |name: &str| {
            fs::read(directory.join(name)).unwrap_or_else(|e| panic!("{}/{name}: {e}", directory.display()))
        };
        Self {
            directory: directory.into(),
            inputs: serde_json::from_slice(&read("inputs.json")).expect("inputs.json is JSON"),
            expected: read("expected.safetensors"),
        }
    }

    pub(crate) fn keys(&self) -> BTreeSet<String> {
        let expected = SafeTensors::deserialize(&self.expected).expect("expected.safetensors");
        expected.names().into_iter().map(String::from).collect()
    }

    pub(crate) fn expected(&self, key: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        let expected = SafeTensors::deserialize(&self.expected).expect("expected.safetensors");
        let tensor = expected.tensor(key).ok()?;
        if tensor.dtype() != safetensors::Dtype::F32 {
            return None;
        }
        let floats = tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        Some((tensor.shape().to_vec(), floats.collect()))
    }

    /// Rows of integers.
    pub(crate) fn integers(&self, key: &str) -> Option<Vec<Vec<u32>>> {
        let expected = SafeTensors::deserialize(&self.expected).expect("expected.safetensors");
        let tensor = expected.tensor(key).ok()?;
        assert_eq!(tensor.dtype(), safetensors::Dtype::I64, "{key}");
        let all: Vec<u32> =
            tensor.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as u32).collect();
        Some(all.chunks_exact(tensor.shape()[1]).map(<[u32]>::to_vec).collect())
    }

    /// The checkpoint of one of the two formats as it stands.
    pub(crate) fn checkpoint(&self, weights: &str) -> Checkpoint {
        if weights.ends_with(".index.json") {
            return Checkpoint::open(&self.directory).expect("a checkpoint of shards");
        }
        let scratch = tempfile::tempdir().expect("a temporary folder");
        for name in ["config.json", weights] {
            fs::copy(self.directory.join(name), scratch.path().join(name)).expect("copied");
        }
        // The files are mapped or open: on Unix they outlive their folder.
        Checkpoint::open(scratch.path()).expect("a checkpoint")
    }

    /// The same with pooler and classifier, which lie in a file of their own, as two shards of one checkpoint.
    pub(crate) fn with_heads(&self, weights: &Checkpoint) -> Option<Checkpoint> {
        let heads = fs::read(self.directory.join("heads.safetensors")).ok()?;
        let scratch = tempfile::tempdir().expect("a temporary folder");
        fs::copy(self.directory.join("config.json"), scratch.path().join("config.json")).expect("copied");
        let tensors = weights.weights();
        let read = |name: &str| {
            let shape = tensors.shape(name).expect("a shape").to_vec();
            (name.to_owned(), shape, tensors.read_f32(name).expect("values"))
        };
        let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
        write_safetensors(&scratch.path().join(first), tensors.names().map(read), Precision::F32)
            .expect("written");
        fs::write(scratch.path().join(second), &heads).expect("written");
        let heads = SafeTensors::deserialize(&heads).expect("heads.safetensors");
        let names = tensors.names().map(|name| (name.to_owned(), Value::from(first)));
        let names = names.chain(heads.names().into_iter().map(|name| (name.to_owned(), Value::from(second))));
        let index = serde_json::json!({ "metadata": {}, "weight_map": Value::Object(names.collect()) });
        fs::write(scratch.path().join("model.safetensors.index.json"), index.to_string()).expect("written");
        Some(Checkpoint::open(scratch.path()).expect("a checkpoint of two shards"))
    }
}

pub(crate) fn load(checkpoint: Checkpoint) -> Model {
    Model::load(checkpoint, &Device::flex(), kilobase_models::nn::Precision::F32).expect("a model")
}

pub(crate) fn numbers(value: &Value) -> Vec<i64> {
    value.as_array().expect("an array").iter().map(|v| v.as_i64().expect("an integer")).collect()
}

pub(crate) fn rows(value: &Value) -> Vec<Vec<i64>> {
    value.as_array().expect("an array").iter().map(numbers).collect()
}

/// One case, packed: `at[s]` are the columns of the padded matrix that sequence `s` occupies.
pub(crate) struct Case {
    pub(crate) batch: PackedBatch,
    pub(crate) columns: usize,
    pub(crate) at: Vec<Vec<usize>>,
    pub(crate) special: Vec<Vec<bool>>,
}

impl Case {
    pub(crate) fn new(case: &Value) -> Self {
        let ids = rows(&case["input_ids"]);
        // Without a mask every token is real.
        let mask = case
            .get("attention_mask")
            .map_or_else(|| ids.iter().map(|ids| vec![1; ids.len()]).collect(), rows);
        let types = case.get("token_type_ids").map(rows);
        let mut batch = PackedBatch::new(vec![], None, vec![0]).expect("an empty batch");
        let (mut at, mut special) = (Vec::new(), Vec::new());
        for (row, (ids, mask)) in ids.iter().zip(&mask).enumerate() {
            let real: Vec<usize> = (0..ids.len()).filter(|&c| mask[c] != 0).collect();
            let pick = |values: &[i64]| -> Vec<u32> { real.iter().map(|&c| values[c] as u32).collect() };
            let types = types.as_ref().map(|types| pick(&types[row]));
            batch.push(&pick(ids), types.as_deref()).expect("one type a token");
            // [CLS] and [SEP] of the DNABERT-2 vocabulary.
            special.push(real.iter().map(|&c| ids[c] == 1 || ids[c] == 2).collect());
            at.push(real);
        }
        Self { batch, columns: ids[0].len(), at, special }
    }

    /// Row of the packed batch for a column of sequence `s`, if it is a real token.
    pub(crate) fn row(&self, s: usize, column: usize) -> Option<usize> {
        self.at[s].iter().position(|&c| c == column).map(|i| self.batch.cu_seqlens()[s] + i)
    }
}

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) compared: Vec<String>,
    pub(crate) worst: f64,
}

impl Report {
    pub(crate) fn close(&mut self, what: &str, ours: &[f32], theirs: &[f32]) {
        assert_eq!(ours.len(), theirs.len(), "{what}: other shape");
        assert!(!ours.is_empty(), "{what}: nothing compared");
        for (i, (&a, &b)) in ours.iter().zip(theirs).enumerate() {
            let (a, b) = (f64::from(a), f64::from(b));
            let allowed = ABSOLUTE + RELATIVE * b.abs();
            assert!((a - b).abs() <= allowed, "{what}[{i}]: {a} instead of {b}");
            self.worst = self.worst.max((a - b).abs());
        }
    }

    pub(crate) fn loss(&mut self, key: &str, ours: f64, theirs: &[f32]) {
        let theirs = f64::from(theirs[0]);
        assert!((ours - theirs).abs() <= LOSS * theirs.abs().max(1.0), "{key}: {ours} instead of {theirs}");
        self.compared.push(key.into());
    }
}
