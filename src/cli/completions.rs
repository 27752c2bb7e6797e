use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Ctx, output::Stdout};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Shell to complete for
    shell: Shell,
}

pub(crate) fn run(args: &Args, _: &Ctx) -> anyhow::Result<()> {
    // Into memory first: the generator panics where writing fails, as it does when the reader has gone.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kilobase", &mut script);
    let mut out = Stdout::new();
    out.write_all(&script)?;
    Ok(out.flush()?)
}
