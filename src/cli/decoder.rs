//! Flags of commands that run a decoder, and what follows from them.

use std::num::NonZeroUsize;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use kilobase::models::cache::policy::{self, Settings};
use kilobase::models::cache::{Pipeline, Store};
use kilobase::models::family::Model;
use kilobase::models::family::generator::{Config, Generator};
use kilobase::models::run::{Long, Reading};
use serde_json::{Value, json};

use super::Ctx;
use super::exit::Usage;
use super::load::Loaded;

/// How long a context a decoder reads, and what it keeps of it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Context")]
pub(crate) struct ContextArgs {
    /// Tokens that the model reads at once [default: what it was trained on]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) context: Option<NonZeroUsize>,
    /// Read longer sequences in one pass over a key/value cache that this policy keeps small, in place of windows of the
    /// context; full keeps everything
    #[arg(long, value_name = "POLICY", value_parser = policies())]
    pub(crate) cache_policy: Option<&'static str>,
    /// Tokens that the policy keeps for each layer and head [default: a quarter of the context]
    #[arg(long, value_name = "TOKENS", requires = "cache_policy")]
    pub(crate) cache_budget: Option<NonZeroUsize>,
    /// Numbers of the key/value cache [default: f32]
    #[arg(long, value_enum)]
    pub(crate) cache_dtype: Option<CacheDtype>,
}

/// How much of a sequence a decoder computes at once.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Context")]
pub(crate) struct ChunkArgs {
    /// Tokens that go through the layers at once
    #[arg(long, value_name = "TOKENS", default_value = "2048")]
    pub(crate) chunk: NonZeroUsize,
}

/// No policy.
const FULL: &str = "full";

fn policies() -> impl TypedValueParser<Value = &'static str> {
    let names = || std::iter::once(FULL).chain(policy::REGISTRY.iter().map(|(name, _)| *name));
    PossibleValuesParser::new(names())
        .map(move |name| names().find(|known| *known == name).expect("clap let a known name through"))
}

/// Numbers of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CacheDtype {
    /// 32 bits
    F32,
    /// 16 bits with the range of f32
    Bf16,
    /// 8 bits with scales
    Int8,
}

impl CacheDtype {
    fn store(self) -> Store {
        match self {
            Self::F32 => Store::F32,
            Self::Bf16 => Store::Bf16,
            Self::Int8 => Store::Int8,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

impl Loaded {
    /// The decoder, or why this model cannot do what `what` needs.
    pub(crate) fn decoder(&self, what: &str) -> Result<(&Config, &Generator), Usage> {
        match &self.model {
            Model::Generator { config, model } => Ok((config, model)),
            other @ Model::DnaBert2 { .. } => Err(Usage(format!(
                "{what} needs a decoder; {} is an encoder, which gives embeddings and masked probabilities",
                other.family()
            ))),
        }
    }
}

impl ContextArgs {
    /// Tokens that the model reads at once.
    pub(crate) fn context(&self, config: &Config) -> usize {
        self.context.map_or(config.max_position_embeddings, NonZeroUsize::get)
    }

    /// How sequences are read with these settings; `overlap` is for windows.
    pub(crate) fn reading(
        &self,
        config: &Config,
        overlap: usize,
        chunk: NonZeroUsize,
        ctx: &Ctx,
    ) -> anyhow::Result<Reading> {
        let context = self.context(config);
        if context > config.max_position_embeddings {
            ctx.console.warn(format_args!(
                "a context of {context} tokens; the model was trained on {}, beyond which rope_scaling in its config.json or a \
                 cache policy with a limit of distances (lm-infinite, infllm) is needed for numbers that mean something",
                config.max_position_embeddings
            ));
        }
        let long = match self.cache_policy {
            None => Long::Windows { overlap },
            Some(name) => Long::Cache(self.pipeline(name, config, ctx)?),
        };
        let reading = Reading { context, long, store: self.store(), chunk: chunk.get() };
        reading.check()?;
        Ok(reading)
    }

    /// Numbers of the cache.
    pub(crate) fn store(&self) -> Store {
        self.dtype().store()
    }

    fn dtype(&self) -> CacheDtype {
        self.cache_dtype.unwrap_or(CacheDtype::F32)
    }

    /// Refuses what was given for a model that reads every sequence whole.
    pub(crate) fn check_none(&self, family: &str) -> Result<(), Usage> {
        let given = [
            ("--context", self.context.is_some()),
            ("--cache-policy", self.cache_policy.is_some()),
            ("--cache-dtype", self.cache_dtype.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(Usage(format!(
                "{flag} is about decoders; {family} is an encoder, which reads sequences whole"
            ))),
            None => Ok(()),
        }
    }

    /// What becomes of the cache, for commands that have one always.
    pub(crate) fn policy(&self, config: &Config, ctx: &Ctx) -> anyhow::Result<Pipeline> {
        self.pipeline(self.cache_policy.unwrap_or(FULL), config, ctx)
    }

    fn pipeline(&self, name: &str, config: &Config, ctx: &Ctx) -> anyhow::Result<Pipeline> {
        if name == FULL {
            return Ok(Pipeline::none());
        }
        let settings =
            Settings { layers: config.num_hidden_layers, budget: self.budget(config), seed: ctx.seed };
        Ok(Pipeline::new(vec![policy::by_name(name, &settings)?])?)
    }

    fn budget(&self, config: &Config) -> usize {
        self.cache_budget.map_or((self.context(config) / 4).max(1), NonZeroUsize::get)
    }

    /// All of it that decides numbers, for plans and metadata.
    pub(crate) fn plan(&self, config: &Config, chunk: NonZeroUsize) -> Value {
        let policy = self.cache_policy;
        json!({
            "context": self.context(config),
            "cache_policy": policy,
            "cache_budget": policy.filter(|name| *name != FULL).map(|_| self.budget(config)),
            "cache_dtype": self.dtype().name(),
            "chunk": chunk,
        })
    }
}
