//! A fine-tuned model with its task.

use anyhow::{Context, ensure};
use kilobase::models::checkpoint::{CONFIG, Checkpoint};
use kilobase::models::family::Model;
use kilobase::models::run::kmers::{Kmers, law};
use kilobase::models::run::predict::task::{Scale, Task};
use kilobase::models::run::predict::{self, MAX_TOKENS, Tokens};
use serde_json::Value;

use super::Ctx;
use super::args::ModelArgs;
use super::exit::Usage;
use super::load::{self, Loaded};

/// Tokens of a batch.
const BATCH_TOKENS: usize = 4096;

pub(crate) struct FineTuned {
    pub(crate) loaded: Loaded,
    /// What it answers.
    pub(crate) task: Task,
    most: Option<usize>,
    k: usize,
}

impl FineTuned {
    pub(crate) fn load(args: &ModelArgs, ctx: &Ctx) -> anyhow::Result<Self> {
        if args.model.is_none() {
            return Err(Usage("no model; name one that kilobase finetune made with -m".to_owned()).into());
        }
        let loaded = load::load(args, ctx)?;
        let found = load::find(args, &ctx.console)?;
        let folder = found.path();
        let config = Checkpoint::open(folder)?.config().clone();
        let task = Task::from_config(&config).with_context(|| folder.join(CONFIG).display().to_string())?;
        let most = config.get(MAX_TOKENS).and_then(Value::as_u64).map(|most| most as usize);
        let k = Kmers::new(&*loaded.tokenizer).map_or(1, |kmers| kmers.k());
        Ok(Self { loaded, task, most, k })
    }

    pub(crate) fn tokens(&self) -> Tokens<'_> {
        let decoder = matches!(self.loaded.model, Model::Generator { .. });
        Tokens { tokenizer: &*self.loaded.tokenizer, decoder, k: self.k, most: self.most }
    }

    /// A law over the classes for each sequence of tokens.
    pub(crate) fn laws(&self, ids: &[Vec<u32>]) -> anyhow::Result<Vec<Vec<f64>>> {
        Ok(self.outputs(ids)?.iter().map(|logits| law(logits)).collect())
    }

    /// The value of each sequence of tokens.
    pub(crate) fn values(&self, ids: &[Vec<u32>], scale: &Scale) -> anyhow::Result<Vec<f64>> {
        Ok(self.outputs(ids)?.iter().map(|answer| scale.value(f64::from(answer[0]))).collect())
    }

    fn outputs(&self, ids: &[Vec<u32>]) -> anyhow::Result<Vec<Vec<f32>>> {
        let outputs = predict::outputs(&self.loaded.model, ids, BATCH_TOKENS);
        let outputs = outputs
            .context("the checkpoint has no head for classes or values; kilobase finetune makes one")?;
        let expected = self.task.outputs();
        let found = outputs.first().map_or(expected, Vec::len);
        ensure!(found == expected, "{found} labels in the weights, {expected} in config.json");
        Ok(outputs)
    }
}
