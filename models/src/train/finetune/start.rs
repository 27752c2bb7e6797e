//! What fine-tuning starts from: a checkpoint with a head of random weights.

use crate::checkpoint::{CONFIG, Checkpoint, Expected, NamedTensor, Precision, Weights, write_safetensors};
use crate::family::{Family, dnabert2, generator, random};
use crate::run::predict::MAX_TOKENS;
use crate::run::predict::task::Task;
use crate::train::Error;
use serde_json::{Map, Value, json};
use std::fs;
use tempfile::TempDir;

/// A checkpoint with a head for a task, in a folder of its own that goes when this does.
pub(super) struct Start {
    folder: TempDir,
    config: Map<String, Value>,
}

impl Start {
    /// The layers of `checkpoint` and a new head. Its heads for other tasks are left behind.
    pub(super) fn new(
        checkpoint: Checkpoint,
        family: Family,
        task: &Task,
        max_tokens: Option<usize>,
        seed: u64,
    ) -> Result<Self, Error> {
        let config = checkpoint.config().clone();
        let hidden = config["hidden_size"].as_u64().unwrap_or_default() as usize;
        let count = task.outputs();
        let (weights, head, architecture): (Weights, Vec<Expected>, _) = match family {
            Family::DnaBert2 => {
                let sizes = dnabert2::Config::from_json(&config)?;
                let head = vec![
                    Expected::required("bert.pooler.dense.weight", [hidden, hidden]),
                    Expected::required("bert.pooler.dense.bias", [hidden]),
                    Expected::required("classifier.weight", [count, hidden]),
                    Expected::required("classifier.bias", [count]),
                ];
                let weights = dnabert2::matched(&sizes, checkpoint.into_weights())?;
                (weights, head, "BertForSequenceClassification")
            }
            Family::Generator => {
                let sizes = generator::Config::from_json(&config)?;
                let head = vec![Expected::required("score.weight", [count, hidden])];
                let weights = generator::matched(&sizes, checkpoint.into_weights())?;
                (weights, head, "LlamaForSequenceClassification")
            }
        };
        let mut config = config.as_object().expect("configurations are objects").clone();
        config.insert("architectures".into(), json!([architecture]));
        task.write(&mut config);
        config.insert(MAX_TOKENS.into(), max_tokens.into());
        let other = |name: &str| {
            ["cls.", "lm_head.", "score.", "classifier.", "bert.pooler."]
                .iter()
                .any(|head| name.starts_with(head))
        };
        let names: Vec<&str> = weights.names().filter(|name| !other(name)).collect();
        let mut tensors = Vec::new();
        for name in names {
            tensors.push((name.to_owned(), weights.shape(name)?.to_vec(), weights.read_f32(name)?));
        }
        for tensor in random(head, seed) {
            let values = tensor.values().expect("drawn").into_owned();
            tensors.push((tensor.name().to_owned(), tensor.shape().to_vec(), values));
        }
        let folder = tempfile::tempdir().map_err(Error::io(std::env::temp_dir()))?;
        let path = folder.path().join(CONFIG);
        fs::write(&path, Value::Object(config.clone()).to_string()).map_err(Error::io(&path))?;
        write_safetensors(&folder.path().join("model.safetensors"), tensors, Precision::F32)?;
        Ok(Self { folder, config })
    }

    pub(super) fn checkpoint(&self) -> Result<Checkpoint, Error> {
        Ok(Checkpoint::open(self.folder.path())?)
    }

    pub(super) fn config(&self) -> &Map<String, Value> {
        &self.config
    }
}
