//! `kilobase generate`: sequences from a decoder.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use kilobase::data::export::{AtomicFile, metadata_path};
use kilobase::data::fastx::Record;
use kilobase::data::tokenize::Tokenizer;
use kilobase::models::cache::Pipeline;
use kilobase::models::decode::constraint::{Engine, Unit};
use kilobase::models::decode::particles::Resampler;
use kilobase::models::decode::predicate::Predicate;
use kilobase::models::decode::sample::{Rule, Sampler, Sampling, Truncation};
use kilobase::models::decode::stop::{Reason, Stop};
use kilobase::models::decode::vocabulary::Vocabulary;
use kilobase::models::run::generate::{Generation, Sample};
use kilobase::models::run::kmers::Kmers;
use kilobase::models::run::price::{Cost, Pricer, Rates, step_seconds};
use kilobase::models::run::{Long, Reading};
use serde_json::{Map, Value, json};

use super::Ctx;
use super::args::{InputArgs, ModelArgs};
use super::decoder::{ChunkArgs, ContextArgs};
use super::exit::Usage;
use super::load::{Loaded, load};
use super::output::{self, Stdout, Summary};
use super::price::{self, Tokens};
use super::progress::Progress;
use super::scan;

mod constraints;
mod judge;

use constraints::ConstraintArgs;
use judge::Judge;

#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Args {
    /// Prompts: FASTA or FASTQ files, plain or gzip; - is standard input
    #[arg(value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// Prompt on the command line; may be given several times. Without any prompt sequences begin at the start token
    #[arg(short, long, value_name = "BASES", conflicts_with = "inputs")]
    prompt: Vec<String>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    chunk: ChunkArgs,
    /// Sequences for each prompt
    #[arg(short = 'n', long, value_name = "N", default_value = "1")]
    samples: NonZeroUsize,
    /// Bases to generate: a multiple of the bases of a token
    #[arg(long, value_name = "N", conflicts_with = "max_tokens")]
    bases: Option<NonZeroUsize>,
    /// Tokens to generate at most
    #[arg(long, value_name = "N", default_value = "32")]
    max_tokens: NonZeroUsize,
    /// Divides the logits: 1 is the model's own law, 0 the most probable token always
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f64,
    /// Draw from the N most probable only
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,
    /// Draw from the most probable only, as few as have this probability together
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// What is drawn: tokens, or the bases of a k-mer one by one from their marginal laws
    #[arg(long, value_enum, default_value_t = Draw::Token)]
    draw: Draw,
    /// Let the model end a sequence by its end token
    #[arg(long)]
    stop_at_end: bool,
    /// End a sequence behind this motif (IUPAC codes)
    #[arg(long, value_name = "MOTIF")]
    stop_motif: Option<kilobase::models::decode::base::Motif>,
    #[command(flatten)]
    constraints: ConstraintArgs,
    /// Program that judges sequences: it reads one a line and answers 1 or 0 for each. Tokens are drawn by adaptive weighted
    /// rejection sampling
    #[arg(long, value_name = "COMMAND")]
    judge: Option<String>,
    /// Replace sequences of little weight by copies of others while they grow
    #[arg(long)]
    resample: bool,
    /// Drop bases from the left of a prompt that is not whole tokens, in place of an error
    #[arg(long)]
    trim_prompt: bool,
    /// Write prompts in front of what was generated
    #[arg(long)]
    with_prompt: bool,
    /// FASTA file to write; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
    /// Print what would be done, and what memory and about what time it takes, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Draw {
    /// Whole tokens
    Token,
    /// Each base of a k-mer from its marginal law
    Base,
}

/// A prompt and its name.
struct Prompt {
    name: String,
    bases: Vec<u8>,
}

impl Args {
    fn file(&self) -> Option<&Path> {
        (self.output.as_os_str() != "-").then_some(&self.output)
    }

