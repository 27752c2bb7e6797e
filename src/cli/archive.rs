//! `kilobase archive`: files as pools of oligonucleotides, and back from reads.

use clap::Subcommand;
use kilobase::codecs::archive;

use super::Ctx;
use super::exit::Usage;

mod decode;
mod encode;
mod simulate;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, for as long as the program runs")]
enum Command {
    /// Turn a file into oligos: FASTA and a manifest
    Encode(encode::Args),
    /// Turn reads of the oligos back into the file
    Decode(decode::Args),
    /// Read a pool through a channel with errors and losses: FASTQ
    Simulate(simulate::Args),
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    match &args.command {
        Command::Encode(args) => encode::run(args, ctx),
        Command::Decode(args) => decode::run(args, ctx),
        Command::Simulate(args) => simulate::run(args, ctx),
    }
}

/// An error in what was asked for is one of the command line.
fn asked(error: archive::Error) -> anyhow::Error {
    match error {
        archive::Error::Code(_)
        | archive::Error::NoPayload { .. }
        | archive::Error::Field { .. }
        | archive::Error::Enzyme { .. }
        | archive::Error::TooLarge { .. } => Usage(error.to_string()).into(),
        error => error.into(),
    }
}

/// Names of the presets, for help and errors.
fn presets() -> Vec<&'static str> {
    archive::PRESETS.iter().map(|preset| preset.name).collect()
}
