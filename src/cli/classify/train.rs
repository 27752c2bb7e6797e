//! `kilobase classify train` and `merge`.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use kilobase::codecs::compress::cm::{Example, Model, Trainer, Trial};
use kilobase::codecs::compress::neighbours::{Measure, Neighbours};
use kilobase::codecs::compress::{Letters, split};
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
    /// Choose contexts and decay of --method cm by cross-validation over the training sequences, relatives in one fold
    #[arg(long, conflicts_with = "update")]
    tune: bool,
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

/// Of the cross-validation.
const FOLDS: usize = 4;

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

    /// The form that queries must be brought to.
    pub(super) fn letters(&self) -> Letters {
        match self {
            Self::Cm(model) => model.letters(),
            Self::Neighbours(model) => model.letters,
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
        return Ok(Trained::Cm(Box::new(trainer(method, rows).train(&examples(rows))?)));
    }
    Ok(Trained::Neighbours(Neighbours {
        letters: rows.letters,
        measure: method.neighbours.measure(method.method, method.compressor)?,
        k: method.neighbours.k.get(),
        classes: rows.classes.clone(),
        ids: rows.ids.clone(),
        sequences: rows.sequences.clone(),
        labels: rows.labels.clone(),
    }))
}

fn trainer(method: &MethodArgs, rows: &Labelled) -> Trainer {
    Trainer::new(rows.classes.clone()).coding(method.coding.coding()).letters(rows.letters)
}

/// The model of the settings that did best on held-out sequences, and how all did.
fn tuned(method: &MethodArgs, rows: &Labelled) -> anyhow::Result<(Trained, Vec<Trial>)> {
    let (trainer, examples) = (trainer(method, rows), examples(rows));
    let trials = trainer.trials(&examples, &split::folds(&split::clusters(&rows.sequences), FOLDS))?;
    let best = Trial::best(&trials).expect("there is always the usual setting").settings.clone();
    Ok((Trained::Cm(Box::new(trainer.settings(best).train(&examples)?)), trials))
}

fn trial(trial: &Trial) -> Value {
    let contexts: Vec<String> = trial.settings.contexts.iter().map(ToString::to_string).collect();
    json!({
        "contexts": contexts,
        "decay": trial.settings.decay,
        "accuracy": trial.accuracy,
        "surprise_bits": trial.surprise,
    })
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
    let before = args.update.as_deref().map(|path| cm(path, "--update is for")).transpose()?;
    let letters = match (&before, args.method.preset) {
        (Some(model), None) => method.letters.agreeing_with(model.letters())?,
        (Some(_), Some(_)) => {
            return Err(
                Usage("--update goes on with the method of its model, without --preset".to_owned()).into()
            );
        }
        (None, _) => method.letters.rule(),
    };
    let mut rows = args.labels.read(letters, &ctx.console)?;
    let mut trials = Vec::new();
    let model = if let Some(mut model) = before {
        model.update(&rows.classes, &examples(&rows))?;
        Trained::Cm(model)
    } else {
        if method.neighbours.k.get() > rows.sequences.len() {
            let (k, count) = (method.neighbours.k, rows.sequences.len());
            ctx.console.warn(format_args!("{k} neighbours of {count} sequences: all of them vote"));
        }
        if args.tune {
            if method.method != Method::Cm {
                return Err(Usage("--tune is for --method cm".to_owned()).into());
            }
            let (model, tried) = tuned(&method, &rows)?;
            trials = tried;
            model
        } else {
            train(&method, &rows)?
        }
    };
    if let Trained::Neighbours(model) = &model {
        let lengths = model.ids.iter().map(String::as_str).zip(model.sequences.iter().map(Vec::len));
        check_window(&model.measure, method.compressor.allow_window_overflow, lengths, &ctx.console)?;
    }
    rows.classes = model.classes();
    let total: usize = rows.sequences.iter().map(Vec::len).sum();
    let facts = json!({
        "kilobase": env!("CARGO_PKG_VERSION"),
        "command": "classify train",
        "method": describe(&model),
        "classes": rows.classes,
        "trials": trials.iter().map(trial).collect::<Vec<_>>(),
        "sequences": rows.sequences.len(),
        "letters": total,
        "inputs": args.labels.inputs,
        "case": format!("{:?}", letters.case).to_lowercase(),
        "ambiguous": format!("{:?}", letters.ambiguous).to_lowercase(),
    });
    model.write(&args.output, args.force, &facts)?;
    let summary = Summary::new("classify train")
        .fact("sequences", rows.sequences.len())
        .fact("sequences_empty", rows.empty)
        .fact("classes", rows.classes.len())
        .fact("letters", total)
        .fact("settings_tried", trials.len())
        .fact("method", describe(&model))
        .fact("seconds", (begun.elapsed().as_secs_f64() * 1e3).round() / 1e3)
        .fact("output", shown(Some(&args.output)));
    ctx.console.summary(&summary, false)
}

pub(crate) fn merge(args: &Merge, ctx: &Ctx) -> anyhow::Result<()> {
    AtomicFile::check(&args.output, args.force)?;
    let mut whole: Option<Box<Model>> = None;
    for path in &args.models {
        let model = cm(path, "classify merge joins")?;
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
        "case": format!("{:?}", model.letters().case).to_lowercase(),
        "ambiguous": format!("{:?}", model.letters().ambiguous).to_lowercase(),
    });
    model.write(&args.output, args.force, &facts)?;
    let summary = Summary::new("classify merge")
        .fact("models", args.models.len())
        .fact("classes", model.classes().len())
        .fact("output", shown(Some(&args.output)));
    ctx.console.summary(&summary, false)
}

/// Reads a model of class models; for others an error that begins with what they are needed for.
fn cm(path: &Path, purpose: &str) -> anyhow::Result<Box<Model>> {
    match Trained::read(path)? {
        Trained::Cm(model) => Ok(model),
        Trained::Neighbours(_) => {
            Err(Usage(format!("{}: {purpose} models of --method cm", path.display())).into())
        }
    }
}

/// The method in words.
pub(super) fn describe(model: &Trained) -> String {
    match model {
        Trained::Cm(model) => {
            let coding = model.settings().contexts.iter().any(|context| context.is_coding());
            format!(
                "cm, {} contexts{}, decay {}",
                model.settings().contexts.len(),
                if coding { ", coding" } else { "" },
                model.settings().decay
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