    fn prompts(&self, ctx: &Ctx) -> anyhow::Result<Vec<Prompt>> {
        if self.inputs.is_empty() {
            let named = |(i, bases): (usize, &String)| Prompt {
                name: format!("prompt{}", i + 1),
                bases: bases.to_ascii_uppercase().into_bytes(),
            };
            let mut prompts: Vec<Prompt> = self.prompt.iter().enumerate().map(named).collect();
            if prompts.is_empty() {
                prompts.push(Prompt { name: "generated".to_owned(), bases: Vec::new() });
            }
            for prompt in &prompts {
                let foreign =
                    prompt.bases.iter().find(|&&byte| !kilobase::data::alphabet::is_nucleotide(byte));
                if let Some(&byte) = foreign {
                    bail!(Usage(format!("--prompt: {:?} is no nucleotide", char::from(byte))));
                }
            }
            return Ok(prompts);
        }
        let input = InputArgs { inputs: self.inputs.clone(), bed: None, lenient: false, upper: true };
        let mut prompts = Vec::new();
        let mut record = Record::default();
        for source in input.sources()? {
            let mut reader = scan::open(&source, &input)?;
            while reader.read_record(&mut record)? {
                let bases = record.sequence.to_ascii_uppercase();
                prompts.push(Prompt { name: record.id.clone(), bases });
            }
            scan::warn(&reader, &ctx.console);
        }
        ensure!(!prompts.is_empty(), "{}: no records", scan::names(&input.sources()?));
        Ok(prompts)
    }

    fn sampling(&self, ctx: &Ctx) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            truncation: Truncation::AfterMask,
            rule: if self.draw == Draw::Base { Rule::BaseMarginal } else { Rule::Token },
            seed: ctx.seed,
        }
    }

    /// Tokens to generate, `k` bases each where tokens are k-mers.
    fn budget(&self, k: Option<usize>) -> Result<usize, Usage> {
        let Some(bases) = self.bases else { return Ok(self.max_tokens.get()) };
        let Some(k) = k else {
            return Err(Usage(
                "--bases: the tokens of this model are of several lengths; use --max-tokens".to_owned(),
            ));
        };
        if !bases.get().is_multiple_of(k) {
            return Err(Usage(format!(
                "--bases {bases}: the tokens of this model have {k} bases; give a multiple"
            )));
        }
        Ok(bases.get() / k)
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    if let Some(path) = args.file().filter(|_| !args.dry_run) {
        AtomicFile::check(path, args.force)?;
    }
    let mut prompts = args.prompts(ctx)?;
    let loaded = load(&args.model, ctx)?;
    let (config, model) = loaded.decoder("generate")?;
    let tokenizer = &*loaded.tokenizer;
    let k = Kmers::new(tokenizer).map(|kmers| kmers.k());
    let budget = args.budget(k)?;
    for prompt in &mut prompts {
        fit(prompt, k, args.trim_prompt, ctx)?;
    }
    let stop = Stop {
        max_tokens: budget,
        tokens: tokenizer.special().end.filter(|_| args.stop_at_end).into_iter().collect(),
        motif: args.stop_motif.clone(),
    };
    let vocabulary = vocabulary(tokenizer);
    let suppress: Vec<u32> = (0..tokenizer.vocab_size() as u32)
        .filter(|&id| vocabulary.bases(id).is_none() && !stop.tokens.contains(&id))
        .collect();
    let sampler = Sampler::new(args.sampling(ctx), vocabulary.clone().into(), &suppress)
        .map_err(|error| Usage(error.to_string()))?;
    let constraints = args.constraints.constraints();
    if !constraints.is_empty() && (args.stop_at_end || args.stop_motif.is_some()) {
        bail!(Usage(
            "constraints are about sequences of a known length: they do not go with --stop-at-end and --stop-motif".to_owned()
        ));
    }
    let plan = plan(args, &loaded, &stop, &sampler, ctx);
    let policy: Pipeline = args.context.policy(config, ctx)?;
    if args.dry_run {
        return dry_run(args, &loaded, &policy, &prompts, budget, plan, ctx);
    }
    let mut engine = if constraints.is_empty() {
        None
    } else {
        let automata = constraints.automata()?;
        Some(Engine::new(automata, &vocabulary, Unit::Tokens)?)
    };
    let mut judge = args.judge.as_deref().map(Judge::start).transpose()?;
    let generation = Generation {
        model,
        tokenizer,
        sampler: &sampler,
        stop: &stop,
        context: args.context.cache_policy.is_none().then(|| args.context.context(config)),
        policy: &policy,
        store: args.context.store(),
        chunk: args.chunk.chunk.get(),
        resampler: args.resample.then(Resampler::default),
        seed: ctx.seed,
    };
    let samples = args.samples.get();
    let progress = Progress::new(&ctx.console, Some((prompts.len() * samples * budget) as u64), "tokens");
    let mut out: Box<dyn Sink> = match args.file() {
        Some(path) => Box::new(AtomicFile::create(path, args.force)?),
        None => Box::new(Stdout::new()),
    };
    let mut counts = Counts::default();
    for (p, prompt) in prompts.iter().enumerate() {
        let predicate = judge.as_mut().map(|judge| judge as &mut dyn Predicate);
        let first = (p * samples) as u64;
        let advance = |tokens| progress.inc(tokens as u64);
        let generated = generation.run(&prompt.bases, first, samples, engine.as_mut(), predicate, advance);
        if let Some(judge) = &mut judge {
            // A program that failed refuses everything: its error is the cause.
            judge.check()?;
        }
        let generated =
            generated.with_context(|| format!("cannot continue {}", prompt.name.escape_debug()))?;
        for (i, sample) in generated.iter().enumerate() {
            counts.add(sample);
            write(&mut *out, args, prompt, i, sample)?;
        }
    }
    progress.finish();
    out.flush()?;
    if let Some(path) = args.file() {
        let mut metadata = plan;
        metadata.insert("model_name".to_owned(), args.model.name().into());
        let mut facts = AtomicFile::create(metadata_path(path), true)?;
        writeln!(facts, "{:#}", Value::Object(metadata))?;
        facts.commit()?;
    }
    out.finish()?;
    let summary = Summary::new("generate")
        .fact("prompts", prompts.len())
        .fact("samples", counts.samples)
        .fact("tokens", counts.tokens)
        .fact("bases", counts.bases)
        .fact("ended_early", counts.early)
        .fact("seed", ctx.seed)
        .fact("output", output::shown(args.file()));
    ctx.console.summary(&summary, args.file().is_none())
}

