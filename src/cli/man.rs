use std::{io::Write, path::PathBuf};

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;
use kilobase::data::export::AtomicFile;

use super::{Cli, Ctx, output::Stdout};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder for the pages of all commands, made where it is missing [default: the main page to standard output]
    #[arg(short, long, alias = "out", value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    // Gives subcommands the global flags and their full names.
    command.build();
    let Some(folder) = &args.output else {
        let mut out = Stdout::new();
        out.write_all(&page(command)?)?;
        return Ok(out.flush()?);
    };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let pages = std::iter::once(command.clone())
        .chain(command.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
    for command in pages {
        let path = folder.join(Man::new(command.clone()).get_filename());
        let mut file = AtomicFile::create(&path, true)?;
        file.write_all(&page(command)?).with_context(|| path.display().to_string())?;
        file.commit()?;
        ctx.console.detail(path.display());
    }
    Ok(())
}

fn page(command: clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}
