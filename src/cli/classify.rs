//! `kilobase classify`: classes of sequences by compression.

use clap::Subcommand;

use super::Ctx;

mod eval;
mod judge;
mod labels;
mod method;
mod predict;
mod profile;
mod train;

pub(super) use method::{CompressorArgs, LetterArgs};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, for as long as the program runs")]
enum Command {
    /// Make a model from sequences of known classes
    Train(train::Args),
    /// Tell the classes of sequences by a model
    Predict(predict::Args),
    /// Measure methods on sequences of known classes, with what leaks between training and test
    Eval(eval::Args),
    /// Write what each letter of sequences costs in every class of a model
    Profile(profile::Args),
    /// Join models of one kind into one
    Merge(train::Merge),
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    match &args.command {
        Command::Train(args) => train::run(args, ctx),
        Command::Predict(args) => predict::run(args, ctx),
        Command::Eval(args) => eval::run(args, ctx),
        Command::Profile(args) => profile::run(args, ctx),
        Command::Merge(args) => train::merge(args, ctx),
    }
}
