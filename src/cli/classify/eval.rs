//! `kilobase classify eval`.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use kilobase::codecs::compress::measures::Confusion;
use kilobase::codecs::compress::neighbours::{Measure, Neighbours};
use kilobase::codecs::compress::split::{self, Leakage, Split};
use kilobase::codecs::compress::words::{NaiveBayes, Words};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::judge::Judge;
use super::labels::{LabelArgs, Labelled};
use super::method::{Method, MethodArgs};
use super::train::{self, Trained};
use crate::cli::Ctx;
use crate::cli::exit::Usage;
use crate::cli::output::{Stdout, Summary};

/// Of the sketches of the baseline.
const SKETCH_WORD: u32 = 12;
const SKETCH: usize = 256;
const JACCARD_WORD: u32 = 12;
const BAYES_WORD: u32 = 6;
/// Added to each count.
const BAYES_PRIOR: f64 = 0.1;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    method: MethodArgs,
    /// Split into training and test: random:SEED, dedup:SEED (exact copies left out), cluster:SEED (near-identical sequences on
    /// one side), or a JSON file of row numbers, with #a/b behind it for a part of it [default: random, dedup and cluster of
    /// --seed]
    #[arg(long, value_name = "SPLIT")]
    split: Vec<String>,
    /// Measure the method only, and no baselines
    #[arg(long)]
    no_baselines: bool,
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<()> {
    let method = args.method.checked()?;
    let rows = args.labels.read_rows(method.letters.rule(), true, &ctx.console)?;
    let clusters = split::clusters(&rows.sequences);
    let mut names: Vec<String> = args.split.clone();
    for kind in ["random", "dedup", "cluster"] {
        // Always shown beside what was asked for: a random split alone tells little.
        if !names.iter().any(|name| name.starts_with(&format!("{kind}:"))) {
            names.push(format!("{kind}:{}", ctx.seed));
        }
    }
    let mut results = Vec::new();
    if !ctx.json {
        let mut out = Stdout::new();
        writeln!(
            out,
            "#split\tmethod\ttrain\ttest\tcopies\tmates\taccuracy\tmacro_f1\tweighted_f1\ttrain_s\ttest_s"
        )?;
        out.flush()?;
    }
    for name in &names {
        let split = parse(name, &rows, &clusters)?;
        if split.test.is_empty() {
            ctx.console
                .warn(format_args!("{name}: every cluster is larger than a fifth of the rows; left out"));
            continue;
        }
        let leakage = Leakage::of(&split, &rows.sequences, &clusters);
        let part = Part::new(&rows, &split);
        for (what, run) in runs(&method, args.no_baselines) {
            let begun = Instant::now();
            let (predictions, trained) = run(&part)?;
            let whole = begun.elapsed().as_secs_f64();
            let truth = split.test.iter().map(|&row| rows.labels[row]);
            let confusion = Confusion::of(rows.classes.len(), truth.zip(predictions));
            let result = Row {
                split: name.clone(),
                method: what,
                leakage,
                confusion,
                trained,
                tested: whole - trained,
            };
            if ctx.json {
                results.push(result.document(&split, &rows.classes));
            } else {
                result.print(&split)?;
            }
        }
    }
    let summary = Summary::new("classify eval")
        .fact("sequences", rows.sequences.len())
        .fact("classes", rows.classes.len())
        .fact("clusters", clusters.iter().collect::<HashSet<_>>().len())
        .fact("splits", names.len());
    if ctx.json {
        return ctx.console.summary(&summary.fact("results", results), false);
    }
    ctx.console.summary(&summary, true)
}

struct Row {
    split: String,
    method: String,
    leakage: Leakage,
    confusion: Confusion,
    trained: f64,
    tested: f64,
}

