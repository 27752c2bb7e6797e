use std::{collections::BTreeMap, fs, path::Path};

use kilobase_models::checkpoint::{
    Checkpoint, Dtype, Error, Expected, IndexFault, Precision, Weights, write_safetensors,
};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::fixture;

const TIED: &str = "cls.predictions.decoder.weight";
const WORDS: &str = "bert.embeddings.word_embeddings.weight";

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn open_as(file: &str) -> Checkpoint {
    let config = fixture::bytes("config.json");
    let weights = fixture::bytes(file);
    let model = fixture::model(&[(file, &weights), ("config.json", &config)]);
    Checkpoint::open(model.path()).unwrap()
}

fn values(weights: &Weights) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let read = |name: &str| (weights.shape(name).unwrap().to_vec(), weights.read_f32(name).unwrap());
    weights.names().map(|name| (name.to_owned(), read(name))).collect()
}

/// What the fixture's own safetensors file needs, all of it required.
fn expected(weights: &Weights) -> Vec<Expected> {
    weights.names().map(|name| Expected::required(name, weights.shape(name).unwrap())).collect()
}

type Owned = (String, Vec<usize>, Vec<f32>);

fn owned(weights: &Weights) -> Vec<Owned> {
    values(weights).into_iter().map(|(name, (shape, values))| (name, shape, values)).collect()
}

fn write(path: &Path, tensors: Vec<Owned>) {
    write_safetensors(path, tensors, Precision::F32).unwrap();
}

#[test]
fn both_formats_give_the_same_tensors() {
    let (safe, torch) = (open_as("model.safetensors"), open_as("pytorch_model.bin"));
    assert_eq!(safe.config()["num_hidden_layers"], 3);
    let (safe, mut torch) = (values(safe.weights()), values(torch.weights()));
    assert_eq!(torch.remove(TIED), Some(safe[WORDS].clone()));
    assert_eq!(safe.len(), 42);
    assert_eq!(safe, torch);
}

#[test]
fn safetensors_is_preferred_and_every_source_file_is_listed() {
    let checkpoint = Checkpoint::open(&fixture::dir()).unwrap();
    let files = [fixture::dir().join("config.json"), fixture::dir().join("model.safetensors")];
    assert_eq!(checkpoint.files(), files);
    assert_eq!(checkpoint.weights().dtype(WORDS).unwrap(), Dtype::F32);
    assert!(matches!(checkpoint.weights().read_f32("absent"), Err(Error::UnknownTensor { .. })));
}

#[test]
fn the_digest_of_one_file_is_that_of_the_file() {
    let checkpoint = Checkpoint::open(&fixture::dir()).unwrap();
    let hex = sha256(&fixture::bytes("model.safetensors"));
    assert_eq!(checkpoint.weights().sha256().unwrap(), hex);
    assert_eq!(checkpoint.weights().sha256().unwrap(), hex);
}

#[test]
fn a_directory_without_parts_says_what_was_looked_for() {
    let empty = tempfile::tempdir().unwrap();
    let error = Checkpoint::open(empty.path()).unwrap_err();
    assert!(error.is_missing_resource() && error.to_string().contains("config.json"), "{error}");
    let error = Checkpoint::open(fixture::model(&[]).path()).unwrap_err();
    assert!(error.is_missing_resource() && error.to_string().contains("pytorch_model.bin"), "{error}");
    assert!(Checkpoint::open(&empty.path().join("absent")).unwrap_err().is_missing_resource());
    let broken = Checkpoint::open(fixture::model(&[("config.json", b"[]")]).path()).unwrap_err();
    assert!(matches!(broken, Error::Json { .. }) && !broken.is_missing_resource(), "{broken}");
}

/// Writes the fixture as two shards and an index.
fn shards(precision: Precision) -> tempfile::TempDir {
    let source = open_as("model.safetensors");
    let (first, second): (Vec<Owned>, Vec<Owned>) =
        owned(source.weights()).into_iter().partition(|(name, ..)| name.as_str() < "bert.encoder.layer.1");
    let model = fixture::model(&[]);
    let mut map = serde_json::Map::new();
    for (number, part) in [(1, first), (2, second)] {
        let shard = format!("model-{number:05}-of-00002.safetensors");
        map.extend(part.iter().map(|(name, ..)| (name.clone(), json!(shard))));
        write_safetensors(&model.path().join(&shard), part, precision).unwrap();
    }
    write_index(model.path(), &map);
    model
}

fn write_index(dir: &Path, map: &serde_json::Map<String, serde_json::Value>) {
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string();
    fs::write(dir.join("model.safetensors.index.json"), index).unwrap();
}

fn read_index(dir: &Path) -> serde_json::Map<String, serde_json::Value> {
    let index = fs::read(dir.join("model.safetensors.index.json")).unwrap();
    let mut index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    serde_json::from_value(index["weight_map"].take()).unwrap()
}