/// What the prompts and their samples take.
fn dry_run(
    args: &Args,
    loaded: &Loaded,
    policy: &Pipeline,
    prompts: &[Prompt],
    budget: usize,
    plan: Map<String, Value>,
    ctx: &Ctx,
) -> anyhow::Result<()> {
    let (_, model) = loaded.decoder("generate")?;
    let (samples, store) = (args.samples.get(), args.context.store());
    // The prompt goes through a cache however short it is.
    let reading =
        Reading { context: 0, long: Long::Cache(policy.clone()), store, chunk: args.chunk.chunk.get() };
    let pricer = Pricer::states(&loaded.model, &reading, loaded.model.layers());
    let tokens = Tokens::new(&*loaded.tokenizer, &[]);
    let mut cost = Cost::default();
    let mut decoded = Cost::default();
    for prompt in prompts {
        let prompt = tokens.of(prompt.bases.len() as u64);
        let whole = pricer.sequence(prompt + budget);
        let before = pricer.sequence(prompt);
        cost += before;
        // Each sample keeps what it has more than the prompt, and the page that the prompt does not fill.
        let own = (whole.cache_bytes - before.cache_bytes.min(whole.cache_bytes)) + pricer.cache_bytes(1);
        cost.cache_bytes = cost.cache_bytes.max(before.cache_bytes + samples as u64 * own);
        // A step: its rows through the layers, and logits three times: as they come, as they are read, and the law drawn from.
        let logits = 3 * samples * loaded.model.vocab_size() * size_of::<f32>();
        let step = pricer.activation_bytes(samples) + logits as u64;
        cost.activation_bytes = cost.activation_bytes.max(step);
        decoded += Cost {
            tokens: (samples * budget) as f64,
            attention_flop: (whole.attention_flop - before.attention_flop).max(0.0) * samples as f64,
            ..Cost::default()
        };
    }
    // A step reads all weights, whatever the number of samples: it is timed, and its products are not counted.
    let step = step_seconds(model, store, samples)?;
    let steps = (prompts.len() * budget) as f64 * step;
    let rates = Rates::measure(&loaded.model, &reading)?;
    let summary = Summary::new("generate --dry-run")
        .fact("prompts", prompts.len())
        .fact("samples", prompts.len() * samples)
        .fact("steps", prompts.len() * budget)
        .fact("seconds_per_step", price::rounded(step));
    let summary = price::add(summary, loaded, &(cost + decoded), &rates, steps);
    ctx.console.summary(&summary.fact("plan", Value::Object(plan)), false)
}

