//! `kilobase tokenizer`: training, looking, decoding.

use clap::Subcommand;

use super::Ctx;

mod decode;
mod inspect;
mod train;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train byte-pair encoding on genomes; the file loads in the tokenizers library too
    Train(train::Args),
    /// Show the vocabulary of a tokenizer, and what it makes of sequences
    Inspect(inspect::Args),
    /// Turn ids that tokenize wrote back into FASTA
    Decode(decode::Args),
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    match &args.command {
        Command::Train(args) => train::run(args, ctx),
        Command::Inspect(args) => inspect::run(args, ctx),
        Command::Decode(args) => decode::run(args, ctx),
    }
}
