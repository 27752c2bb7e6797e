//! All that a run needs before its first step.

use crate::checkpoint::{CONFIG, Checkpoint, Expected, NamedTensor};
use crate::family::{Family, detect, dnabert2, generator};
use crate::train::corpus::Corpus;
use crate::train::example::Masking;
use crate::train::head::Objective;
use crate::train::order::{self, Cut, Window};
use crate::train::recipe::{Goal, Recipe, TokenizerRecipe};
use crate::train::store::{check_same, write_file};
use crate::train::vocabulary::{Bases, kmer_files};
use crate::train::{Error, pretrain::State};
use kilobase_data::tokenize::{self, KmerConfig, KmerTokenizer, Tokenizer};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Tokenizer files that go along with a model.
const TOKENIZER_FILES: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"];

/// A recipe with its tokenizer, its configuration and its bases.
pub struct Setup {
    pub(super) recipe: Recipe,
    pub(super) seed: u64,
    pub(super) tokenizer: Box<dyn Tokenizer>,
    pub(super) corpora: Vec<Corpus>,
    pub(super) objective: Objective,
    pub(super) masking: Masking,
    /// Bases of a token where all have as many, else 1.
    pub(super) k: usize,
    /// All that decides the numbers.
    pub(super) plan: Value,
    /// `config.json`.
    config: Value,
    /// Everything of a model directory but the weights.
    files: Vec<(String, Vec<u8>)>,
    bases: Option<Arc<Bases>>,
}

impl Setup {
    /// Reads everything that a recipe names.
    pub fn read(recipe: Recipe, seed: u64) -> Result<Self, Error> {
        recipe.check()?;
        let (tokenizer, mut files) = tokenizer(&recipe)?;
        let config = config(&recipe, &*tokenizer)?;
        let text = serde_json::to_vec_pretty(&config).expect("JSON is always JSON");
        files.push((CONFIG.to_owned(), text));
        let bases = Bases::new(&*tokenizer).map(Arc::new);
        let k = bases.as_ref().map_or(1, |bases| bases.k());
        if !recipe.batch.window.is_multiple_of(k) {
            let reason = format!("{} bases, no multiple of the {k} of a token", recipe.batch.window);
            return Err(Error::recipe("batch.window", reason));
        }
        let least = (recipe.batch.window / 8).max(2 * k).min(recipe.batch.window);
        let corpora = recipe
            .data
            .iter()
            .map(|data| Corpus::read(data, recipe.held_out.share, least))
            .collect::<Result<Vec<_>, _>>()?;
        let objective = match (recipe.goal, &bases) {
            (Goal::Factorised, Some(bases)) => Objective::PerBase(bases.clone()),
            (Goal::Factorised, None) => {
                let reason = "\"factorised\" needs a tokenizer of k-mers; \"causal\" serves others";
                return Err(Error::recipe("goal", reason));
            }
            _ => Objective::Token,
        };
        let masking = masking(&recipe, &*tokenizer)?;
        let plan = plan(&recipe, &config, &*tokenizer, &corpora, seed);
        Ok(Self { recipe, seed, tokenizer, corpora, objective, masking, k, plan, config, files, bases })
    }

    /// The recipe.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The data sets.
    pub fn corpora(&self) -> &[Corpus] {
        &self.corpora
    }

    /// All that decides the numbers.
    pub fn plan(&self) -> &Value {
        &self.plan
    }

    /// Tensors of the model.
    pub fn expected(&self) -> Result<Vec<Expected>, Error> {
        if self.config.get("alibi_starting_size").is_some() {
            return Ok(dnabert2::base(&dnabert2::Config::from_json(&self.config)?));
        }
        Ok(generator::expected(&generator::Config::from_json(&self.config)?, 0, |_| false))
    }

    /// Whether each token is predicted from those before it.
    pub(super) fn is_causal(&self) -> bool {
        self.recipe.goal != Goal::Mlm
    }

    /// Whether a token is worth predicting.
    pub(super) fn counts(&self, id: u32) -> bool {
        match &self.bases {
            Some(bases) => bases.counts(id),
            None => Some(id) != self.tokenizer.special().unk,
        }
    }

