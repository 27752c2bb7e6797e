//! The model that fine-tuning starts from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use kilobase::data::tokenize::Tokenizer;
use kilobase::models::checkpoint::Checkpoint;
use kilobase::models::device::Choice;
use kilobase::models::family::{Family, detect};
use kilobase::models::run::kmers::Kmers;
use kilobase::models::run::predict::Tokens;
use kilobase::models::run::predict::task::Task;
use kilobase::models::train::finetune::{self, Job, Labelled, Settings, Trainer};
use serde_json::Map;

use super::rows::Rows;
use crate::cli::Ctx;
use crate::cli::args::ModelArgs;
use crate::cli::load::{self, Found};
use crate::cli::model::TOKENIZER_FILES;

/// Where a run is.
pub(in crate::cli) struct Folder<'a> {
    pub(in crate::cli) path: &'a Path,
    pub(in crate::cli) restart: bool,
}

/// A model to fine-tune.
pub(in crate::cli) struct Start {
    pub(in crate::cli) name: String,
    pub(in crate::cli) decoder: bool,
    found: Found,
    /// Where the files of the tokenizer are, or its only one.
    tokenizer_path: PathBuf,
    tokenizer: Box<dyn Tokenizer>,
}

impl Start {
    pub(in crate::cli) fn find(args: &ModelArgs, ctx: &Ctx) -> anyhow::Result<Self> {
        let found = load::find(args, &ctx.console)?;
        let name = args.name().to_owned();
        let checkpoint =
            Checkpoint::open(found.path()).with_context(|| format!("cannot load the model {name}"))?;
        let decoder = detect(&checkpoint)? == Family::Generator;
        let tokenizer = load::tokenizer(args.tokenizer.as_deref(), found.path())?;
        let tokenizer_path = args.tokenizer.as_deref().unwrap_or(found.path()).to_owned();
        Ok(Self { name, decoder, found, tokenizer_path, tokenizer })
    }

    /// Where it was found.
    pub(in crate::cli) fn folder(&self) -> &Path {
        self.found.path()
    }

    /// Rows as tokens, at most so many of each, with what is asked of them.
    pub(in crate::cli) fn labelled(
        &self,
        rows: &Rows,
        task: &Task,
        most: Option<usize>,
    ) -> anyhow::Result<Labelled> {
        let k = Kmers::new(&*self.tokenizer).map_or(1, |kmers| kmers.k());
        let tokens = Tokens { tokenizer: &*self.tokenizer, decoder: self.decoder, k, most };
        let targets = rows.targets(task)?;
        Ok(Labelled { ids: rows.ids(&tokens)?, targets })
    }

    /// A run, with the files of the tokenizer.
    pub(in crate::cli) fn job(
        &self,
        task: Task,
        max_tokens: Option<usize>,
        [train, dev]: [Labelled; 2],
        settings: Settings,
    ) -> anyhow::Result<Job> {
        let mut files = Vec::new();
        for name in TOKENIZER_FILES {
            // A tokenizer may be named by its file.
            let own = name == "tokenizer.json" && self.tokenizer_path.is_file();
            let from = if own { self.tokenizer_path.clone() } else { self.tokenizer_path.join(name) };
            if from.is_file() {
                let bytes = fs::read(&from).with_context(|| from.display().to_string())?;
                files.push((name.to_owned(), bytes));
            }
        }
        let name = self.name.clone();
        Ok(Job { name, task, max_tokens, train, dev, settings, files, facts: Map::new() })
    }

    /// Goes on with the run in a folder, or begins it.
    pub(in crate::cli) fn open(
        &self,
        job: Job,
        folder: &Folder<'_>,
        device: &Choice,
        report: &mut dyn FnMut(String),
    ) -> anyhow::Result<Box<dyn Trainer>> {
        let checkpoint = Checkpoint::open(self.found.path())
            .with_context(|| format!("cannot load the model {}", self.name))?;
        Ok(finetune::open(checkpoint, job, folder.path, &device.open()?, folder.restart, report)?)
    }
}
