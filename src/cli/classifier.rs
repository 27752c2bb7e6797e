//! A fine-tuned model with its classes.

use anyhow::{Context, ensure};
use kilobase::models::checkpoint::{CONFIG, Checkpoint};
use kilobase::models::family::Model;
use kilobase::models::run::classify::{self, MAX_TOKENS, Tokens};
use kilobase::models::run::kmers::Kmers;
use serde_json::Value;

use super::Ctx;
use super::args::ModelArgs;
use super::exit::Usage;
use super::load::{self, Loaded};

/// Tokens of a batch.
const BATCH_TOKENS: usize = 4096;

pub(crate) struct Classifier {
    pub(crate) loaded: Loaded,
    /// Names of the classes.
    pub(crate) classes: Vec<String>,
    most: Option<usize>,
    k: usize,
}

impl Classifier {
    pub(crate) fn load(args: &ModelArgs, ctx: &Ctx) -> anyhow::Result<Self> {
        if args.model.is_none() {
            return Err(Usage("no model; name one that kilobase finetune made with -m".to_owned()).into());
        }
        let loaded = load::load(args, ctx)?;
        let found = load::find(args, &ctx.console)?;
        let folder = found.path();
        let config = Checkpoint::open(folder)?.config().clone();
        let labels = config["id2label"].as_object().map_or(0, serde_json::Map::len);
        let class = |number: usize| config["id2label"][number.to_string()].as_str().map(String::from);
        let classes: Option<Vec<String>> = (0..labels).map(class).collect();
        let classes = classes.filter(|classes| classes.len() > 1);
        let classes = classes.with_context(|| {
            format!(
                "{}: no classes (id2label); kilobase finetune makes a classifier",
                folder.join(CONFIG).display()
            )
        })?;
        let most = config.get(MAX_TOKENS).and_then(Value::as_u64).map(|most| most as usize);
        let k = Kmers::new(&*loaded.tokenizer).map_or(1, |kmers| kmers.k());
        Ok(Self { loaded, classes, most, k })
    }

    pub(crate) fn tokens(&self) -> Tokens<'_> {
        let decoder = matches!(self.loaded.model, Model::Generator { .. });
        Tokens { tokenizer: &*self.loaded.tokenizer, decoder, k: self.k, most: self.most }
    }

    /// A law over the classes for each sequence of tokens.
    pub(crate) fn laws(&self, ids: &[Vec<u32>]) -> anyhow::Result<Vec<Vec<f64>>> {
        let laws = classify::laws(&self.loaded.model, ids, BATCH_TOKENS);
        let laws = laws.context("the checkpoint has no classification head; kilobase finetune makes one")?;
        let found = laws.first().map_or(self.classes.len(), Vec::len);
        ensure!(
            found == self.classes.len(),
            "{found} classes in the weights, {} in config.json",
            self.classes.len()
        );
        Ok(laws)
    }
}