    /// The batches of an epoch.
    pub(super) fn epoch(&self, number: u64) -> Result<Vec<Vec<Window>>, Error> {
        let window = self.recipe.batch.window;
        let cut = Cut {
            window,
            least: (window / 8).max(2 * self.k).min(window),
            capacity: self.recipe.capacity(),
            reverse_complement: self.recipe.batch.reverse_complement,
        };
        let batches = order::epoch(&self.corpora, &cut, self.seed, number);
        if batches.is_empty() {
            let reason = format!("no window of {} bases to train on", cut.least);
            return Err(Error::Data { name: "data".to_owned(), reason });
        }
        Ok(batches)
    }

    /// The held-out windows of each data set that has some.
    pub(super) fn held_out(&self) -> impl Iterator<Item = (&str, Vec<Window>)> {
        let recipe = &self.recipe;
        self.corpora.iter().enumerate().filter_map(move |(corpus, data)| {
            let ranges = data.held_out_windows(recipe.batch.window, recipe.held_out.windows);
            let window = |range| Window { corpus, range, reversed: false };
            (!ranges.is_empty()).then(|| (data.name.as_str(), ranges.into_iter().map(window).collect()))
        })
    }

    /// The bases of these windows that a model reads.
    pub(super) fn held_out_bases(&self, name: &str) -> Vec<&[u8]> {
        let windows = self.held_out().filter(|(found, _)| *found == name).flat_map(|(_, windows)| windows);
        windows
            .map(|window| {
                let range = window.range;
                self.corpora[window.corpus].bases(range.start..range.end - range.len() % self.k)
            })
            .collect()
    }

    /// The weights to start from; none where they are random.
    pub(super) fn start(&self) -> Result<Option<Vec<impl NamedTensor>>, Error> {
        let Some(folder) = &self.recipe.start else { return Ok(None) };
        let checkpoint = Checkpoint::open(folder)?;
        let weights = match detect(&checkpoint)? {
            Family::DnaBert2 => {
                let config = dnabert2::Config::from_json(&self.config)?;
                dnabert2::matched(&config, checkpoint.into_weights())?
            }
            Family::Generator => {
                let config = generator::Config::from_json(&self.config)?;
                generator::matched(&config, checkpoint.into_weights())?
            }
        };
        let names: Vec<String> = weights.names().map(String::from).collect();
        let tensors = names.into_iter().map(|name| {
            let shape = weights.shape(&name)?.to_vec();
            let values = weights.read_f32(&name)?;
            Ok((name, shape, values))
        });
        Ok(Some(tensors.collect::<Result<_, Error>>()?))
    }

    /// Everything of a model directory but the weights.
    pub(super) fn model_files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    pub(super) fn write_model_files(&self, folder: &Path) -> Result<(), Error> {
        self.model_files().try_for_each(|(name, bytes)| write_file(&folder.join(name), bytes))
    }

    /// Refuses a checkpoint of another run.
    pub(super) fn check_same(&self, path: &Path, state: &State) -> Result<(), Error> {
        let keys = ["seed", "config", "tokenizer_sha256", "data", "recipe"];
        check_same(path, &state.plan, &self.plan, &keys)
    }
}

/// Names and contents.
type Files = Vec<(String, Vec<u8>)>;

/// The tokenizer and its files.
fn tokenizer(recipe: &Recipe) -> Result<(Box<dyn Tokenizer>, Files), Error> {
    let folder = match (&recipe.tokenizer, &recipe.start) {
        (Some(TokenizerRecipe::Kmer(k)), _) => {
            if !(1..=8).contains(k) {
                return Err(Error::recipe("tokenizer.kmer", format!("{k}, not between 1 and 8")));
            }
            let files = kmer_files(*k);
            let config: KmerConfig = serde_json::from_str(&files[1].1).expect("written as JSON above");
            let tokenizer = KmerTokenizer::new(files[0].1.as_bytes(), &config, "tokenizer.kmer")?;
            let files = files.map(|(name, text)| (name.to_owned(), text.into_bytes()));
            return Ok((Box::new(tokenizer), files.to_vec()));
        }
        (Some(TokenizerRecipe::Folder(folder)), _) | (None, Some(folder)) => folder,
        (None, None) => return Err(Error::recipe("tokenizer", "missing")),
    };
    let tokenizer = tokenize::from_dir(folder)?;
    let mut files = Vec::new();
    for name in TOKENIZER_FILES {
        let path = folder.join(name);
        if path.is_file() {
            files.push((name.to_owned(), fs::read(&path).map_err(Error::io(&path))?));
        }
    }
    Ok((tokenizer, files))
}

