//! `kilobase classify profile`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::ensure;
use kilobase::data::export::AtomicFile;
use kilobase::data::fastx::Record;

use super::predict::file;
use super::train::Trained;
use crate::cli::Ctx;
use crate::cli::args::InputArgs;
use crate::cli::exit::Usage;
use crate::cli::output::{Stdout, Summary, shown};
use crate::cli::scan;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// Model of --method cm
    #[arg(short, long, value_name = "FILE")]
    model: PathBuf,
    /// Table to write, one line a letter: record, position from 0, letter, bits in every class; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let file = file(&args.output);
    if let Some(path) = file {
        AtomicFile::check(path, args.force)?;
    }
    let model = Trained::read(&args.model)?;
    let counts = match file {
        None => write(args, &model, &mut Stdout::new(), ctx)?,
        Some(path) => {
            let mut table = AtomicFile::create(path, args.force)?;
            let counts = write(args, &model, &mut table, ctx)?;
            table.commit()?;
            counts
        }
    };
    let summary = Summary::new("classify profile")
        .fact("records", counts.0)
        .fact("bases", counts.1)
        .fact("output", shown(file));
    ctx.console.summary(&summary, file.is_none())
}

fn write(args: &Args, model: &Trained, out: &mut impl Write, ctx: &Ctx) -> anyhow::Result<(u64, u64)> {
    let Trained::Cm(model) = model else {
        return Err(Usage("classify profile needs a model of --method cm".to_owned()).into());
    };
    let sources = args.input.sources()?;
    write!(out, "#id\tposition\tletter")?;
    for class in model.classes() {
        write!(out, "\t{}", class.name)?;
    }
    writeln!(out)?;
    let (mut records, mut bases) = (0, 0);
    let mut record = Record::default();
    for source in &sources {
        let mut reader = scan::open(source, &args.input)?;
        while reader.read_record(&mut record)? {
            model.letters().apply(&mut record.sequence);
            let track = model.profile(&record.sequence);
            for (at, (letter, bits)) in
                record.sequence.iter().zip(track.chunks(model.classes().len())).enumerate()
            {
                write!(out, "{}\t{at}\t{}", record.id, char::from(*letter))?;
                for bits in bits {
                    write!(out, "\t{bits:.6}")?;
                }
                writeln!(out)?;
            }
            records += 1;
            bases += record.len() as u64;
        }
        scan::warn(&reader, &ctx.console);
    }
    ensure!(records > 0, "{}: no records", scan::names(&sources));
    out.flush()?;
    Ok((records, bases))
}
