//! `kilobase classify train` and `merge`.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use kilobase::codecs::compress::cm::{Example, Model, Trainer};
use kilobase::codecs::compress::neighbours::{Measure, Neighbours};
use kilobase::data::export::{AtomicFile, metadata_path};
use serde_json::{Value, json};

use super::labels::{LabelArgs, Labelled};
use super::method::{Method, MethodArgs};
use crate::cli::Ctx;
use crate::cli::exit::Usage;
use crate::cli::output::{Console, Summary, shown};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    method: MethodArgs,
    /// Add to the classes of this model, of --method cm, in place of beginning anew
    #[arg(long, value_name = "MODEL")]
    update: Option<PathBuf>,
    /// Model to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Merge {
    /// Models of --method cm with the same settings
    #[arg(value_name = "MODEL", required = true)]
    models: Vec<PathBuf>,
    /// Model to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
}

/// A model of either kind.
pub(super) enum Trained {
    Cm(Box<Model>),
    Neighbours(Neighbours),
}

impl Trained {
    pub(super) fn classes(&self) -> Vec<String> {
        match self {
            Self::Cm(model) => model.classes().iter().map(|class| class.name.clone()).collect(),
            Self::Neighbours(model) => model.classes.clone(),
        }
    }

    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let context = || format!("{}", path.display());
        let mut file = BufReader::new(File::open(path).with_context(context)?);
        let mut magic = [0; 8];
        let got = file.by_ref().take(8).read(&mut magic).with_context(context)?;
        let mut whole = magic[..got].chain(file);
        if Neighbours::is_model(&magic) {
            return Ok(Self::Neighbours(Neighbours::read(&mut whole).with_context(context)?));
        }
        Ok(Self::Cm(Box::new(Model::read(&mut whole).with_context(context)?)))
    }

    fn write(&self, path: &Path, force: bool, facts: &Value) -> anyhow::Result<()> {
        let mut file = AtomicFile::create(path, force)?;
        match self {
            Self::Cm(model) => model.write(&mut file)?,
            Self::Neighbours(model) => model.write(&mut file)?,
        }
        let mut metadata = AtomicFile::create(metadata_path(path), true)?;
        writeln!(metadata, "{facts:#}")?;
        metadata.commit()?;
        Ok(file.commit()?)
    }
}

/// A model from sequences.
pub(super) fn train(method: &MethodArgs, rows: &Labelled) -> anyhow::Result<Trained> {
    if method.method == Method::Cm {
        let examples: Vec<Example> = examples(rows);
        let trainer = Trainer::new(rows.classes.clone()).coding(method.coding.coding());
        return Ok(Trained::Cm(Box::new(trainer.train(&examples)?)));
    }
    Ok(Trained::Neighbours(Neighbours {
        measure: method.neighbours.measure(method.method, method.compressor)?,
        k: method.neighbours.k.get(),
        classes: rows.classes.clone(),
        ids: rows.ids.clone(),
        sequences: rows.sequences.clone(),
        labels: rows.labels.clone(),
    }))
}

fn examples(rows: &Labelled) -> Vec<Example<'_>> {
    rows.sequences.iter().zip(&rows.labels).map(|(sequence, &class)| Example { sequence, class }).collect()
}

