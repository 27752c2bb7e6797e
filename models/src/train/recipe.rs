//! The recipe of a run: one TOML or JSON file.

use super::gradient::Keep;
use super::schedule::Schedule;
use super::{AdamW, Error};
use crate::nn::Precision;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};

/// What is asked of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// The next token.
    Causal,
    /// The next token's bases, each under its marginal (k-mer vocabularies).
    Factorised,
    /// Hidden tokens.
    Mlm,
}

/// What products are computed in. Weights, sums, gradients and moments are f32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compute {
    /// f32.
    #[default]
    F32,
    /// Both sides of products of a layer, attention's too, and of their gradients are rounded to bf16; on the processor only.
    Bf16,
}

impl From<Compute> for Precision {
    fn from(compute: Compute) -> Self {
        match compute {
            Compute::F32 => Self::F32,
            Compute::Bf16 => Self::Bf16,
        }
    }
}

/// A recipe for [`pretrain`](super::pretrain). Paths are relative to the file's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What is asked.
    pub goal: Goal,
    /// A model's `config.json` as a table; `vocab_size`, `max_position_embeddings` and the ids of start and end are filled in.
    #[serde(default)]
    pub model: Option<Map<String, Value>>,
    /// A folder with a checkpoint to go on from, in place of `model` and `tokenizer`.
    #[serde(default)]
    pub start: Option<PathBuf>,
    /// What products are computed in.
    #[serde(default)]
    pub compute: Compute,
    /// How bases become tokens.
    #[serde(default)]
    pub tokenizer: Option<TokenizerRecipe>,
    /// What is read.
    pub data: Vec<DataRecipe>,
    /// How much of it at once.
    pub batch: BatchRecipe,
    /// How weights change.
    #[serde(default)]
    pub optimizer: OptimizerRecipe,
    /// How the learning rate goes.
    pub schedule: Schedule,
    /// What is never trained on, and measured.
    #[serde(default)]
    pub held_out: HeldOutRecipe,
    /// When the state is written.
    #[serde(default)]
    pub checkpoint: CheckpointRecipe,
}

/// How bases become tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum TokenizerRecipe {
    /// K-mers side by side with GENERator's special tokens.
    Kmer(usize),
    /// A folder with a tokenizer: `tokenizer.json`, or `vocab.txt` of k-mers.
    Folder(PathBuf),
}

/// One set of sequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// What it is called in the log.
    pub name: String,
    /// FASTA or FASTQ files.
    pub files: Vec<PathBuf>,
    /// How often an epoch goes through it.
    #[serde(default = "one")]
    pub repeat: u32,
    /// Read at most so many bases.
    #[serde(default)]
    pub limit: Option<u64>,
}

fn one() -> u32 {
    1
}

/// How much is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRecipe {
    /// Bases of a sequence; with k-mers a multiple of k.
    pub window: usize,
    /// Sequences of a batch. Shorter ones are packed together.
    pub windows: usize,
    /// Batches whose gradients are added for one step.
    #[serde(default = "once")]
    pub accumulate: usize,
    /// Whether half of the sequences are read as their reverse complement.
    #[serde(default = "yes")]
    pub reverse_complement: bool,
    /// What a backward pass keeps.
    #[serde(default)]
    pub keep: Keep,
    /// Share of the tokens that are hidden, for masked language models.
    #[serde(default = "masked")]
    pub masked: f64,
}

fn once() -> usize {
    1
}

fn yes() -> bool {
    true
}

fn masked() -> f64 {
    0.15
}

/// How weights change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerRecipe {
    /// The full learning rate.
    pub learning_rate: f64,
    /// Decay of the means of gradients and of their squares.
    pub betas: [f64; 2],
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Whether factors of normalisations and biases decay as well.
    pub decay_all: bool,
    /// Largest norm of all gradients together; 0 for none.
    pub clip: f64,
}

impl Default for OptimizerRecipe {
    fn default() -> Self {
        let AdamW { betas, epsilon, weight_decay, decay_all } = AdamW::default();
        Self { learning_rate: 1e-3, betas, epsilon, weight_decay, decay_all, clip: 1.0 }
    }
}

impl OptimizerRecipe {
    /// The optimiser.
    pub fn adamw(&self) -> AdamW {
        let Self { betas, epsilon, weight_decay, decay_all, .. } = *self;
        AdamW { betas, epsilon, weight_decay, decay_all }
    }
}

/// What is never trained on, and measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeldOutRecipe {
    /// Share of each record.
    pub share: f64,
    /// Most windows of each data set that are measured, evenly spread.
    pub windows: usize,
    /// Steps between measurements; 0 for at the end only.
    pub every: u64,
    /// The longest order of the Markov model that is measured beside the model at the end; 0 for none.
    pub markov: usize,
}

impl Default for HeldOutRecipe {
    fn default() -> Self {
        Self { share: 0.05, windows: 64, every: 100, markov: 11 }
    }
}

/// When the state is written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointRecipe {
    /// Steps between checkpoints; 0 for at the end only.
    pub every: u64,
    /// The newest so many are kept.
    pub keep: usize,
}

impl Default for CheckpointRecipe {
    fn default() -> Self {
        Self { every: 100, keep: 2 }
    }
}

/// The largest recipe that is read.
const LARGEST: u64 = 1 << 20;