/// The configuration, with what follows from the tokenizer and the windows filled in.
fn config(recipe: &Recipe, tokenizer: &dyn Tokenizer) -> Result<Value, Error> {
    let vocabulary = tokenizer.vocab_size();
    let config = match (&recipe.start, &recipe.model) {
        (Some(folder), _) => Checkpoint::open(folder)?.config().clone(),
        (None, Some(model)) => {
            let mut config = model.clone();
            let special = tokenizer.special();
            let k = Bases::new(tokenizer).map_or(1, |bases| bases.k());
            // Of other tokenizers no window has more tokens than bases.
            let tokens = recipe.batch.window / k + 2;
            let mut set = |name: &str, value: Value| {
                config.entry(name).or_insert(value);
            };
            set("vocab_size", vocabulary.into());
            set("max_position_embeddings", tokens.into());
            if recipe.goal == Goal::Mlm {
                set("architectures", json!(["BertForMaskedLM"]));
            } else {
                set("architectures", json!(["LlamaForCausalLM"]));
                set("hidden_act", "silu".into());
                set("bos_token_id", special.start.into());
                set("eos_token_id", special.end.into());
            }
            Value::Object(config)
        }
        (None, None) => return Err(Error::recipe("model", "missing")),
    };
    let encoder = config.get("alibi_starting_size").is_some();
    if !encoder && config.get("model_type").is_none_or(|kind| kind != "llama") {
        let reason = "neither alibi_starting_size (DNABERT-2) nor model_type = \"llama\" (GENERator)";
        return Err(Error::recipe("model", reason));
    }
    if encoder != (recipe.goal == Goal::Mlm) {
        let reason =
            "\"mlm\" is for encoders (DNABERT-2), \"causal\" and \"factorised\" for decoders (GENERator)";
        return Err(Error::recipe("goal", reason));
    }
    if config["vocab_size"] != vocabulary {
        let reason = format!("{}; the tokenizer has {vocabulary} tokens", config["vocab_size"]);
        return Err(Error::recipe("model.vocab_size", reason));
    }
    // Sizes are checked now rather than when weights are made.
    if encoder {
        dnabert2::Config::from_json(&config)?;
    } else {
        generator::Config::from_json(&config)?;
    }
    Ok(config)
}

fn masking(recipe: &Recipe, tokenizer: &dyn Tokenizer) -> Result<Masking, Error> {
    let special = tokenizer.special();
    let mask = match (recipe.goal, special.mask) {
        (Goal::Mlm, None) => return Err(Error::recipe("tokenizer", "it has no mask token")),
        (_, mask) => mask.unwrap_or(0),
    };
    let frame: Vec<u32> = special.ids().collect();
    let plain: Vec<u32> = (0..tokenizer.vocab_size() as u32).filter(|id| !frame.contains(id)).collect();
    if plain.is_empty() {
        return Err(Error::recipe("tokenizer", "it has special tokens only"));
    }
    Ok(Masking { share: recipe.batch.masked, mask, plain })
}

/// All that decides the numbers of a run. Files count by what is in them, and when checkpoints are written does not count.
fn plan(recipe: &Recipe, config: &Value, tokenizer: &dyn Tokenizer, corpora: &[Corpus], seed: u64) -> Value {
    let mut shown = serde_json::to_value(recipe).expect("a recipe is always JSON");
    let fields = shown.as_object_mut().expect("a recipe is an object");
    for name in ["data", "checkpoint", "model", "tokenizer", "start"] {
        fields.remove(name);
    }
    let data: Vec<Value> = corpora
        .iter()
        .map(|corpus| {
            let [train, held_out] = corpus.sizes();
            json!({
                "name": corpus.name, "repeat": corpus.repeat, "sha256": corpus.sha256,
                "train_bases": train, "held_out_bases": held_out, "dropped_letters": corpus.dropped,
            })
        })
        .collect();
    json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "pretrain",
        "seed": seed,
        "recipe": shown,
        "config": config,
        "tokenizer": tokenizer.name(),
        "tokenizer_sha256": tokenizer.fingerprint(),
        "data": data,
    })
}
