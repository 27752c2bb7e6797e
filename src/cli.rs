//! The commands: what was typed becomes a plan, the plan runs, and the end becomes an exit code.

use std::num::NonZeroUsize;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use kilobase::models::device::DeviceRequest;

mod allocator;
mod archive;
mod args;
mod classify;
mod codec;
mod completions;
mod compress;
mod decoder;
mod decompress;
mod distance;
mod doctor;
mod embed;
mod evaluate;
mod exit;
mod fine_tuned;
mod finetune;
mod generate;
mod load;
mod man;
mod model;
mod neural;
mod output;
mod predict;
mod pretrain;
mod price;
mod progress;
mod records;
mod scan;
mod score;
mod stats;
mod tokenize;
mod tokenizer;
mod variants;

use exit::Exit;
use output::{Console, Level};

/// Genomics sequence modelling: tokens, embeddings, scores and DNA-storage codecs from FASTA and FASTQ
#[derive(Debug, Parser)]
#[command(name = "kilobase", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 an error in the data or the run, 2 an error in the command line, 3 something is missing \
(a file, a model, a driver, a device)";

// One line a command; each is a module with `Args` and `run`.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, for as long as the program runs")]
enum Command {
    /// Show what FASTA and FASTQ files hold: records, bases, lengths, qualities
    Stats(stats::Args),
    /// Turn sequences into token ids: FASTA or FASTQ in, npy, safetensors or TSV out
    Tokenize(tokenize::Args),
    /// Train tokenizers, look into them, turn ids back into sequences
    Tokenizer(tokenizer::Args),
    /// Turn sequences into embeddings: FASTA or FASTQ in, npy, safetensors or TSV out
    Embed(embed::Args),
    /// Tell how probable sequences are under a decoder: log-likelihoods, bits per base, tracks
    Score(score::Args),
    /// Score the variants of a VCF file or a table
    Variants(variants::Args),
    /// Generate sequences with a decoder, after prompts and under constraints
    Generate(generate::Args),
    /// Classify sequences by compression: train, predict, measure
    Classify(classify::Args),
    /// Distances between sequences by compression, and trees
    Distance(distance::Args),
    /// Compress FASTA files, without loss
    Compress(compress::Args),
    /// Restore what compress wrote
    Decompress(decompress::Args),
    /// Turn files into pools of DNA oligos, and noisy reads of them back into the files
    Archive(archive::Args),
    /// Encode, correct and decode single words of the codes that archives are made of
    Codec(codec::Args),
    /// Train a model from scratch, or go on training one, on FASTA files
    Pretrain(pretrain::Args),
    /// Fine-tune a model to tell classes of sequences apart or to predict a value, with all weights or low-rank factors
    Finetune(finetune::Args),
    /// Tell the classes or values of sequences by a fine-tuned model
    Predict(predict::Args),
    /// Measure a fine-tuned model on labelled sequences, beside a logistic or ridge regression over k-mers
    Evaluate(evaluate::Args),
    /// Make a model
    Model(model::Args),
    /// Show what this build and this machine have: processor, memory, devices, and what is missing
    Doctor(doctor::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print the manual, or write all of its pages to a folder
    #[command(hide = true)]
    Man(man::Args),
}

/// Flags that mean the same for every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Globals {
    /// Threads to compute with [default: the processors that this process may use]
    #[arg(long, global = true, value_name = "N", env = "KILOBASE_THREADS", hide_env_values = true)]
    threads: Option<NonZeroUsize>,
    /// Device to compute on: auto, cpu, cuda, cuda:N, wgpu or wgpu:N
    #[arg(
        long,
        global = true,
        value_name = "DEVICE",
        env = "KILOBASE_DEVICE",
        hide_env_values = true,
        default_value = "auto"
    )]
    device: DeviceRequest,
    /// Seed of everything random
    #[arg(long, global = true, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Report for machines: one JSON document in place of text
    #[arg(long, global = true)]
    json: bool,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// What every command has at hand.
pub(crate) struct Ctx {
    /// Threads in the pool that computes.
    pub(crate) threads: usize,
    /// The device that was asked for.
    pub(crate) device: DeviceRequest,
    /// The seed of everything random.
    pub(crate) seed: u64,
    /// Whether reports are for machines.
    pub(crate) json: bool,
    /// Where messages and reports go.
    pub(crate) console: Console,
}

impl Ctx {
    fn new(globals: &Globals) -> anyhow::Result<Self> {
        // Counts the processors that affinity and control groups leave to this process, not those of the machine.
        let available = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = globals.threads.map_or(available, NonZeroUsize::get);
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .with_context(|| format!("cannot start {threads} threads"))?;
        let console = Console::new(Level::new(globals.quiet, globals.verbose), globals.json);
        Ok(Self { threads, device: globals.device, seed: globals.seed, json: globals.json, console })
    }
}

/// Runs the program.
pub(crate) fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => return output::show_clap(&message),
    };
    match Ctx::new(&cli.globals).and_then(|ctx| run(cli.command, &ctx)) {
        Ok(()) => Exit::Done,
        Err(error) => exit::report(&error),
    }
}

fn run(command: Command, ctx: &Ctx) -> anyhow::Result<()> {
    match command {
        Command::Stats(args) => stats::run(&args, ctx),
        Command::Tokenize(args) => tokenize::run(&args, ctx),
        Command::Tokenizer(args) => tokenizer::run(&args, ctx),
        Command::Embed(args) => embed::run(&args, ctx),
        Command::Score(args) => score::run(&args, ctx),
        Command::Variants(args) => variants::run(&args, ctx),
        Command::Generate(args) => generate::run(&args, ctx),
        Command::Classify(args) => classify::run(&args, ctx),
        Command::Distance(args) => distance::run(&args, ctx),
        Command::Compress(args) => compress::run(&args, ctx),
        Command::Decompress(args) => decompress::run(&args, ctx),
        Command::Archive(args) => archive::run(&args, ctx),
        Command::Codec(args) => codec::run(&args, ctx),
        Command::Pretrain(args) => pretrain::run(&args, ctx),
        Command::Finetune(args) => finetune::run(&args, ctx),
        Command::Predict(args) => predict::run(&args, ctx),
        Command::Evaluate(args) => evaluate::run(&args, ctx),
        Command::Model(args) => model::run(&args, ctx),
        Command::Doctor(args) => doctor::run(&args, ctx),
        Command::Completions(args) => completions::run(&args, ctx),
        Command::Man(args) => man::run(&args, ctx),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_are_read_before_and_after_the_command() {
        for line in ["kilobase --device cuda:1 doctor", "kilobase doctor --device cuda:1"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(cli.globals.device, DeviceRequest::Cuda(Some(1)));
            assert_eq!(cli.globals.seed, 42);
        }
        let error = Cli::try_parse_from(["kilobase", "doctor", "--threads", "0"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