impl Recipe {
    /// Reads a recipe: JSON where the file's name ends in `.json`, else TOML.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let size = fs::metadata(path).map_err(Error::io(path))?.len();
        let syntax = |reason: String| Error::Syntax { path: path.to_owned(), reason };
        if size > LARGEST {
            return Err(syntax(format!("{size} bytes, more than the limit of {LARGEST}")));
        }
        let text = fs::read_to_string(path).map_err(Error::io(path))?;
        let mut recipe: Self = if path.extension().is_some_and(|end| end == "json") {
            serde_json::from_str(&text).map_err(|error| syntax(error.to_string()))?
        } else {
            toml::from_str(&text).map_err(|error| syntax(error.to_string().trim_end().to_owned()))?
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let place = |path: &mut PathBuf| *path = folder.join(&*path);
        recipe.data.iter_mut().flat_map(|data| &mut data.files).for_each(place);
        if let Some(path) = &mut recipe.start {
            place(path);
        }
        if let Some(TokenizerRecipe::Folder(path)) = &mut recipe.tokenizer {
            place(path);
        }
        recipe.check()?;
        Ok(recipe)
    }

    /// Refuses what cannot be trained.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |field, reason: String| Err(Error::Recipe { field, reason });
        match (&self.start, &self.model, &self.tokenizer) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => {}
            (Some(_), _, _) => {
                return refuse("start", "stands in place of model and tokenizer, not beside them".into());
            }
            (None, None, _) => return refuse("model", "missing; give [model], or start = \"folder\"".into()),
            (None, _, None) => {
                return refuse(
                    "tokenizer",
                    "missing; give [tokenizer] with kmer = 6 or folder = \"...\"".into(),
                );
            }
        }
        if self.data.is_empty() || self.data.iter().any(|data| data.files.is_empty()) {
            return refuse("data", "no files".into());
        }
        let mut names: Vec<&str> = self.data.iter().map(|data| data.name.as_str()).collect();
        names.sort_unstable();
        if let Some([name, _]) = names.array_windows().find(|[a, b]| a == b) {
            return refuse("data", format!("two are named {name}"));
        }
        let BatchRecipe { window, windows, accumulate, masked, .. } = self.batch;
        for (field, value) in [("batch.windows", windows), ("batch.accumulate", accumulate)] {
            if value == 0 || value > 1 << 20 {
                return refuse(field, format!("{value}, not between 1 and {}", 1 << 20));
            }
        }
        if !(16..=1 << 30).contains(&window) {
            return refuse("batch.window", format!("{window} bases, not between 16 and {}", 1 << 30));
        }
        if !(masked > 0.0 && masked < 1.0) {
            return refuse("batch.masked", format!("{masked}, not between 0 and 1"));
        }
        let optimizer = self.optimizer;
        for (field, value, top) in [
            ("optimizer.learning_rate", optimizer.learning_rate, 1e3),
            ("optimizer.epsilon", optimizer.epsilon, 1.0),
            ("schedule.factor", self.schedule.factor, 1.0),
        ] {
            if !(value > 0.0 && value <= top) {
                return refuse(field, format!("{value}, not above 0 and at most {top}"));
            }
        }
        for (field, value, top) in [
            ("optimizer.betas", optimizer.betas[0], 1.0),
            ("optimizer.betas", optimizer.betas[1], 1.0),
            ("optimizer.clip", optimizer.clip, f64::INFINITY),
            ("optimizer.weight_decay", optimizer.weight_decay, f64::INFINITY),
            ("schedule.floor", self.schedule.floor, 1.0),
            ("held_out.share", self.held_out.share, 0.5),
        ] {
            if !(value >= 0.0 && value < top) {
                return refuse(field, format!("{value}, not at least 0 and below {top}"));
            }
        }
        if self.schedule.steps == 0 || self.schedule.warmup > self.schedule.steps {
            let schedule = self.schedule;
            return refuse(
                "schedule",
                format!("{} steps, {} of them warm-up", schedule.steps, schedule.warmup),
            );
        }
        if self.held_out.markov > 12 {
            return refuse("held_out.markov", format!("order {}; 12 is the longest", self.held_out.markov));
        }
        if self.checkpoint.keep == 0 {
            return refuse("checkpoint.keep", "0; at least one checkpoint is kept".into());
        }
        Ok(())
    }

    /// Bases of a batch.
    pub fn capacity(&self) -> usize {
        self.batch.window * self.batch.windows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = r#"
        goal = "causal"
        [model]
        model_type = "llama"
        hidden_size = 32
        [tokenizer]
        kmer = 4
        [[data]]
        name = "lambda"
        files = ["lambda.fa.gz"]
        [batch]
        window = 240
        windows = 4
        [schedule]
        steps = 10
    "#;

    fn read(text: &str, name: &str) -> Result<Recipe, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        Recipe::read(&path)
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let recipe = read(RECIPE, "a.toml").unwrap();
        assert_eq!(recipe.tokenizer, Some(TokenizerRecipe::Kmer(4)));
        assert!(recipe.data[0].files[0].is_absolute(), "relative to the recipe");
        let json = read(&serde_json::to_string(&recipe).unwrap(), "b.json").unwrap();
        assert_eq!(json, recipe);
    }

    #[test]
    fn what_cannot_be_trained_is_refused_by_its_field() {
        for (from, to, part) in [
            ("steps = 10", "steps = 0", "schedule: 0 steps"),
            ("window = 240", "window = 3", "batch.window: 3 bases"),
            ("windows = 4", "windows = 0", "batch.windows: 0"),
            ("kmer = 4", "kmre = 4", "kmre"),
            ("goal = \"causal\"", "goal = \"cuasal\"", "cuasal"),
            ("[tokenizer]\n        kmer = 4", "", "tokenizer: missing"),
            ("steps = 10", "steps = 10\n[optimizer]\nlearning_rate = -1.0", "optimizer.learning_rate: -1"),
            ("steps = 10", "steps = 10\n[held_out]\nshare = 0.9", "held_out.share: 0.9"),
        ] {
            let error = read(&RECIPE.replace(from, to), "a.toml").unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