impl Row {
    fn print(&self, split: &Split) -> anyhow::Result<()> {
        let Leakage { copies, mates } = self.leakage;
        let mut out = Stdout::new();
        writeln!(
            out,
            "{}\t{}\t{}\t{}\t{copies}\t{mates}\t{:.4}\t{:.4}\t{:.4}\t{:.2}\t{:.2}",
            self.split,
            self.method,
            split.train.len(),
            split.test.len(),
            self.confusion.accuracy(),
            self.confusion.macro_f1(),
            self.confusion.weighted_f1(),
            self.trained,
            self.tested
        )?;
        Ok(out.flush()?)
    }

    fn document(&self, split: &Split, classes: &[String]) -> Value {
        let matrix: Vec<Vec<u64>> = (0..classes.len())
            .map(|truth| (0..classes.len()).map(|class| self.confusion.get(truth, class)).collect())
            .collect();
        json!({
            "split": self.split,
            "method": self.method,
            "train": split.train.len(),
            "test": split.test.len(),
            "test_with_copy_in_train": self.leakage.copies,
            "test_with_cluster_mate_in_train": self.leakage.mates,
            "accuracy": self.confusion.accuracy(),
            "macro_f1": self.confusion.macro_f1(),
            "weighted_f1": self.confusion.weighted_f1(),
            "train_seconds": self.trained,
            "test_seconds": self.tested,
            "classes": classes,
            "confusion": matrix,
        })
    }
}

/// Training rows, and test sequences.
struct Part<'a> {
    train: Labelled,
    test: Vec<&'a [u8]>,
}

impl<'a> Part<'a> {
    fn new(rows: &'a Labelled, split: &Split) -> Self {
        let mut train =
            Labelled { letters: rows.letters, classes: rows.classes.clone(), ..Labelled::default() };
        for &row in split.train.iter().filter(|&&row| !rows.sequences[row].is_empty()) {
            train.ids.push(rows.ids[row].clone());
            train.sequences.push(rows.sequences[row].clone());
            train.labels.push(rows.labels[row]);
        }
        Self { train, test: split.test.iter().map(|&row| &rows.sequences[row][..]).collect() }
    }
}

/// Predictions for the test rows, and the seconds that training took.
type Run<'a> = Box<dyn Fn(&Part) -> anyhow::Result<(Vec<usize>, f64)> + 'a>;

fn runs(method: &MethodArgs, alone: bool) -> Vec<(String, Run<'_>)> {
    let asked = |part: &Part| judged(|| train::train(method, &part.train), part);
    let name = match method.method {
        Method::Cm => "cm".to_owned(),
        Method::Jaccard => format!("jaccard-{}", method.neighbours.word),
        Method::Ncd => {
            let compressor = method.compressor.compressor().expect("checked before");
            let rerank = method.neighbours.rerank.map_or_else(String::new, |most| format!(" rerank={most}"));
            format!(
                "{}-{} {}{rerank}",
                compressor.kind().name(),
                compressor.level(),
                method.compressor.distance.distance().name()
            )
        }
    };
    let mut runs: Vec<(String, Run)> = vec![(name, Box::new(asked))];
    if !alone {
        runs.push((format!("jaccard-{JACCARD_WORD}"), Box::new(jaccard)));
        runs.push((format!("minhash-{SKETCH_WORD}-{SKETCH}"), Box::new(minhash)));
        runs.push((format!("naive-bayes-{BAYES_WORD}"), Box::new(bayes)));
    }
    runs
}

fn judged(train: impl FnOnce() -> anyhow::Result<Trained>, part: &Part) -> anyhow::Result<(Vec<usize>, f64)> {
    let begun = Instant::now();
    let model = train()?;
    let judge = Judge::new(&model, false, None)?;
    let trained = begun.elapsed().as_secs_f64();
    // A sequence without letters goes to the first class, which is as good as any.
    let predict = |sequence: &&[u8]| Ok(judge.judge(sequence)?.class.unwrap_or(0));
    Ok((part.test.par_iter().map(predict).collect::<anyhow::Result<_>>()?, trained))
}

