//! `kilobase model`: making models.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Subcommand;
use kilobase::data::export::AtomicFolder;
use kilobase::data::tokenize;
use kilobase::models::checkpoint::{CONFIG, Expected, write_safetensors};
use kilobase::models::family::{RandomTensor, dnabert2, generator, random};
use kilobase::models::pretrained;
use serde_json::Value;

use super::Ctx;
use super::args::Dtype;
use super::exit::Usage;
use super::output::{Summary, shown};

/// Tokenizer files that go along with a model.
pub(super) const TOKENIZER_FILES: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a model of random weights: for tests, benchmarks, and as a start for training
    Init(Init),
    /// Write the model that ships with kilobase as a Hugging Face directory, with its card
    Export(Export),
}

#[derive(Debug, clap::Args)]
struct Export {
    /// Folder to write; must not exist
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Init {
    /// Configuration of the model: a config.json of the DNABERT-2 or the GENERator (Llama) family
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder with the tokenizer; its vocabulary must be the configuration's
    #[arg(short, long, value_name = "FOLDER")]
    tokenizer: PathBuf,
    /// Numbers of the weights in the file
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
    /// Folder to write; must not exist
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    match &args.command {
        Command::Init(init) => init.run(ctx),
        Command::Export(export) => export.run(ctx),
    }
}

impl Export {
    fn run(&self, ctx: &Ctx) -> anyhow::Result<()> {
        let folder = new_folder(&self.output)?;
        pretrained::unpack(folder.path()).with_context(|| format!("{}", folder.path().display()))?;
        fs::write(folder.path().join("README.md"), pretrained::CARD)?;
        folder.commit().with_context(|| format!("{}", self.output.display()))?;
        let summary = Summary::new("model export")
            .fact("model", pretrained::NAME)
            .fact("output", shown(Some(&self.output)));
        ctx.console.summary(&summary, false)
    }
}

/// A folder that appears when it is whole, and must not exist yet.
fn new_folder(path: &Path) -> anyhow::Result<AtomicFolder> {
    if path.exists() {
        return Err(Usage(format!("{}: exists; name a new folder with -o", path.display())).into());
    }
    AtomicFolder::create(path).with_context(|| format!("{}", path.display()))
}

impl Init {
    fn run(&self, ctx: &Ctx) -> anyhow::Result<()> {
        let shown_config = self.config.display();
        let text = fs::read(&self.config).with_context(|| format!("{shown_config}"))?;
        let config: Value =
            serde_json::from_slice(&text).with_context(|| format!("{shown_config}: not JSON"))?;
        let (vocabulary, expected) = sizes(&config).with_context(|| format!("{shown_config}"))?;
        let tokenizer = tokenize::from_dir(&self.tokenizer)?;
        ensure!(
            tokenizer.vocab_size() == vocabulary,
            "the tokenizer has {} tokens, {shown_config} a vocab_size of {vocabulary}",
            tokenizer.vocab_size(),
        );
        let folder = new_folder(&self.output)?;
        let tensors = random(expected, ctx.seed);
        let parameters: usize = tensors.iter().map(RandomTensor::len).sum();
        write_safetensors(&folder.path().join("model.safetensors"), tensors, self.dtype.stored())?;
        fs::write(folder.path().join(CONFIG), &text)?;
        for name in TOKENIZER_FILES {
            let from = self.tokenizer.join(name);
            if from.is_file() {
                let bytes = fs::read(&from).with_context(|| format!("{}", from.display()))?;
                fs::write(folder.path().join(name), bytes)?;
            }
        }
        folder.commit().with_context(|| format!("{}", self.output.display()))?;
        let summary = Summary::new("model init")
            .fact("parameters", parameters)
            .fact("weights", "random")
            .fact("seed", ctx.seed)
            .fact("output", shown(Some(&self.output)));
        ctx.console.summary(&summary, false)
    }
}

/// Entries of the vocabulary, and the tensors, of the model that a configuration describes.
fn sizes(config: &Value) -> anyhow::Result<(usize, Vec<Expected>)> {
    if config.get("alibi_starting_size").is_some() {
        let sizes = dnabert2::Config::from_json(config)?;
        return Ok((sizes.vocab_size, dnabert2::base(&sizes)));
    }
    ensure!(
        config.get("model_type").is_some_and(|kind| kind == "llama"),
        "neither alibi_starting_size nor model_type \"llama\": not a configuration of the DNABERT-2 or GENERator family"
    );
    let sizes = generator::Config::from_json(config)?;
    Ok((sizes.vocab_size, generator::expected(&sizes, 0, |_| false)))
}