#[test]
fn shards_give_the_tensors_of_one_file() {
    let whole = values(open_as("model.safetensors").weights());
    let model = shards(Precision::F32);
    let checkpoint = Checkpoint::open(model.path()).unwrap();
    assert_eq!(values(checkpoint.weights()), whole);
    assert_eq!(checkpoint.files().len(), 4);
    assert_eq!(checkpoint.weights().sha256().unwrap().len(), 64);
}

#[test]
fn shards_in_bf16_give_the_tensors_rounded() {
    let whole = values(open_as("model.safetensors").weights());
    let model = shards(Precision::Bf16);
    let checkpoint = Checkpoint::open(model.path()).unwrap();
    assert_eq!(checkpoint.weights().dtype(WORDS).unwrap(), Dtype::BF16);
    for (name, (shape, values)) in values(checkpoint.weights()) {
        let rounded: Vec<f32> = whole[&name].1.iter().map(|&v| half::bf16::from_f32(v).to_f32()).collect();
        assert_eq!((&shape, values), (&whole[&name].0, rounded), "{name}");
    }
}

#[test]
fn an_index_and_its_shards_must_agree() {
    let fault = |model: &tempfile::TempDir| match Checkpoint::open(model.path()).unwrap_err() {
        Error::Index { fault, .. } => fault,
        other => panic!("{other}"),
    };
    let model = shards(Precision::F32);
    let index = read_index(model.path());

    let mut less = index.clone();
    less.remove(WORDS);
    write_index(model.path(), &less);
    assert!(matches!(fault(&model), IndexFault::NotInIndex { tensor, .. } if tensor == WORDS));

    let mut more = index.clone();
    more.insert("absent".into(), json!("model-00001-of-00002.safetensors"));
    write_index(model.path(), &more);
    assert!(matches!(fault(&model), IndexFault::NotInShard { tensor, .. } if tensor == "absent"));

    let mut moved = index.clone();
    moved.insert(WORDS.into(), json!("model-00002-of-00002.safetensors"));
    write_index(model.path(), &moved);
    assert!(matches!(fault(&model), IndexFault::NotInIndex { .. } | IndexFault::NotInShard { .. }));

    let mut outside = index.clone();
    outside.insert(WORDS.into(), json!("../model-00001-of-00002.safetensors"));
    write_index(model.path(), &outside);
    assert!(matches!(fault(&model), IndexFault::ShardName { .. }));

    write_index(model.path(), &index);
    fs::remove_file(model.path().join("model-00002-of-00002.safetensors")).unwrap();
    let error = Checkpoint::open(model.path()).unwrap_err();
    assert!(error.is_missing_resource() && error.to_string().contains("00002-of-00002"), "{error}");

    let twice = r#"{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}"#;
    fs::write(model.path().join("model.safetensors.index.json"), twice).unwrap();
    assert!(Checkpoint::open(model.path()).unwrap_err().to_string().contains("twice"));
}

#[test]
fn shards_of_bin_files_are_read() {
    let bin = fixture::bytes("pytorch_model.bin");
    let names: Vec<String> = open_as("pytorch_model.bin").weights().names().map(str::to_owned).collect();
    let map: BTreeMap<_, _> = names.iter().map(|name| (name, "pytorch_model-00001-of-00001.bin")).collect();
    let index = json!({ "weight_map": map }).to_string();
    let model = fixture::model(&[
        ("pytorch_model-00001-of-00001.bin", &bin),
        ("pytorch_model.bin.index.json", index.as_bytes()),
    ]);
    assert_eq!(Checkpoint::open(model.path()).unwrap().weights().len(), 43);
}

#[test]
fn all_differences_are_reported_at_once() {
    let weights = open_as("pytorch_model.bin").into_weights();
    let mut wanted = expected(&weights);
    wanted.retain(|e| e.name != "cls.predictions.bias" && !e.name.contains("token_type"));
    wanted.iter_mut().find(|e| e.name == WORDS).unwrap().shape = vec![4097, 66];
    wanted.push(Expected::required("absent", [1]));
    wanted.push(Expected::optional("bert.pooler.dense.bias", [66]));
    match weights.check(&wanted, |name| name.contains("token_type")).unwrap_err() {
        Error::Mismatch { mismatch, .. } => {
            assert_eq!(mismatch.missing, ["absent"]);
            assert_eq!(mismatch.wrong_shape[0].found, [4096, 66]);
            assert_eq!((mismatch.wrong_shape.len(), mismatch.wrong_shape[0].name.as_str()), (1, WORDS));
            assert_eq!(mismatch.unexpected.len(), usize::from(weights.contains("cls.predictions.bias")));
            let text = mismatch.to_string();
            assert!(text.contains("1 missing (absent)") && text.contains("[4096, 66]"), "{text}");
        }
        other => panic!("{other}"),
    }
    let mut wanted = expected(&weights);
    wanted.pop();
    let error = weights.check(&wanted, |_| false).unwrap_err().to_string();
    assert!(error.contains("1 unexpected"), "{error}");
}