fn jaccard(part: &Part) -> anyhow::Result<(Vec<usize>, f64)> {
    let train = &part.train;
    let model = Neighbours {
        letters: train.letters,
        measure: Measure::Jaccard { word: JACCARD_WORD },
        k: 1,
        classes: train.classes.clone(),
        ids: train.ids.clone(),
        sequences: train.sequences.clone(),
        labels: train.labels.clone(),
    };
    judged(|| Ok(Trained::Neighbours(model)), part)
}

#[allow(clippy::unnecessary_wraps, reason = "a run among others that can fail")]
fn minhash(part: &Part) -> anyhow::Result<(Vec<usize>, f64)> {
    let begun = Instant::now();
    let sketch = |sequence: &[u8]| Words::sketch(sequence, SKETCH_WORD, SKETCH);
    let sketches: Vec<Words> = part.train.sequences.par_iter().map(|sequence| sketch(sequence)).collect();
    let trained = begun.elapsed().as_secs_f64();
    let predict = |sequence: &&[u8]| {
        let query = sketch(sequence);
        let near = |at: usize| query.sketch_jaccard(&sketches[at], SKETCH);
        let best = (0..sketches.len()).max_by(|&a, &b| near(a).total_cmp(&near(b)).then(b.cmp(&a)));
        best.map_or(0, |at| part.train.labels[at])
    };
    Ok((part.test.par_iter().map(predict).collect(), trained))
}

#[allow(clippy::unnecessary_wraps, reason = "a run among others that can fail")]
fn bayes(part: &Part) -> anyhow::Result<(Vec<usize>, f64)> {
    let begun = Instant::now();
    let train = &part.train;
    let sequences: Vec<&[u8]> = train.sequences.iter().map(Vec::as_slice).collect();
    let model = NaiveBayes::train(&sequences, &train.labels, train.classes.len(), BAYES_WORD, BAYES_PRIOR);
    let trained = begun.elapsed().as_secs_f64();
    Ok((part.test.par_iter().map(|sequence| model.classify(sequence)).collect(), trained))
}

fn parse(name: &str, rows: &Labelled, clusters: &[usize]) -> anyhow::Result<Split> {
    if let Some((kind @ ("random" | "dedup" | "cluster"), seed)) = name.split_once(':') {
        let seed = seed.parse().map_err(|_| Usage(format!("--split {name}: {seed:?} is no seed")))?;
        return Ok(match kind {
            "random" => Split::random(rows.sequences.len(), seed),
            "dedup" => Split::without_copies(&rows.sequences, seed),
            _ => Split::by_cluster(clusters, seed),
        });
    }
    let (file, part) = name.split_once('#').unwrap_or((name, ""));
    read(Path::new(file), part, rows.sequences.len()).with_context(|| format!("--split {name}"))
}

fn read(file: &Path, part: &str, rows: usize) -> anyhow::Result<Split> {
    let text = std::fs::read_to_string(PathBuf::from(file)).with_context(|| format!("{}", file.display()))?;
    let mut value: &Value =
        &serde_json::from_str::<Value>(&text).with_context(|| format!("{}", file.display()))?;
    for key in part.split('/').filter(|key| !key.is_empty()) {
        value = value.get(key).with_context(|| format!("{}: has no part {key:?}", file.display()))?;
    }
    let numbers = |key: &str| -> anyhow::Result<Vec<usize>> {
        let Some(list) = value.get(key).and_then(Value::as_array) else {
            bail!("{}: has no list of rows {key:?}; name a part after #", file.display());
        };
        list.iter()
            .map(|row| {
                let number = row.as_u64().and_then(|row| usize::try_from(row).ok()).filter(|&row| row < rows);
                number.with_context(|| {
                    format!("{}: {key}: {row} is none of {rows} rows, from 0", file.display())
                })
            })
            .collect()
    };
    let (train, test) = (numbers("train")?, numbers("test")?);
    let known: HashSet<usize> = train.iter().copied().collect();
    if let Some(both) = test.iter().find(|row| known.contains(row)) {
        bail!("{}: row {both} is in both parts", file.display());
    }
    ensure!(!train.is_empty() && !test.is_empty(), "{}: a part without rows", file.display());
    Ok(Split { train, test })
}