/// A compressor that does not see back to the beginning of a sequence is blind to what stands there.
pub(super) fn check_window<'a>(
    measure: &Measure,
    allow: bool,
    sequences: impl Iterator<Item = (&'a str, usize)>,
    console: &Console,
) -> anyhow::Result<()> {
    let Measure::Compression { compressor, .. } = measure else { return Ok(()) };
    let Some(window) = compressor.window() else { return Ok(()) };
    let Some((id, length)) = sequences.max_by_key(|&(_, length)| length) else { return Ok(()) };
    if length <= window {
        return Ok(());
    }
    let kind = compressor.kind().name();
    if allow {
        console.warn(format_args!("{id} has {length} letters, and {kind} looks back {window}"));
        return Ok(());
    }
    bail!(
        "{id} has {length} letters, and {kind} looks back {window}: use --method cm or --compressor xz, or go on with \
         --allow-window-overflow"
    );
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let method = args.method.checked()?;
    AtomicFile::check(&args.output, args.force)?;
    let begun = Instant::now();
    let mut rows = args.labels.read(method.letters, &ctx.console)?;
    let model = if let Some(path) = &args.update {
        let Trained::Cm(mut model) = Trained::read(path)? else {
            return Err(Usage(format!("{}: --update is for models of --method cm", path.display())).into());
        };
        model.update(&rows.classes, &examples(&rows))?;
        Trained::Cm(model)
    } else {
        if method.neighbours.k.get() > rows.sequences.len() {
            let (k, count) = (method.neighbours.k, rows.sequences.len());
            ctx.console.warn(format_args!("{k} neighbours of {count} sequences: all of them vote"));
        }
        train(&method, &rows)?
    };
    if let Trained::Neighbours(model) = &model {
        let lengths = model.ids.iter().map(String::as_str).zip(model.sequences.iter().map(Vec::len));
        check_window(&model.measure, method.compressor.allow_window_overflow, lengths, &ctx.console)?;
    }
    rows.classes = model.classes();
    let letters: usize = rows.sequences.iter().map(Vec::len).sum();
    let facts = json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "classify train",
        "method": describe(&model),
        "classes": rows.classes,
        "sequences": rows.sequences.len(),
        "letters": letters,
        "inputs": args.labels.inputs,
        "case": format!("{:?}", method.letters.case).to_lowercase(),
        "ambiguous": format!("{:?}", method.letters.ambiguous).to_lowercase(),
    });
    model.write(&args.output, args.force, &facts)?;
    let summary = Summary::new("classify train")
        .fact("sequences", rows.sequences.len())
        .fact("sequences_empty", rows.empty)
        .fact("classes", rows.classes.len())
        .fact("letters", letters)
        .fact("method", describe(&model))
        .fact("seconds", (begun.elapsed().as_secs_f64() * 1e3).round() / 1e3)
        .fact("output", shown(Some(&args.output)));
    ctx.console.summary(&summary, false)
}

pub(crate) fn merge(args: &Merge, ctx: &Ctx) -> anyhow::Result<()> {
    AtomicFile::check(&args.output, args.force)?;
    let mut whole: Option<Box<Model>> = None;
    for path in &args.models {
        let Trained::Cm(model) = Trained::read(path)? else {
            return Err(Usage(format!("{}: only models of --method cm can be joined", path.display())).into());
        };
        match &mut whole {
            None => whole = Some(model),
            Some(whole) => whole.merge(&model).with_context(|| format!("{}", path.display()))?,
        }
    }
    let model = Trained::Cm(whole.expect("clap asks for one at least"));
    let facts = json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "classify merge",
        "method": describe(&model),
        "classes": model.classes(),
        "inputs": args.models,
    });
    model.write(&args.output, args.force, &facts)?;
    let summary = Summary::new("classify merge")
        .fact("models", args.models.len())
        .fact("classes", model.classes().len())
        .fact("output", shown(Some(&args.output)));
    ctx.console.summary(&summary, false)
}

/// The method in words.
pub(super) fn describe(model: &Trained) -> String {
    match model {
        Trained::Cm(model) => {
            let coding = model.settings().contexts.iter().any(|context| context.is_coding());
            format!(
                "cm, {} contexts{}",
                model.settings().contexts.len(),
                if coding { ", coding" } else { "" }
            )
        }
        Trained::Neighbours(model) => {
            let k = model.k;
            match model.measure {
                Measure::Jaccard { word } => format!("jaccard of {word}-mers, {k} neighbours"),
                Measure::Compression { compressor, distance, symmetric, rerank } => {
                    let symmetric = if symmetric { ", symmetric" } else { "" };
                    let rerank = rerank.map_or_else(String::new, |most| format!(", rerank={most}"));
                    let (kind, level) = (compressor.kind().name(), compressor.level());
                    format!("{kind}-{level} {}, {k} neighbours{symmetric}{rerank}", distance.name())
                }
            }
        }
    }
}