#[test]
fn a_tied_tensor_is_absent_or_identical() {
    let tie = |weights: &Weights| {
        let mut wanted = expected(weights);
        wanted.retain(|e| e.name != TIED);
        wanted.push(Expected::tied_to(TIED, [4096, 66], WORDS));
        weights.check(&wanted, |_| false)
    };
    // Absent, sharing its storage, a copy, a copy with one other bit.
    tie(open_as("model.safetensors").weights()).unwrap();
    let torch = open_as("pytorch_model.bin");
    tie(torch.weights()).unwrap();
    let mut tensors = owned(torch.weights());
    let model = fixture::model(&[]);
    let path = model.path().join("model.safetensors");
    write(&path, tensors.clone());
    tie(Checkpoint::open(model.path()).unwrap().weights()).unwrap();
    let values = &mut tensors.iter_mut().find(|(name, ..)| name == TIED).unwrap().2;
    *values.last_mut().unwrap() += 1.0;
    write(&path, tensors);
    let error = tie(Checkpoint::open(model.path()).unwrap().weights()).unwrap_err();
    assert!(matches!(error, Error::TiedDiffers { .. }), "{error}");
}

#[test]
fn wrapped_and_legacy_names_are_brought_to_the_known_ones() {
    let source = open_as("model.safetensors").into_weights();
    let wanted = expected(&source);
    let old = |name: &str| match name.strip_suffix("LayerNorm.weight") {
        Some(stem) => format!("module.{stem}LayerNorm.gamma"),
        None => format!("module.{name}").replace("LayerNorm.bias", "LayerNorm.beta"),
    };
    let wrapped = source.renamed(|name| Some(old(name))).unwrap();
    assert!(wrapped.contains("module.bert.embeddings.LayerNorm.gamma"));
    assert!(wrapped.check(&wanted, |_| false).is_err());
    wrapped.normalised(&wanted).unwrap().check(&wanted, |_| false).unwrap();
}

#[test]
fn two_tensors_of_one_name_are_an_error() {
    let model = fixture::model(&[]);
    let tensors = [("n.LayerNorm.gamma", [1], [1.0f32]), ("n.LayerNorm.weight", [1], [2.0])];
    write_safetensors(&model.path().join("model.safetensors"), tensors, Precision::F32).unwrap();
    let weights = Checkpoint::open(model.path()).unwrap().into_weights();
    let error = weights.normalised(&[Expected::required("n.LayerNorm.weight", [1])]).unwrap_err();
    assert!(matches!(&error, Error::NameClash { name, .. } if name == "n.LayerNorm.weight"), "{error}");
}

#[test]
fn what_is_written_is_what_other_readers_read() {
    let model = fixture::model(&[]);
    let path = model.path().join("model.safetensors");
    let tensors = [
        ("b", vec![2, 2], vec![1.0f32, 2.0, 3.0, 4.0]),
        ("a \"quoted\"", vec![0], vec![]),
        ("s", vec![], vec![7.0]),
    ];
    write_safetensors(&path, tensors, Precision::F32).unwrap();
    let bytes = fs::read(&path).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.tensor("b").unwrap().data(), [1.0f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat());
    assert_eq!(Checkpoint::open(model.path()).unwrap().weights().read_f32("s").unwrap(), [7.0]);
}

#[test]
fn a_failed_write_leaves_nothing_behind_and_the_old_file_whole() {
    let model = fixture::model(&[]);
    let path = model.path().join("model.safetensors");
    write_safetensors(&path, [("a", [1], [1.0f32])], Precision::F32).unwrap();
    let before = fs::read(&path).unwrap();
    let wrong = write_safetensors(&path, [("a", [2], vec![1.0f32])], Precision::F32);
    assert!(matches!(wrong, Err(Error::Unwritable { .. })));
    assert!(write_safetensors(&path, [("a", [1], [1.0f32]), ("a", [1], [1.0])], Precision::F32).is_err());
    assert!(write_safetensors(&path, [("a", [usize::MAX, 2], [1.0f32])], Precision::F32).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(model.path()).unwrap().count(), 2);
}

#[cfg(unix)]
#[test]
fn a_written_file_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let model = fixture::model(&[]);
    let path = model.path().join("model.safetensors");
    write_safetensors(&path, [("a", [1], [1.0f32])], Precision::F32).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&model.path().join("config.json")));
}

#[test]
fn integers_are_no_weights() {
    let header = br#"{"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#;
    let checkpoint = fixture::model(&[("model.safetensors", &fixture::safetensors(header, &[0; 8]))]);
    let checkpoint = Checkpoint::open(checkpoint.path()).unwrap();
    let error = checkpoint.weights().read_f32("ids").unwrap_err();
    assert!(matches!(error, Error::NotFloat { dtype: Dtype::I64, .. }), "{error}");
}