/// Makes a prompt whole tokens, or says why it is not.
fn fit(prompt: &mut Prompt, k: Option<usize>, trim: bool, ctx: &Ctx) -> anyhow::Result<()> {
    let Some(k) = k else { return Ok(()) };
    let rest = prompt.bases.len() % k;
    if rest == 0 {
        return Ok(());
    }
    let name = prompt.name.escape_debug().to_string();
    ensure!(
        trim,
        "prompt {name} has {} bases, not a multiple of {k}: its last {rest} would be an unknown token; --trim-prompt drops \
         {rest} from the left",
        prompt.bases.len()
    );
    prompt.bases.drain(..rest);
    ctx.console.info(format_args!("prompt {name}: {rest} bases dropped from the left"));
    Ok(())
}

/// The texts of all tokens.
fn vocabulary(tokenizer: &dyn Tokenizer) -> Vocabulary {
    Vocabulary::new((0..tokenizer.vocab_size() as u32).map(|id| tokenizer.token(id)))
}

/// All that decides the sequences, beside the prompts.
fn plan(args: &Args, loaded: &Loaded, stop: &Stop, sampler: &Sampler, ctx: &Ctx) -> Map<String, Value> {
    let (config, _) = loaded.decoder("generate").expect("looked at before");
    let plan = json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "generate",
        "model": loaded.facts,
        "context": args.context.plan(config, args.chunk.chunk),
        "samples": args.samples,
        "sampling": sampler.sampling(),
        "stop": stop,
        "constraints": args.constraints.constraints(),
        "judge": args.judge,
        "resample": args.resample,
        "seed": ctx.seed,
    });
    match plan {
        Value::Object(plan) => plan,
        _ => unreachable!("written as an object above"),
    }
}

/// Where sequences go.
trait Sink: Write {
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

impl Sink for AtomicFile {
    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.commit()?)
    }
}

impl Sink for Stdout {
    fn finish(mut self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.flush()?)
    }
}

/// Counts for the end.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    samples: u64,
    tokens: u64,
    bases: u64,
    early: u64,
}

impl Counts {
    fn add(&mut self, sample: &Sample) {
        self.samples += 1;
        self.tokens += sample.tokens.len() as u64;
        self.bases += sample.text.len() as u64;
        self.early += u64::from(sample.stop != Reason::Budget);
    }
}

/// One FASTA record; what is known of the sequence stands behind its name.
fn write(
    out: &mut dyn Write,
    args: &Args,
    prompt: &Prompt,
    number: usize,
    sample: &Sample,
) -> std::io::Result<()> {
    const LINE: usize = 80;
    let stop = match sample.stop {
        Reason::Budget => "budget",
        Reason::Token => "token",
        Reason::Motif { .. } => "motif",
    };
    write!(
        out,
        ">{}_{} sample={} prompt_bases={} tokens={} log_probability={}",
        prompt.name,
        number + 1,
        sample.number,
        prompt.bases.len(),
        sample.tokens.len(),
        sample.log_probability
    )?;
    if !args.constraints.constraints().is_empty() || args.judge.is_some() {
        write!(out, " log_weight={}", sample.log_weight)?;
    }
    writeln!(out, " stop={stop}")?;
    let prompt: &[u8] = if args.with_prompt { &prompt.bases } else { &[] };
    for line in [prompt, &sample.text].concat().chunks(LINE) {
        out.write_all(line)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
