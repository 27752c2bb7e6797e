//! From `-m` to a model on a device with its tokenizer.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use kilobase::data::tokenize::{self, HfTokenizer, Tokenizer};
use kilobase::models::checkpoint::{Checkpoint, hub};
use kilobase::models::family::Model;
use kilobase::models::pretrained;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::args::{Dtype, ModelArgs};
use super::doctor::Memory;
use super::exit::Usage;
use super::progress::Progress;
use super::{Console, Ctx};

/// A model ready to run.
pub(crate) struct Loaded {
    pub(crate) model: Model,
    pub(crate) tokenizer: Box<dyn Tokenizer>,
    /// What goes into plans and metadata: family, hashes, numbers, device.
    pub(crate) facts: Map<String, Value>,
    /// Bytes of memory that the process had when the model was loaded: the program, its libraries and the weights; nothing where
    /// the system does not tell.
    pub(crate) resident_bytes: Option<u64>,
}

/// Finds, checks and loads the model.
pub(crate) fn load(args: &ModelArgs, ctx: &Ctx) -> anyhow::Result<Loaded> {
    let name = args.name();
    // The device first: it is cheap to find missing, a model may be a download.
    let choice = ctx.device.choose()?;
    if args.dtype == Dtype::Bf16 && choice.kind() != "cpu" {
        let reason = format!("--dtype bf16 is there for the cpu only so far; {choice} computes in f32");
        return Err(Usage(reason).into());
    }
    let device = choice.open()?;
    let found = find(args, &ctx.console)?;
    let folder = found.path();
    let context = || format!("cannot load the model {name}");
    let checkpoint = Checkpoint::open(folder).with_context(context)?;
    let tokenizer = tokenizer(args.tokenizer.as_deref(), folder)?;
    let weights = checkpoint.weights();
    ctx.console.detail(format_args!("reading {} tensors from {}", weights.len(), folder.display()));
    let sha256 = weights.sha256().with_context(context)?.to_owned();
    let model = Model::load(checkpoint, &device, args.dtype.precision()).with_context(context)?;
    if tokenizer.vocab_size() != model.vocab_size() {
        return Err(anyhow!(
            "the tokenizer has {} tokens, the model's vocabulary {}: they do not belong together",
            tokenizer.vocab_size(),
            model.vocab_size()
        )
        .context(context()));
    }
    ctx.console.info(format_args!(
        "model {name}: {}, {} layers of {}, on {choice}",
        model.family(),
        model.layers(),
        model.hidden_size()
    ));
    let facts = json!({
        "family": model.family(),
        "weights_sha256": sha256,
        "tokenizer": tokenizer.name(),
        "tokenizer_sha256": tokenizer.fingerprint(),
        "dtype": args.dtype.name(),
        "device": choice.kind(),
    });
    let Value::Object(facts) = facts else { unreachable!("written as an object above") };
    let resident_bytes = Memory::resident();
    Ok(Loaded { model, tokenizer, facts, resident_bytes })
}

/// Where a model is.
pub(crate) enum Found {
    /// In a folder, of the user or of the cache of downloads.
    Folder(PathBuf),
    /// The one that ships, for as long as this lives.
    Unpacked(TempDir),
}

impl Found {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) => path,
            Self::Unpacked(folder) => folder.path(),
        }
    }
}

/// Finds the model that is named, here or on the hub; without a name, the one that ships, and says so.
pub(crate) fn find(args: &ModelArgs, console: &Console) -> anyhow::Result<Found> {
    let Some(name) = args.model.as_deref() else {
        console.info(format_args!(
            "no -m: using {}, which ships with kilobase: {}",
            pretrained::NAME,
            pretrained::DESCRIPTION
        ));
        let folder = tempfile::tempdir().context("no temporary folder for the model that ships")?;
        pretrained::unpack(folder.path()).with_context(|| folder.path().display().to_string())?;
        return Ok(Found::Unpacked(folder));
    };
    let mut transfer = Transfer { console, bar: None };
    let mut options = hub::Options::from_env();
    options.offline |= args.offline;
    options.progress = Some(&mut transfer);
    let name = match &args.revision {
        Some(revision) => format!("{name}@{revision}"),
        None => name.to_owned(),
    };
    Ok(Found::Folder(hub::resolve(&name, options)?))
}

/// The tokenizer at `path`, a folder or a `tokenizer.json`, or else that of the model.
pub(crate) fn tokenizer(path: Option<&Path>, model: &Path) -> anyhow::Result<Box<dyn Tokenizer>> {
    match path {
        Some(file) if file.is_file() => Ok(Box::new(HfTokenizer::from_file(file)?)),
        other => Ok(tokenize::from_dir(other.unwrap_or(model))?),
    }
}

/// Shows downloads.
struct Transfer<'a> {
    console: &'a Console,
    bar: Option<Progress>,
}

impl hub::Progress for Transfer<'_> {
    fn start(&mut self, file: &str, size: u64, present: u64) {
        self.console.info(format_args!("downloading {file} ({size} bytes)"));
        let bar = Progress::new(self.console, Some(size), "bytes");
        bar.skip(present);
        self.bar = Some(bar);
    }

    fn advance(&mut self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
        }
    }

    fn finish(&mut self, _: &str) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }
}
